"""Things an installation waits for: a program, the removal of a folder, the answer of a worker.

All have the same shape, `start`, `kill` and the signal `done`, so that an installation can do one after the other
without knowing what it waits for; none blocks.
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

#: Makes a program the leader of a group of processes, so that its children can be ended with it.
_LEAD = "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"
#: How long files are removed before the interface gets its turn, in seconds.
SLICE_S = 0.01
#: How long QGIS waits at its end for a program it has killed, in milliseconds.
PATIENCE_MS = 2000


class StepOutcome(NamedTuple):
    """How it went."""

    ok: bool
    """Whether it did what it should."""
    text: str
    """What was printed, or why it failed."""


class InstallStep(QObject):
    """Something that is started once and is done once."""

    printed = pyqtSignal(str)
    """A line."""
    done = pyqtSignal(object)
    """An Outcome."""

    def start(self) -> None:
        """Begin."""
        raise NotImplementedError

    def kill(self) -> None:
        """Give up; `done` comes all the same."""
        raise NotImplementedError


class Program(InstallStep):
    """A program that runs to its end; what it prints comes line by line."""

    def __init__(
        self,
        command: Sequence[str],
        environment: QProcessEnvironment,
        *,
        leader: str = "",
        limit_s: float = 0.0,
        parent: QObject | None = None,
    ) -> None:
        """A program with arguments.

        Args:
            command: Path and arguments.
            environment: Its variables.
            leader: A Python interpreter through which the program is started, so that it can be killed with all its
                children; needed where there are no other means.
            limit_s: It is killed after so long; 0 for no limit.
            parent: Owner.
        """
        super().__init__(parent)
        program, *arguments = [leader, "-c", _LEAD, *command] if leader and sys.platform != "win32" else command
        self._leads = bool(leader)
        self._limit_s = limit_s
        self._text: list[str] = []
        self._rest = ""
        self._process = process = QProcess(self)
        process.setProgram(program)
        process.setArguments(arguments)
        process.setProcessEnvironment(environment)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.setStandardInputFile(QProcess.nullDevice())
        process.readyReadStandardOutput.connect(self._read)
        process.errorOccurred.connect(self._failed)
        process.finished.connect(self._finished)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._end_now)

    def start(self) -> None:
        """Begin."""
        self._process.start()
        if self._limit_s:
            QTimer.singleShot(int(self._limit_s * 1000), self.kill)

    def kill(self) -> None:
        """End the program and its children."""
        pid = int(self._process.processId())
        if not pid:
            return
        if sys.platform == "win32":
            killer = QProcess(self)
            killer.start("taskkill", ["/T", "/F", "/PID", str(pid)])
        elif self._leads and _is_leader(pid):
            os.killpg(pid, signal.SIGKILL)
        else:
            self._process.kill()

    def _end_now(self) -> None:
        """QGIS ends, and its loop with it."""
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self.kill()
            self._process.waitForFinished(PATIENCE_MS)

    def _read(self) -> None:
        text = bytes(self._process.readAllStandardOutput()).decode(errors="replace")
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        self._tell(lines)

    def _tell(self, lines: Sequence[str]) -> None:
        for line in filter(None, (line.strip() for line in lines)):
            self._text.append(line)
            self.printed.emit(line)

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            outcome = StepOutcome(False, self._process.errorString())
            QTimer.singleShot(0, partial(self.done.emit, outcome))  # on Windows this is inside start()

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._tell([self._rest])
        ok = status == QProcess.ExitStatus.NormalExit and code == 0
        self.done.emit(StepOutcome(ok, "\n".join(self._text)))


class Removal(InstallStep):
    """A folder with all that is in it, removed a moment at a time."""

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._places = _from_below(folder)

    def start(self) -> None:
        """Begin."""
        QTimer.singleShot(0, self._go_on)

    def kill(self) -> None:
        """It goes on: half a folder is of no use to anybody."""

    def _go_on(self) -> None:
        deadline = time.monotonic() + SLICE_S
        for _ in self._places:
            if time.monotonic() > deadline:
                QTimer.singleShot(0, self._go_on)
                return
        shutil.rmtree(self._folder, ignore_errors=True)  # links and what was in the way
        left = self._folder.exists()
        self.done.emit(StepOutcome(not left, str(self._folder) if left else ""))


class WorkerTrial(InstallStep):
    """A worker that is started, asked how it is, and stopped."""

    def __init__(self, command: WorkerCommand, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = WorkerClient(command, self)
        self._client.stopped.connect(self._stopped)
        self._outcome = StepOutcome(False, "")

    def start(self) -> None:
        """Begin."""
        self._client.request("status", {}, self._answered, self._refused)

    def kill(self) -> None:
        """Stop the worker."""
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


def _from_below(folder: Path) -> Iterator[None]:
    """Remove what is in a folder, deepest first, one thing at a step; links are never followed."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            _discard(Path(place, name), os.unlink)
            yield
        for name in folders:
            inner = Path(place, name)
            _discard(inner, os.unlink if inner.is_symlink() else os.rmdir)
            yield


def _discard(place: Path, remove: Callable[[Path], None]) -> None:
    try:
        remove(place)
    except OSError:  # in use, on Windows: the folder stays, and is told
        return
