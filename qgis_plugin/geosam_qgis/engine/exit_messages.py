"""Sentences for the end of a worker: the reason, and the remedy."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

from geosam_qgis import protocol
from geosam_qgis.texts import tr

if TYPE_CHECKING:
    from geosam_qgis.engine.process import Ending

#: Messages of Python about a failed import: a missing package, a library that cannot be loaded, another ABI.
_IMPORT = re.compile(
    r"(?:ModuleNotFoundError|ImportError): .+"
    r"|OSError: .*(?:WinError 126|WinError 127|WinError 1114|shared object|dlopen|\.dll|\.dylib).*"
    r"|RuntimeError: module compiled against .+"
    r"|No module named \S+"
)
#: Message of a geosam without the command worker.
_NO_WORKER = re.compile(r"No such command '?worker")


def explain(ending: Ending, program: str) -> str:
    """Return sentences for the end of a worker that nobody has stopped.

    Args:
        ending: The end of its process.
        program: Path of the program.
    """
    if ending.reason == "start":
        problem = tr("The worker {} could not be started: {}.").format(program, ending.detail)
        return f"{problem} {_remedy()}"
    if ending.reason == "protocol":
        problem = tr("{} does not answer like a geosam worker: {}.").format(program, ending.detail)
        return f"{problem} {_remedy()}"
    if ending.reason == "crash":
        return tr("The worker crashed ({}). Its output is in the message log, on the tab geosam.").format(
            _signal(ending.code)
        )
    return _explain_exit(ending, program)


def explain_versions(worker_version: object, program: str) -> str:
    """Return sentences for a worker with another version of the protocol; `worker_version` is its version."""
    problem = tr("The worker {} uses protocol {}, this plugin uses protocol {}.").format(
        program, worker_version, protocol.VERSION
    )
    is_newer = isinstance(worker_version, int) and worker_version > protocol.VERSION
    return f"{problem} " + (
        tr("Update the plugin.") if is_newer else tr("Update the worker: the package geosam-toolkit.")
    )


def _explain_exit(ending: Ending, program: str) -> str:
    imports = _IMPORT.findall(ending.stderr)  # the last one is the cause that ended the worker
    if imports:
        problem = tr("An import failed in the worker's environment ({}): {}.")
        return f"{problem.format(program, imports[-1].rstrip('. '))} {_remedy()}"
    if _NO_WORKER.search(ending.stderr):
        problem = tr("{} is too old for this plugin: it has no worker.").format(program)
        return f"{problem} " + tr("Update the package geosam-toolkit.")
    printed = [line.strip() for line in ending.stderr.splitlines() if line.strip()]
    problem = tr("The worker ended with exit code {}.").format(ending.code)
    return f"{problem} " + (tr("Its last message: {}").format(printed[-1][:300]) if printed else _remedy())


def _remedy() -> str:
    return tr("Press Diagnose to install a worker, or to choose another one.")


def _signal(code: int) -> str:
    if sys.platform == "win32":
        return f"0x{code & 0xFFFFFFFF:08X}"
    try:
        name = signal.Signals(code).name
    except ValueError:
        return tr("signal {}").format(code)
    if name == "SIGKILL":
        return tr("signal {} {}; the system sends it when memory runs out").format(code, name)
    return tr("signal {} {}").format(code, name)
