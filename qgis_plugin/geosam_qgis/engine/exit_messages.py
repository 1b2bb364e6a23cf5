"""Why a worker is gone: a sentence for people, and one with the remedy."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

from geosam_qgis import protocol
from geosam_qgis.texts import tr

if TYPE_CHECKING:
    from geosam_qgis.engine.process import Ending

#: What Python says about an import that failed: no such package, a library that cannot be loaded, another ABI.
_IMPORT = re.compile(
    r"(?:ModuleNotFoundError|ImportError): .+"
    r"|OSError: .*(?:WinError 126|WinError 127|WinError 1114|shared object|dlopen|\.dll|\.dylib).*"
    r"|RuntimeError: module compiled against .+"
    r"|No module named \S+"
)
#: What a geosam without worker says.
_NO_WORKER = re.compile(r"No such command '?worker")


def explain(ending: Ending, program: str) -> str:
    """What to tell about the end of a worker that was not asked to end."""
    if ending.reason == "start":
        what = tr("The worker {} could not be started: {}.").format(program, ending.detail)
        return f"{what} {_remedy()}"
    if ending.reason == "protocol":
        what = tr("{} does not speak as a geosam worker does: {}.").format(program, ending.detail)
        return f"{what} {_remedy()}"
    if ending.reason == "crash":
        return tr("The worker crashed ({}). What it printed is in the message log, tab geosam.").format(
            _signal(ending.code)
        )
    return _explain_exit(ending, program)


def explain_versions(theirs: object, program: str) -> str:
    """What to tell about a worker with another protocol."""
    what = tr("The worker {} speaks protocol {}, this plugin speaks protocol {}.").format(
        program, theirs, protocol.VERSION
    )
    newer = isinstance(theirs, int) and theirs > protocol.VERSION
    return f"{what} " + (tr("Update the plugin.") if newer else tr("Update the worker: the package geosam-toolkit."))


def _explain_exit(ending: Ending, program: str) -> str:
    imports = _IMPORT.findall(ending.stderr)
    if imports:
        what = tr("An import failed in the worker's environment ({}): {}.")
        return f"{what.format(program, imports[-1].rstrip('. '))} {_remedy()}"
    if _NO_WORKER.search(ending.stderr):
        what = tr("{} is too old for this plugin: it has no command worker.").format(program)
        return f"{what} " + tr("Update the package geosam-toolkit.")
    said = [line.strip() for line in ending.stderr.splitlines() if line.strip()]
    what = tr("The worker ended by itself with exit code {}.").format(ending.code)
    return f"{what} " + (tr("It said: {}").format(said[-1][:300]) if said else _remedy())


def _remedy() -> str:
    return tr("Install a worker, or choose another one: see Diagnose.")


def _signal(code: int) -> str:
    if sys.platform == "win32":
        return f"0x{code & 0xFFFFFFFF:08X}"
    try:
        name = signal.Signals(code).name
    except ValueError:
        return tr("signal {}").format(code)
    if name == "SIGKILL":
        return tr("signal {} {}; the system does that where memory runs out").format(code, name)
    return tr("signal {} {}").format(code, name)
