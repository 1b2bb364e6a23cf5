"""Steps of an installation: a program, the removal of a folder, the trial of a worker.

Each has `start`, `kill` and the signal `done`, so that an installation can run one after the other; none blocks.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qgis.PyQt.QtCore import QCoreApplication, QObject, QProcess, QProcessEnvironment, QTimer, pyqtSignal

from geosam_qgis.engine.client import WorkerClient, WorkerFailure

if TYPE_CHECKING:
    from geosam_qgis.engine.locations import WorkerCommand

#: Makes a program the leader of a process group, so that its children can be killed with it.
_LEAD = "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"
#: Time to remove files before the interface gets its turn, in seconds.
SLICE_S = 0.01
#: Time that QGIS waits at its end for a killed program, in milliseconds.
PATIENCE_MS = 2000


class StepOutcome(NamedTuple):
    """The result of a step."""

    ok: bool
    """True if the step succeeded."""
    text: str
    """Printed text, or the reason of the failure."""


class InstallStep(QObject):
    """A step that is started once and ends once."""

    printed = pyqtSignal(str)
    """A printed line."""
    done = pyqtSignal(object)
    """A StepOutcome."""

    def start(self) -> None:
        """Start the step."""
        raise NotImplementedError

    def kill(self) -> None:
        """End the step early; `done` follows in any case."""
        raise NotImplementedError


class Program(InstallStep):
    """A program that runs to its end and prints line by line."""

    def __init__(
        self,
        command: Sequence[str],
        environment: QProcessEnvironment,
        *,
        leader: str = "",
        limit_s: float = 0.0,
        parent: QObject | None = None,
    ) -> None:
        """Make a step from a program with arguments.

        Args:
            command: Path and arguments.
            environment: Environment variables of the program.
            leader: Path of a Python interpreter that starts the program in a process group of its own, so that all
                its children can be killed with it; not used on Windows.
            limit_s: Time in seconds after which the program is killed; 0 for no limit.
            parent: Owner in the sense of Qt.
        """
        super().__init__(parent)
        program, *arguments = [leader, "-c", _LEAD, *command] if leader and sys.platform != "win32" else command
        self._leads_group = bool(leader)
        self._limit_s = limit_s
        self._text: list[str] = []
        self._rest = ""
        self._process = process = QProcess(self)
        process.setProgram(program)
        process.setArguments(arguments)
        process.setProcessEnvironment(environment)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.setStandardInputFile(QProcess.nullDevice())  # an installer that asks must not wait for ever
        process.readyReadStandardOutput.connect(self._read)
        process.errorOccurred.connect(self._failed)
        process.finished.connect(self._finished)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._end_now)

    def start(self) -> None:
        """Start the step."""
        self._process.start()
        if self._limit_s:
            QTimer.singleShot(int(self._limit_s * 1000), self.kill)

    def kill(self) -> None:
        """Kill the program and its children."""
        pid = int(self._process.processId())
        if not pid:
            return
        if sys.platform == "win32":
            killer = QProcess(self)  # QProcess.kill would leave the children alive
            killer.start("taskkill", ["/T", "/F", "/PID", str(pid)])
        elif self._leads_group and _is_leader(pid):
            os.killpg(pid, signal.SIGKILL)
        else:
            self._process.kill()

    def _end_now(self) -> None:
        """Kill the program at the end of QGIS, whose event loop has ended."""
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self.kill()
            self._process.waitForFinished(PATIENCE_MS)

    def _read(self) -> None:
        text = bytes(self._process.readAllStandardOutput()).decode(errors="replace")
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")  # progress bars end in \r
        self._print(lines)

    def _print(self, lines: Sequence[str]) -> None:
        for line in filter(None, (line.strip() for line in lines)):
            self._text.append(line)
            self.printed.emit(line)

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            outcome = StepOutcome(False, self._process.errorString())
            QTimer.singleShot(0, partial(self.done.emit, outcome))  # on Windows this signal comes inside start()

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._print([self._rest])
        ok = status == QProcess.ExitStatus.NormalExit and code == 0
        self.done.emit(StepOutcome(ok, "\n".join(self._text)))


class Removal(InstallStep):
    """The removal of a folder and its contents, in short slices of time."""

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._removals = _bottom_up(folder)

    def start(self) -> None:
        """Start the step."""
        QTimer.singleShot(0, self._continue)

    def kill(self) -> None:
        """Do nothing: a folder that is half removed helps nobody."""

    def _continue(self) -> None:
        deadline = time.monotonic() + SLICE_S
        for _ in self._removals:
            if time.monotonic() > deadline:
                QTimer.singleShot(0, self._continue)
                return
        shutil.rmtree(self._folder, ignore_errors=True)  # links, and folders that were not empty
        exists = self._folder.exists()
        self.done.emit(StepOutcome(not exists, str(self._folder) if exists else ""))


class WorkerTrial(InstallStep):
    """The trial of a worker: start it, request its status, stop it."""

    def __init__(self, command: WorkerCommand, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = WorkerClient(command, self)
        self._client.stopped.connect(self._stopped)
        self._outcome = StepOutcome(False, "")

    def start(self) -> None:
        """Start the step."""
        self._client.request("status", {}, self._answered, self._refused)

    def kill(self) -> None:
        """Stop the worker; `done` follows."""
        self._client.stop()

    def _answered(self, _status: object) -> None:
        self._outcome = StepOutcome(True, str((self._client.greeting or {}).get("geosam", "")))
        self._client.stop()

    def _refused(self, failure: WorkerFailure) -> None:
        self._outcome = StepOutcome(False, failure.message)
        self._client.stop()

    def _stopped(self, _reason: str) -> None:
        self.done.emit(self._outcome)


def _is_leader(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _bottom_up(folder: Path) -> Iterator[None]:
    """Remove the contents of a folder, deepest first, one file or folder for each step; never follow links."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            _discard(Path(place, name), os.unlink)
            yield
        for name in folders:
            child = Path(place, name)
            _discard(child, os.unlink if child.is_symlink() else os.rmdir)
            yield


def _discard(place: Path, remove: Callable[[Path], None]) -> None:
    try:
        remove(place)
    except OSError:  # in use, on Windows: the folder stays, and the step reports it
        return
