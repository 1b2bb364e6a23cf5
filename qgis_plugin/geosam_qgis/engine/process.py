"""One process of the worker: lines in, lines out, and how it ended.

No call waits. Data is read as it arrives. A process gets a moment to end after a request to stop, then it is killed.
Its object stays until the process has ended, even without its client, and no process outlives QGIS.
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

#: Length of the kept end of the worker's standard error, in bytes.
KEPT_STDERR = 64 * 1024
#: Time for the worker to end after a request to stop, in milliseconds.
PATIENCE_MS = 2000
#: Limit of bytes in the pipe's buffer; requests that are not in the buffer can still be withdrawn.
MAX_BUFFERED = 64 * 1024
#: Time to deliver messages before the interface gets its turn, in seconds.
SLICE_S = 0.01


class Ending(NamedTuple):
    """The end of a process."""

    reason: str
    """`stopped`, `start` (could not be started), `exit`, `crash`, or `protocol` (sent no valid message)."""
    code: int
    """Exit code; after a crash the number of the signal, on Windows the status."""
    detail: str
    """Explanation of the system, or of the protocol."""
    stderr: str
    """End of the worker's standard error."""


class WorkerProcess(QObject):
    """A process of the worker, started once, ended once."""

    heard = pyqtSignal(object)
    """A Reply of the worker, or a Request without an id, which is a notification."""
    writable = pyqtSignal()
    """The pipe has room for more requests."""
    ended = pyqtSignal(object)
    """An Ending, once, after all messages."""

    def __init__(self, command: WorkerCommand) -> None:
        application = QCoreApplication.instance()
        is_main_thread = application is not None and application.thread() == QThread.currentThread()
        super().__init__(application if is_main_thread else None)  # Qt wants a parent of the same thread
        self._lines = protocol.Lines()
        self._inbox: deque[bytes | Ending] = deque()
        self._stderr = b""
        self._violation = ""
        self._stopping = False
        self._scheduled = False
        self._process = process = QProcess(self)
        process.setProgram(command.program)
        process.setArguments(list(command.arguments))
        process.setProcessEnvironment(worker_environment())
        # queued: Qt reads no more data while this signal runs, and a callback may open a dialog
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
        """True if another line may be sent now."""
        return bool(self._process.bytesToWrite() < MAX_BUFFERED)

    @property
    def stderr(self) -> str:
        """End of the worker's standard error."""
        return self._stderr.decode(errors="replace")

    def start(self) -> None:
        """Start the process; `ended` follows if that is not possible."""
        self._process.start()

    def send(self, line: bytes) -> None:
        """Write a line into the pipe without waiting."""
        if self._process.isWritable() and not self._stopping:  # the pipe is closed after `shutdown`
            self._process.write(line)

    def stop(self) -> None:
        """Request the worker to end, and kill it if it does not."""
        if not self._stopping:
            self.send(protocol.request("stop", "shutdown", {}))
            self._stopping = True
            self._process.closeWriteChannel()
            self._killer.start()

    def _end_now(self) -> None:
        """End with QGIS: the only moment to wait, since there is no interface any more."""
        if self._process.state() == QProcess.ProcessState.NotRunning:
            return
        self.stop()
        if not self._process.waitForFinished(PATIENCE_MS):
            self._process.kill()
            self._process.waitForFinished(PATIENCE_MS)

    def _read(self) -> None:
        data = bytes(self._process.readAllStandardOutput())
        if data and not self._violation:
            try:
                self._inbox.extend(self._lines.feed(data))
            except protocol.ProtocolError as error:
                self._refuse(error)
        self._deliver()

    def _deliver(self) -> None:
        """Deliver messages in their order, for a short time; the rest in the next turn of the event loop.

        The next turn is scheduled first: a callback that opens a dialog returns only after the dialog is closed.
        """
        deadline = time.monotonic() + SLICE_S
        while self._inbox and time.monotonic() < deadline:
            item = self._inbox.popleft()
            if self._inbox and not self._scheduled:
                self._scheduled = True
                QTimer.singleShot(0, self._continue)
            if isinstance(item, Ending):
                self._end(item)
            elif not self._violation:
                self._decode(item)

    def _continue(self) -> None:
        self._scheduled = False
        self._deliver()

    def _decode(self, line: bytes) -> None:
        try:
            message = protocol.decode(line)
        except protocol.ProtocolError as error:
            self._refuse(error)
        else:
            self.heard.emit(message)

    def _refuse(self, error: protocol.ProtocolError) -> None:
        """Kill a process that has sent an invalid message: no later message can be trusted."""
        self._violation = str(error)
        self._process.kill()

    def _read_stderr(self) -> None:
        # only the end: a library may print for days
        self._stderr = (self._stderr + bytes(self._process.readAllStandardError()))[-KEPT_STDERR:]

    def _wrote(self, _count: int) -> None:
        if self.has_room:
            self.writable.emit()

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:  # all others are followed by `finished`
            self._inbox.append(Ending("start", 0, self._process.errorString(), ""))
            QTimer.singleShot(0, self._deliver)  # on Windows this signal comes inside start()

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read_stderr()
        self._read()  # the last data may come together with the end
        self._inbox.append(Ending(self._reason(status), code, self._process.errorString(), self.stderr))
        self._deliver()

    def _reason(self, status: QProcess.ExitStatus) -> str:
        if self._stopping:
            return "stopped"
        return "crash" if status == QProcess.ExitStatus.CrashExit else "exit"

    def _end(self, ending: Ending) -> None:
        self._killer.stop()
        self.ended.emit(ending._replace(reason="protocol", detail=self._violation) if self._violation else ending)
        self.deleteLater()
