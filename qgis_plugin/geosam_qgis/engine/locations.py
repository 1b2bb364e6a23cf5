"""Search for the worker: in a setting, an environment variable, the usual folders, PATH.

A desktop program often does not get the PATH of the user's shell (on macOS never), so the folders of `uv` and `pipx`
are searched by name. The interpreter of QGIS itself is never used: on Windows and macOS `sys.executable` is QGIS, and
starting it opens a second QGIS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QProcessEnvironment

from geosam_qgis.settings import Settings
from geosam_qgis.texts import tr

#: Environment variable with the path of a program; only the setting comes before it.
VARIABLE = "GEOSAM_WORKER"
#: File with the name of the plugin's own environment that is in use.
CURRENT = "current"
WINDOWS = sys.platform == "win32"
_SCRIPTS = "Scripts" if WINDOWS else "bin"


class WorkerCommand(NamedTuple):
    """A program with arguments that starts the worker."""

    program: str
    """Path of the program."""
    arguments: tuple[str, ...]
    """Arguments that make the program a worker."""
    source: str
    """Place where the program was found, for people."""


class Location(NamedTuple):
    """One place of the search."""

    source: str
    """Kind of place, for people."""
    path: str
    """Path of the place; empty if there is none of this kind."""
    is_named: bool
    """True if the user has named the place; then no other place is used."""
    command: WorkerCommand | None
    """The worker in this place; None if there is none."""


def find_worker(settings: Settings | None = None) -> WorkerCommand | None:
    """Return the first worker of all places; None if there is none.

    If the setting or the environment variable names a place, no other place is used: another worker than the named
    one would be a surprise.
    """
    for location in search_order(settings or Settings()):
        if location.command or location.is_named:
            return location.command
    return None


def search_order(settings: Settings) -> Iterator[Location]:
    """Yield every place, in the order of the search."""
    variable = tr("environment variable {}").format(VARIABLE)
    for source, path in ((tr("setting"), settings.worker), (variable, os.environ.get(VARIABLE, ""))):
        yield Location(source, path, bool(path), command_of(path, source) if path else None)
    for source, path in _usual_places():
        yield Location(source, path, False, command_of(path, source) if path else None)


def command_of(path: str, source: str) -> WorkerCommand | None:
    """Return the worker at a path: a geosam program, a Python interpreter, or the folder of an environment."""
    place = Path(path.strip().strip('"')).expanduser()  # Windows copies paths with quotes
    if place.is_dir():
        return next(filter(None, (command_of(str(inner), source) for inner in _inside(place) if inner.is_file())), None)
    if not (place.is_file() and os.access(place, os.X_OK)):
        return None
    # a link to `python3.12` is a Python as well
    is_python = place.stem.lower().startswith(("python", "pypy"))
    return WorkerCommand(str(place), ("-m", "geosam", "worker") if is_python else ("worker",), source)


def environments() -> Path:
    """Return the folder of the plugin's own environments."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "geosam"


def own_environment() -> str:
    """Return the folder of the plugin's own environment that is in use; empty if there is none."""
    try:
        name = (environments() / CURRENT).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return str(environments() / Path(name).name) if name else ""  # `name` alone: a damaged file leads nowhere else


def interpreter_in(environment: Path) -> Path:
    """Return the path of the Python interpreter of an environment."""
    return environment / _SCRIPTS / executable("python")


def _usual_places() -> Iterator[tuple[str, str]]:
    yield tr("the plugin's own environment"), own_environment()
    for folder in tool_folders():
        yield tr("folder of uv or pipx"), str(folder / executable("geosam"))
    for folder in QProcessEnvironment.systemEnvironment().value("PATH", "").split(os.pathsep):
        if folder:
            yield "PATH", str(Path(folder) / executable("geosam"))


def tool_folders() -> list[Path]:
    """Return the folders in which `uv tool` and `pipx` install programs."""
    home = Path.home()
    configured = (os.environ.get(name, "") for name in ("UV_TOOL_BIN_DIR", "XDG_BIN_HOME", "PIPX_BIN_DIR"))
    folders = [*map(Path, filter(None, configured)), home / ".local" / "bin"]
    if sys.platform == "darwin":
        folders += [Path("/opt/homebrew/bin"), Path("/usr/local/bin")]
    return folders


def _inside(folder: Path) -> list[Path]:
    """Return the files that may be the worker in the folder of an environment, or of programs."""
    return [inner / executable(name) for inner in (folder / _SCRIPTS, folder) for name in ("geosam", "python")]


def executable(name: str) -> str:
    """Return the file name of a program on this system."""
    return f"{name}.exe" if WINDOWS else name
