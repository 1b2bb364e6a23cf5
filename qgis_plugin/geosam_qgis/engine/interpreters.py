"""Programs that can make an environment: `uv`, or a Python of a supported version, in the usual folders."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geosam_qgis.engine.locations import executable, tool_folders

if TYPE_CHECKING:
    from qgis.PyQt.QtCore import QProcessEnvironment

#: Supported versions of Python, from the first, below the second: all packages of the worker are built for them.
OLDEST, TOO_NEW = (3, 11), (3, 14)
#: Program for an interpreter that prints its version, path, base folder, and whether it has 64 bits.
QUESTION = (
    "import json, sys, venv, ensurepip; "
    "print(json.dumps([sys.version_info[:2], sys.executable, sys.base_prefix, sys.maxsize > 2**32]))"
)


class Candidate(NamedTuple):
    """A program that may be able to make an environment."""

    program: str
    """Path of the program."""
    arguments: tuple[str, ...] = ()
    """Version for the Python launcher of Windows."""

    @property
    def is_uv(self) -> bool:
        """True for uv, False for a Python interpreter."""
        return Path(self.program).stem.lower() == "uv"

    @property
    def question(self) -> tuple[str, ...]:
        """Command that prints what the program is."""
        if self.is_uv:
            return self.program, "--version"
        return self.program, *self.arguments, "-c", QUESTION


def candidates(named: str, system: QProcessEnvironment) -> Iterator[Candidate]:
    """Yield the candidates of this computer, best first; with `named` only that program."""
    if named:
        yield Candidate(named)
        return
    searched = [Path(folder) for folder in system.value("PATH", "").split(os.pathsep) if folder]
    folders = list(dict.fromkeys([*tool_folders(), *searched, *_python_folders()]))
    newest_first = [f"3.{minor}" for minor in range(TOO_NEW[1] - 1, OLDEST[1] - 1, -1)]
    launcher = Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) / "py.exe"
    yield from _existing(folders, ["uv"])  # first: it can download a Python of the right version
    if sys.platform == "win32" and launcher.is_file():
        yield from (Candidate(str(launcher), (f"-{version}",)) for version in newest_first)
    yield from _existing(folders, [*(f"python{version}" for version in newest_first), "python3", "python"])


def read_answer(candidate: Candidate, text: str) -> tuple[Candidate | None, str]:
    """Read the answer of a candidate: a usable candidate, or None and the reason."""
    if candidate.is_uv:
        return candidate, ""
    try:
        version, program, base, is_64_bit = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        return None, text.splitlines()[-1] if text else "?"
    if not OLDEST <= tuple(version) < TOO_NEW or not is_64_bit:
        return None, "Python {}.{}{}".format(*version, "" if is_64_bit else ", 32 bit")
    if sys.platform != "linux" and Path(base) == Path(sys.base_prefix):
        return None, "QGIS"  # starts only with the variables of QGIS
    return Candidate(program), ""


def _existing(folders: list[Path], names: list[str]) -> Iterator[Candidate]:
    for name, folder in product(names, folders):
        place = folder / executable(name)
        if place.is_file() and os.access(place, os.X_OK):
            yield Candidate(str(place))


def _python_folders() -> list[Path]:
    """Return the folders in which installers put Python without an entry in PATH."""
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", str(Path.home())))
        return [local / "Programs" / "Python" / f"Python3{minor}" for minor in range(TOO_NEW[1] - 1, OLDEST[1] - 1, -1)]
    if sys.platform == "darwin":
        frameworks = Path("/Library/Frameworks/Python.framework/Versions")
        return [frameworks / f"3.{minor}" / "bin" for minor in range(TOO_NEW[1] - 1, OLDEST[1] - 1, -1)]
    return []
