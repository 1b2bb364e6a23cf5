"""The plugin's own environment: made, filled, tried, and only then taken.

An environment is made in a new folder beside the one in use. Once its worker has answered, the file `current` is
replaced by one that names the new folder, which happens at once or not at all; the old folder goes then. Whatever fails
before leaves the old environment in use, and nothing of the new one. (Environments hold paths of their own: they are
never moved.)
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from qgis.PyQt.QtCore import QObject, QUrl, pyqtSignal

from geosam_qgis.engine.environment import installer_environment
from geosam_qgis.engine.install_steps import InstallStep, Program, Removal, StepOutcome, WorkerTrial
from geosam_qgis.engine.interpreters import OLDEST, TOO_NEW, Candidate, candidates, read_answer
from geosam_qgis.engine.locations import CURRENT, WorkerCommand, command_of, environments, interpreter_in
from geosam_qgis.texts import tr

#: The distribution's name.
PACKAGE = "geosam-toolkit"
#: Where torch comes from that is not the one of the package index.
TORCH_CPU = "https://download.pytorch.org/whl/cpu"
TORCH_GPU = "https://download.pytorch.org/whl/cu128"
#: Roughly what an environment takes, without and with the libraries of a GPU, in bytes.
NEEDED = {False: 2_500_000_000, True: 9_000_000_000}

Work = Generator[InstallStep, StepOutcome, None]


class InstallPlan(NamedTuple):
    """What is to be installed, and with what."""

    source: str = ""
    """Empty for the package index; the address of another index, a wheel file, or a folder of wheels."""
    python: str = ""
    """Path of an interpreter or of uv; empty for the best that is found."""
    gpu: bool = False
    """Whether torch is to use an NVIDIA GPU."""


class InstallError(Exception):
    """Why it cannot go on."""


class Installation(QObject):
    """One attempt; tells what happens, and in the end `succeeded` or `failed`, once."""

    progressed = pyqtSignal(str)
    """A line for people."""
    succeeded = pyqtSignal(object)
    """The WorkerCommand that is used from now on."""
    failed = pyqtSignal(str)
    """Why; nothing of the attempt is left."""

    def __init__(self, plan: InstallPlan, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._plan = plan
        self._root = environments()
        self._folder = _next_folder(self._root)
        self._command: WorkerCommand | None = None
        self._environment = installer_environment()
        self._work: Work = self._install()
        self._task: InstallStep | None = None
        self._obstacle = ""
        self._cancelled = False

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self._task is not None

    def start(self) -> None:
        """Begin."""
        self._advance(None)

    def cancel(self) -> None:
        """Give up: what runs is killed, what was made is removed, then `failed` comes. Too late, it changes nothing."""
        self._cancelled = True
        if self._task is not None and self._command is None:
            self._task.kill()

    def _advance(self, outcome: StepOutcome | None) -> None:
        """Go on with the outcome of what was waited for."""
        self._task = None
        try:
            self._check_cancelled()
            task = next(self._work) if outcome is None else self._work.send(outcome)
        except StopIteration:
            self._finish()
        except InstallError as error:
            self._obstacle = str(error)
            self._work = self._sweep()
            self._advance(None)
        else:
            self._task = task
            task.setParent(self)
            task.printed.connect(self.progressed)
            task.done.connect(self._advance)
            task.done.connect(task.deleteLater)
            task.start()

    def _check_cancelled(self) -> None:
        if self._cancelled and self._command is None and not self._obstacle:
            raise InstallError(tr("Cancelled."))

    def _finish(self) -> None:
        if self._obstacle:
            self.failed.emit(self._obstacle)
        else:
            self.succeeded.emit(self._command)
        self.deleteLater()

    def _install(self) -> Work:
        yield from self._sweep()
        self._check()
        base = yield from self._choose()
        self.progressed.emit(tr("Making an environment with {} in {}.").format(base.program, self._folder))
        yield from self._run(self._venv(base), base)
        for packages in self._packages():
            yield from self._run([*self._installer(base), *packages], base)
        found = command_of(str(self._folder), tr("the plugin's own environment"))
        if found is None:
            raise InstallError(tr("{} has no program geosam after the installation.").format(self._folder))
        self.progressed.emit(tr("Trying the worker."))
        answer = yield WorkerTrial(found)
        if not answer.ok:
            raise InstallError(tr("The new worker does not work. {}").format(answer.text))
        _take(self._folder)
        self._command = found
        yield from self._sweep()

    def _sweep(self) -> Work:
        """Remove every environment but the one in use."""
        kept = _current(self._root)
        for folder in sorted(self._root.glob("env-*")):
            if folder.name != kept:
                outcome = yield Removal(folder)
                if not outcome.ok:
                    self.progressed.emit(tr("{} could not be removed; it is not used.").format(folder))

    def _check(self) -> None:
        source = self._plan.source
        if source and "://" not in source and not Path(source).exists():
            raise InstallError(tr("{} is neither a file nor a folder.").format(source))
        self._root.mkdir(parents=True, exist_ok=True)
        free, needed = shutil.disk_usage(self._root).free, NEEDED[self._plan.gpu]
        if free < needed:
            line = tr("{:.1f} GB are free in {}, about {:.1f} GB may be needed.")
            self.progressed.emit(line.format(free / 1e9, self._root, needed / 1e9))

    def _choose(self) -> Generator[InstallStep, StepOutcome, Candidate]:
        """The first candidate that will do."""
        seen = []
        for candidate in candidates(self._plan.python, self._environment):
            outcome = yield Program(candidate.question, self._environment, limit_s=30)
            base, obstacle = read_answer(candidate, outcome.text) if outcome.ok else (None, outcome.text[-200:])
            if base is not None:
                return base
            seen.append(f"{candidate.program} ({obstacle})")
        found = ", ".join(seen) or tr("nothing")
        raise InstallError(
            tr("Neither uv nor a Python from {}.{} to {}.{} with venv was found, but {}. ").format(
                *OLDEST, TOO_NEW[0], TOO_NEW[1] - 1, found
            )
            + tr("Install one from python.org or docs.astral.sh/uv, or name its path.")
        )

    def _run(self, command: list[str], base: Candidate) -> Work:
        self.progressed.emit("> " + " ".join(_without_password(word) for word in command))
        outcome = yield Program(command, self._environment, leader="" if base.is_uv else base.program)
        if not outcome.ok:
            said = "\n".join(outcome.text.splitlines()[-5:])
            raise InstallError(tr("{} failed: {}").format(Path(command[0]).name, said))

    def _venv(self, base: Candidate) -> list[str]:
        if base.is_uv:
            wanted = ">={}.{},<{}.{}".format(*OLDEST, *TOO_NEW)
            return [base.program, "venv", "--python", wanted, str(self._folder)]
        return [base.program, "-m", "venv", str(self._folder)]

    def _installer(self, base: Candidate) -> list[str]:
        python = str(interpreter_in(self._folder))
        if base.is_uv:
            return [base.program, "pip", "install", "--no-progress", "--python", python, "--only-binary", ":all:"]
        flags = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--only-binary", ":all:"]
        return [python, "-m", "pip", "install", *flags]

    def _packages(self) -> list[list[str]]:
        """What to install one after the other: arguments of pip and of uv alike."""
        source = self._plan.source
        if source and Path(source).is_dir():
            return [["--no-index", "--find-links", source, PACKAGE]]
        if "://" in source:
            return [["--index-url", source, PACKAGE]]
        torch = _torch_index(self._plan.gpu)
        first = [["--index-url", torch, "torch"]] if torch else []
        return [*first, [source or PACKAGE]]


def _torch_index(gpu: bool) -> str:  # noqa: FBT001 - a field of the plan
    """Where torch comes from; empty for the package index, which has one for GPUs on Linux and others elsewhere."""
    if sys.platform == "linux":
        return "" if gpu else TORCH_CPU
    return TORCH_GPU if gpu and sys.platform == "win32" else ""


def _next_folder(root: Path) -> Path:
    numbers = [int(folder.name[4:]) for folder in root.glob("env-*") if folder.name[4:].isdigit()]
    return root / f"env-{max(numbers, default=0) + 1}"


def _current(root: Path) -> str:
    """The name of the folder in use, or nothing."""
    try:
        return (root / CURRENT).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _take(folder: Path) -> None:
    """From now on this environment is the one in use."""
    note = folder.with_name(f"{CURRENT}.new")
    note.write_text(folder.name, encoding="utf-8")
    note.replace(folder.with_name(CURRENT))


def _without_password(word: str) -> str:
    url = QUrl(word)
    return url.toDisplayString() if "://" in word and url.password() else word
