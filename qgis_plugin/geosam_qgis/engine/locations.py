"""Where the worker is: a setting, an environment variable, the usual folders, PATH.

QGIS as a program of the desktop does not get the PATH of the user's shell (on macOS never), so the folders that `uv`
and `pipx` use are looked through by name. The interpreter of QGIS itself is never taken: on Windows and macOS
`sys.executable` is QGIS, and starting it opens a second QGIS.
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

#: Names a program for this session, before everything but the setting.
VARIABLE = "GEOSAM_WORKER"
#: Says which of the plugin's own environments is in use.
CURRENT = "current"
WINDOWS = sys.platform == "win32"
_SCRIPTS = "Scripts" if WINDOWS else "bin"


class WorkerCommand(NamedTuple):
    """A program with arguments."""

    program: str
    """Path of the program."""
    arguments: tuple[str, ...]
    """So that it is a worker."""
    source: str
    """Where it was found, for people."""


class Location(NamedTuple):
    """One place that was looked at."""

    source: str
    """What kind of place it is, for people."""
    path: str
    """The place; empty where nothing is given."""
    is_named: bool
    """Whether the user has named it, so that it is this one or none."""
    command: WorkerCommand | None
    """What was there."""


def find_worker(settings: Settings | None = None) -> WorkerCommand | None:
    """The first worker of all places; None if there is none.

    What the user names, in the setting or the variable, is taken or nothing is: another worker than the one that was
    asked for would be a surprise.
    """
    for look in places(settings or Settings()):
        if look.command or look.is_named:
            return look.command
    return None


def places(settings: Settings) -> Iterator[Location]:
    """Every place in the order of search."""
    variable = tr("environment variable {}").format(VARIABLE)
    for source, path in ((tr("setting"), settings.worker), (variable, os.environ.get(VARIABLE, ""))):
        yield Location(source, path, bool(path), command_of(path, source) if path else None)
    for source, path in _usual_places():
        yield Location(source, path, False, command_of(path, source) if path else None)


def command_of(path: str, source: str) -> WorkerCommand | None:
    """The worker that a path means: a geosam program, a Python interpreter, or the folder of an environment."""
    place = Path(path.strip().strip('"')).expanduser()
    if place.is_dir():
        return next(filter(None, (command_of(str(inner), source) for inner in _inside(place) if inner.is_file())), None)
    if not (place.is_file() and os.access(place, os.X_OK)):
        return None
    is_python = place.stem.lower().startswith(("python", "pypy"))
    return WorkerCommand(str(place), ("-m", "geosam", "worker") if is_python else ("worker",), source)


def environments() -> Path:
    """The folder of the environments that the plugin makes for itself."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "geosam"


def own_environment() -> str:
    """The folder of the environment in use among those; empty if there is none."""
    try:
        name = (environments() / CURRENT).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return str(environments() / Path(name).name) if name else ""


def interpreter_in(environment: Path) -> Path:
    """The interpreter of an environment."""
    return environment / _SCRIPTS / executable("python")


def _usual_places() -> Iterator[tuple[str, str]]:
    yield tr("the plugin's own environment"), own_environment()
    for folder in tool_folders():
        yield tr("folder of uv or pipx"), str(folder / executable("geosam"))
    for folder in QProcessEnvironment.systemEnvironment().value("PATH", "").split(os.pathsep):
        if folder:
            yield "PATH", str(Path(folder) / executable("geosam"))


def tool_folders() -> list[Path]:
    """Where `uv tool` and `pipx` put programs."""
    home = Path.home()
    named = (os.environ.get(name, "") for name in ("UV_TOOL_BIN_DIR", "XDG_BIN_HOME", "PIPX_BIN_DIR"))
    folders = [*map(Path, filter(None, named)), home / ".local" / "bin"]
    if sys.platform == "darwin":
        folders += [Path("/opt/homebrew/bin"), Path("/usr/local/bin")]
    return folders


def _inside(folder: Path) -> list[Path]:
    """What may be the worker in the folder of an environment, or of programs."""
    return [inner / executable(name) for inner in (folder / _SCRIPTS, folder) for name in ("geosam", "python")]


def executable(name: str) -> str:
    """The file name of a program."""
    return f"{name}.exe" if WINDOWS else name
