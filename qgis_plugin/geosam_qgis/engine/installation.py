"""The plugin's own environment: made, filled and tried before it replaces the old one.

Each environment is made in a new folder beside the one in use. After its worker has answered, the file `current` is
replaced by one with the name of the new folder, in one atomic step, and the old folder is removed. A failure before
that keeps the old environment in use and leaves nothing of the new one. (Environments contain their own paths, so they
are never moved.)
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
from geosam_qgis.engine.locations import (
    CURRENT,
    WorkerCommand,
    command_of,
    environments,
    interpreter_in,
    own_environment,
)
from geosam_qgis.texts import tr

#: Name of the library in the package index.
PACKAGE = "geosam-toolkit"
#: Indexes of torch, for computers whose torch does not come from PyPI.
TORCH_CPU = "https://download.pytorch.org/whl/cpu"
TORCH_GPU = "https://download.pytorch.org/whl/cu128"
#: Approximate size of an environment without and with the libraries of a GPU, in bytes.
NEEDED = {False: 2_500_000_000, True: 9_000_000_000}

Work = Generator[InstallStep, StepOutcome, None]


class InstallPlan(NamedTuple):
    """Choices of the user for an installation."""

    source: str = ""
    """Source of packages: empty for PyPI, else the address of an index, a wheel file, or a folder of wheels."""
    python: str = ""
    """Path of an interpreter or of uv; empty for the best one on this computer."""
    gpu: bool = False
    """True for a torch that uses an NVIDIA GPU."""


class InstallError(Exception):
    """An installation that cannot continue; the message is for the user."""


class Installation(QObject):
    """One attempt, which reports its progress and ends once, with `succeeded` or `failed`."""

    progressed = pyqtSignal(str)
    """A line for the user."""
    succeeded = pyqtSignal(object)
    """The WorkerCommand of the new environment."""
    failed = pyqtSignal(str)
    """The reason; nothing of the attempt is left."""

    def __init__(self, plan: InstallPlan, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._plan = plan
        self._root = environments()
        self._folder = _next_folder(self._root)
        self._command: WorkerCommand | None = None
        self._environment = installer_environment()
        self._work: Work = self._install()
        self._step: InstallStep | None = None
        self._obstacle = ""
        self._cancelled = False

    @property
    def is_running(self) -> bool:
        """True if a step of the installation runs."""
        return self._step is not None

    def start(self) -> None:
        """Start the installation."""
        self._advance(None)

    def cancel(self) -> None:
        """Kill the present step and remove the new environment; `failed` follows. No effect after the trial."""
        self._cancelled = True
        if self._step is not None and self._command is None:
            self._step.kill()

    def _advance(self, outcome: StepOutcome | None) -> None:
        """Start the next step, with the outcome of the last one."""
        self._step = None
        try:
            self._check_cancelled()
            step = next(self._work) if outcome is None else self._work.send(outcome)
        except StopIteration:
            self._finish()
        except InstallError as error:
            self._obstacle = str(error)
            self._work = self._sweep()
            self._advance(None)
        else:
            self._step = step
            step.setParent(self)
            step.printed.connect(self.progressed)
            step.done.connect(self._advance)
            step.done.connect(step.deleteLater)
            step.start()

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
        self.progressed.emit(tr("Making an environment in {} with {}.").format(self._folder, base.program))
        yield from self._run(self._venv(base), base)
        for packages in self._packages():
            yield from self._run([*self._installer(base), *packages], base)
        command = command_of(str(self._folder), tr("the plugin's own environment"))
        if command is None:
            raise InstallError(tr("{} has no program geosam after the installation.").format(self._folder))
        self.progressed.emit(tr("Testing the worker."))
        outcome = yield WorkerTrial(command)
        if not outcome.ok:
            raise InstallError(tr("The new worker does not work. {}").format(outcome.text))
        _activate(self._folder)
        self._command = command
        yield from self._sweep()

    def _sweep(self) -> Work:
        """Remove all environments except the one in use."""
        current = Path(own_environment()).name
        for folder in sorted(self._root.glob("env-*")):
            if folder.name != current:
                outcome = yield Removal(folder)
                if not outcome.ok:
                    self.progressed.emit(tr("{} could not be removed. It is not used.").format(folder))

    def _check(self) -> None:
        source = self._plan.source
        if source and "://" not in source and not Path(source).exists():
            raise InstallError(tr("{} is neither a file nor a folder.").format(source))
        self._root.mkdir(parents=True, exist_ok=True)
        free, needed = shutil.disk_usage(self._root).free, NEEDED[self._plan.gpu]
        if free < needed:  # a warning only: the estimate is rough
            line = tr("{:.1f} GB are free in {}, about {:.1f} GB may be necessary.")
            self.progressed.emit(line.format(free / 1e9, self._root, needed / 1e9))

    def _choose(self) -> Generator[InstallStep, StepOutcome, Candidate]:
        """Return the first candidate that can make an environment."""
        rejected = []
        for candidate in candidates(self._plan.python, self._environment):
            outcome = yield Program(candidate.question, self._environment, limit_s=30)
            base, obstacle = read_answer(candidate, outcome.text) if outcome.ok else (None, outcome.text[-200:])
            if base is not None:
                return base
            rejected.append(f"{candidate.program} ({obstacle})")
        unusable = ", ".join(rejected) or tr("none")
        raise InstallError(
            tr("No uv and no Python from {}.{} to {}.{} with venv was found. Not usable: {}. ").format(
                *OLDEST, TOO_NEW[0], TOO_NEW[1] - 1, unusable
            )
            + tr("Install one from python.org or docs.astral.sh/uv, or enter its path.")
        )

    def _run(self, command: list[str], base: Candidate) -> Work:
        # the log may go into a report, so it gets no password
        self.progressed.emit("> " + " ".join(_without_password(word) for word in command))
        outcome = yield Program(command, self._environment, leader="" if base.is_uv else base.program)
        if not outcome.ok:
            tail = "\n".join(outcome.text.splitlines()[-5:])
            raise InstallError(tr("{} failed: {}").format(Path(command[0]).name, tail))

    def _venv(self, base: Candidate) -> list[str]:
        if base.is_uv:
            versions = ">={}.{},<{}.{}".format(*OLDEST, *TOO_NEW)
            return [base.program, "venv", "--python", versions, str(self._folder)]
        return [base.program, "-m", "venv", str(self._folder)]

    def _installer(self, base: Candidate) -> list[str]:
        python = str(interpreter_in(self._folder))
        if base.is_uv:
            # wheels only: few users have a compiler
            return [base.program, "pip", "install", "--no-progress", "--python", python, "--only-binary", ":all:"]
        flags = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--only-binary", ":all:"]
        return [python, "-m", "pip", "install", *flags]

    def _packages(self) -> list[list[str]]:
        """Return the packages to install one after the other, as arguments of pip and of uv."""
        source = self._plan.source
        if source and Path(source).is_dir():
            return [["--no-index", "--find-links", source, PACKAGE]]
        if "://" in source:
            return [["--index-url", source, PACKAGE]]
        torch = _torch_index(self._plan.gpu)
        before = [["--index-url", torch, "torch"]] if torch else []
        return [*before, [source or PACKAGE]]


def _torch_index(gpu: bool) -> str:  # noqa: FBT001 - a field of the plan
    """Return the index of torch; empty for PyPI, whose torch uses a GPU on Linux and none elsewhere."""
    if sys.platform == "linux":
        return "" if gpu else TORCH_CPU
    return TORCH_GPU if gpu and sys.platform == "win32" else ""


def _next_folder(root: Path) -> Path:
    numbers = [int(folder.name[4:]) for folder in root.glob("env-*") if folder.name[4:].isdigit()]
    return root / f"env-{max(numbers, default=0) + 1}"


def _activate(folder: Path) -> None:
    """Use this environment from now on."""
    note = folder.with_name(f"{CURRENT}.new")
    note.write_text(folder.name, encoding="utf-8")
    note.replace(folder.with_name(CURRENT))  # atomic: there is always one complete file


def _without_password(word: str) -> str:
    url = QUrl(word)
    return url.toDisplayString() if "://" in word and url.password() else word
