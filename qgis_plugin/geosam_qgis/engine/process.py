"""One life of the worker's process: lines in, lines out, how it ended.

Nothing here waits. The pipes are read as data arrives. A process that is asked to end gets a moment to do so and is
killed then; its object stays until it is gone, even if the client is not, and no process outlives QGIS.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from qgis.PyQt.QtCore import QCoreApplication, QObject, QProcess, Qt, QThread, QTimer, pyqtSignal

from geosam_qgis import protocol
from geosam_qgis.engine.environment import worker_environment

if TYPE_CHECKING:
    from geosam_qgis.engine.locations import WorkerCommand

#: How much of what the worker prints is kept, in bytes.
KEPT_STDERR = 64 * 1024
#: How long a worker that was asked to end may take, in milliseconds.
PATIENCE_MS = 2000
#: No more than this is handed to the pipe at once, in bytes; what has not been handed over can still be withdrawn.
MAX_BUFFERED = 64 * 1024
#: How long messages are delivered before the interface gets its turn, in seconds.
SLICE_S = 0.01


class Ending(NamedTuple):
    """How a process ended."""

    reason: str
    """`asked`, `start` (it could not be started), `exit`, `crash`, or `protocol` (it talked nonsense)."""
    code: int
    """Exit code; of a crash the number of the signal, or what Windows has instead."""
    detail: str
    """What the system, or the protocol, says about it."""
    stderr: str
    """The last of what the worker printed."""


class WorkerProcess(QObject):
    """A process that is started once and ends once."""

    heard = pyqtSignal(object)
    """A Reply of the worker, or a Request without an id: a notification."""
    writable = pyqtSignal()
    """There is room for more."""
    ended = pyqtSignal(object)
    """An Ending, once, after everything that was heard."""

    def __init__(self, command: WorkerCommand) -> None:
        application = QCoreApplication.instance()
        at_home = application is not None and application.thread() == QThread.currentThread()
        super().__init__(application if at_home else None)
        self._lines = protocol.Lines()
        self._inbox: deque[bytes | Ending] = deque()
        self._stderr = b""
        self._nonsense = ""
        self._asked = False
        self._booked = False
        self._process = process = QProcess(self)
        process.setProgram(command.program)
        process.setArguments(list(command.arguments))
        process.setProcessEnvironment(worker_environment())
        # queued: a callback that opens a dialog would keep Qt from reading on, were it run inside this signal
        process.readyReadStandardOutput.connect(self._read, Qt.ConnectionType.QueuedConnection)
        process.readyReadStandardError.connect(self._read_stderr)
        process.bytesWritten.connect(self._wrote)
        process.errorOccurred.connect(self._failed)
        process.finished.connect(self._finished)
        self._killer = QTimer(self)
        self._killer.setSingleShot(True)
        self._killer.setInterval(PATIENCE_MS)
        self._killer.timeout.connect(process.kill)
        if application is not None:
            application.aboutToQuit.connect(self._end_now)

    @property
    def has_room(self) -> bool:
        """Whether more may be sent now."""
        return bool(self._process.bytesToWrite() < MAX_BUFFERED)

    @property
    def stderr(self) -> str:
        """The last of what the worker printed."""
        return self._stderr.decode(errors="replace")

    def start(self) -> None:
        """Begin; `ended` tells if it cannot."""
        self._process.start()

    def send(self, line: bytes) -> None:
        """Hand a line to the pipe; it never waits."""
        if self._process.isWritable() and not self._asked:
            self._process.write(line)

    def stop(self) -> None:
        """Ask the worker to end, and kill it if it does not."""
        if not self._asked:
            self.send(protocol.request("stop", "shutdown", {}))
            self._asked = True
            self._process.closeWriteChannel()
            self._killer.start()

    def _end_now(self) -> None:
        """QGIS ends, and its loop with it: the one moment to wait, since nobody looks any more."""
        if self._process.state() == QProcess.ProcessState.NotRunning:
            return
        self.stop()
        if not self._process.waitForFinished(PATIENCE_MS):
            self._process.kill()
            self._process.waitForFinished(PATIENCE_MS)

    def _read(self) -> None:
        piece = bytes(self._process.readAllStandardOutput())
        if piece and not self._nonsense:
            try:
                self._inbox.extend(self._lines.feed(piece))
            except protocol.ProtocolError as error:
                self._refuse(error)
        self._deliver()

    def _deliver(self) -> None:
        """What has come in, in order, for a moment; the rest in the next one.

        The next one is booked beforehand: a callback that opens a dialog returns only when that is closed.
        """
        deadline = time.monotonic() + SLICE_S
        while self._inbox and time.monotonic() < deadline:
            item = self._inbox.popleft()
            if self._inbox and not self._booked:
                self._booked = True
                QTimer.singleShot(0, self._go_on)
            if isinstance(item, Ending):
                self._end(item)
            elif not self._nonsense:
                self._tell(item)

    def _go_on(self) -> None:
        self._booked = False
        self._deliver()

    def _tell(self, line: bytes) -> None:
        try:
            message = protocol.decode(line)
        except protocol.ProtocolError as error:
            self._refuse(error)
        else:
            self.heard.emit(message)

    def _refuse(self, error: protocol.ProtocolError) -> None:
        """What follows nonsense cannot be trusted."""
        self._nonsense = str(error)
        self._process.kill()

    def _read_stderr(self) -> None:
        self._stderr = (self._stderr + bytes(self._process.readAllStandardError()))[-KEPT_STDERR:]

    def _wrote(self, _count: int) -> None:
        if self.has_room:
            self.writable.emit()

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:  # all others are followed by `finished`
            self._inbox.append(Ending("start", 0, self._process.errorString(), ""))
            QTimer.singleShot(0, self._deliver)  # on Windows this is inside start()

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read_stderr()
        self._read()
        self._inbox.append(Ending(self._reason(status), code, self._process.errorString(), self.stderr))
        self._deliver()

    def _reason(self, status: QProcess.ExitStatus) -> str:
        if self._asked:
            return "asked"
        return "crash" if status == QProcess.ExitStatus.CrashExit else "exit"

    def _end(self, ending: Ending) -> None:
        self._killer.stop()
        self.ended.emit(ending._replace(reason="protocol", detail=self._nonsense) if self._nonsense else ending)
        self.deleteLater()
