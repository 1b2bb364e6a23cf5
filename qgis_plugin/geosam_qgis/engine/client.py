"""The plugin's side of the worker's protocol.

A request starts the worker if it does not run, waits until both have agreed on the protocol, and ends in exactly one
callback, whatever happens to the process. No method blocks, and no callback runs inside the call that caused it, except
those of :meth:`WorkerClient.stop`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from qgis.core import Qgis, QgsMessageLog
from qgis.PyQt.QtCore import QCoreApplication, QObject, QTimer, pyqtSignal

from geosam_qgis import protocol
from geosam_qgis.engine.error_messages import error_message
from geosam_qgis.engine.exit_messages import explain, explain_versions
from geosam_qgis.engine.locations import WorkerCommand, find_worker
from geosam_qgis.engine.process import Ending, WorkerProcess
from geosam_qgis.texts import tr

#: Code of a failure without an answer: there is no worker, it died, or it was stopped.
GONE = -32099
#: Number of unanswered requests above which requests of a stream are refused.
MAX_WAITING = 64
#: Number of deaths within a time, in seconds, after which a worker is not started again.
MAX_DEATHS, STORM_S = 3, 60.0


class WorkerFailure(NamedTuple):
    """The reason why a request has no result."""

    code: int
    """One of the codes of the protocol, or GONE."""
    message: str
    """One or two sentences for the user."""
    data: dict[str, Any] | None = None
    """Data of the worker: `type`, `code`, `values` and `exit_code` of an error, `traceback` of a bug."""


class Death(NamedTuple):
    """A worker that ended by itself, or could not be used."""

    at: float
    """Monotonic time, in seconds."""
    reason: str
    """Sentences for the user."""
    stderr: str
    """End of its standard error."""


OnResult = Callable[[Any], None]
OnError = Callable[[WorkerFailure], None]


@dataclass
class _Waiting:
    """A request that has no answer yet."""

    on_result: OnResult
    on_error: OnError
    stream: str
    line: bytes
    """Line of the request; empty after it was sent."""


@dataclass
class _Opening:
    """A scene in the present worker: the answer to *open*, or the callbacks that wait for it."""

    answer: dict[str, Any] | None = None
    waiting: list[tuple[OnResult, OnError]] = field(default_factory=list)


class WorkerClient(QObject):
    """Requests to one worker process, which is started with the first request, and again after it has died."""

    started = pyqtSignal(object)
    """The answer to *initialize*."""
    stopped = pyqtSignal(str)
    """Sentences for the end of the process; empty after :meth:`stop`."""
    notified = pyqtSignal(str, object)
    """Method and parameters of a notification."""
    _answered = pyqtSignal(object, object)

    def __init__(self, command: WorkerCommand | None = None, parent: QObject | None = None) -> None:
        """Make a client of `command`; by default, each start searches for a worker."""
        super().__init__(parent)
        #: `{name, device, ...}` of the model that a new process loads before the first request for it; None for none.
        self.model: dict[str, Any] | None = None
        self._command = command
        self._program = ""
        self._worker: WorkerProcess | None = None
        self._initialized: dict[str, Any] | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: dict[int, None] = {}  # a set that keeps the order of the requests
        self._scenes: dict[str, _Opening] = {}
        self._stopping: dict[WorkerProcess, str] = {}
        self._last_id = 0
        self._deaths: list[Death] = []
        self._refusal = ""
        self._closed = False
        self._answered.connect(_call)  # as a slot, so that an exception in a callback stops nothing else
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._quit)  # no callback may start a worker after that

    @property
    def is_running(self) -> bool:
        """True if a process takes requests."""
        return self._worker is not None

    @property
    def is_ending(self) -> bool:
        """True if a process was stopped and has not ended yet."""
        return bool(self._stopping)

    @property
    def program(self) -> str:
        """Path of the program that was started last."""
        return self._program

    @property
    def greeting(self) -> dict[str, Any] | None:
        """The present worker's answer to *initialize*; None before it is there."""
        return self._initialized

    @property
    def stderr(self) -> str:
        """End of the present worker's standard error."""
        return self._worker.stderr if self._worker else ""

    @property
    def deaths(self) -> tuple[Death, ...]:
        """The last deaths of the worker."""
        return tuple(self._deaths)

    def request(
        self, method: str, params: dict[str, Any], on_result: OnResult, on_error: OnError, stream: str = ""
    ) -> int:
        """Send a request; exactly one of the two callbacks is called, later, in this thread.

        Args:
            method: A method of `docs/worker.md`.
            params: Its parameters.
            on_result: Gets the result.
            on_error: Gets a WorkerFailure.
            stream: Name of a stream; only its newest request counts, older ones end as superseded.

        Returns:
            The id for :meth:`cancel`; notifications about the request carry it.
        """
        self._last_id = id_ = self._last_id + 1
        waiting = self._waiting[id_] = _Waiting(on_result, on_error, stream, b"")
        if stream and len(self._waiting) > MAX_WAITING:
            self._fail_soon(id_, protocol.BUSY, tr("The worker is busy. Try again in a moment."))
            return id_
        try:
            waiting.line = protocol.request(id_, method, {**params, "stream": stream} if stream else params)
        except ValueError as error:
            self._fail_soon(id_, protocol.INVALID_PARAMS, str(error))
            return id_
        obstacle = "" if self._worker else self._start()
        if obstacle:
            self._fail_soon(id_, GONE, obstacle)
            return id_
        self._withdraw(stream)  # only here: a request that failed above must not end older ones
        self._unsent[id_] = None
        self._send()
        return id_

    def cancel(self, request_id: int) -> None:
        """Cancel a request; it ends as cancelled, unless it has its answer already."""
        if request_id in self._unsent:
            self._fail_soon(request_id, protocol.CANCELLED, tr("Cancelled."))
        elif request_id in self._waiting and self._worker:
            self._worker.send(protocol.notification("cancel", {"id": request_id}))

    def scene(self, path: str, options: dict[str, Any], on_ready: OnResult, on_error: OnError) -> None:
        """Get the answer to *open*, which is requested once from each process.

        Call it before every request that names a scene: the id is valid only in the present process.
        """
        key = json.dumps([path, options], sort_keys=True, default=str)  # options are a dict, which cannot be a key
        opening = self._scenes.get(key)
        if opening is None:
            opening = self._scenes[key] = _Opening()
            finish = partial(self._opened, key, opening)
            self.request("open", {"path": path, "options": options}, finish, finish)
        if opening.answer is not None:  # later, as for a scene that is not open yet
            QTimer.singleShot(0, partial(self._answered.emit, on_ready, opening.answer))
        else:
            opening.waiting.append((on_ready, on_error))

    def forget_scene(self, path: str) -> None:
        """Open this raster again with the next request; its file may have changed."""
        for key, opening in list(self._scenes.items()):
            if json.loads(key)[0] == path and opening.answer is not None:  # one on its way reads the new file anyway
                del self._scenes[key]

    def stop(self) -> None:
        """Stop the worker. Requests without an answer end now; `stopped` comes after the process has ended."""
        self._release("", tr("The worker was stopped."))

    def reset(self) -> None:
        """Forget all deaths: the next request starts the worker again."""
        self._refusal = ""
        self._deaths.clear()

    def _start(self) -> str:
        """Start a process; return the reason if that is not possible, else an empty text."""
        if self._closed:
            return tr("The worker was stopped.")
        if self._refusal:
            return self._refusal
        command = self._command or find_worker()
        if command is None:
            return tr("No geosam worker was found. Press Diagnose to install or to choose one.")
        self._program = command.program
        self._worker = worker = WorkerProcess(command)
        worker.heard.connect(self._heard)
        worker.writable.connect(self._send)
        worker.ended.connect(self._ended)
        self.destroyed.connect(worker.stop)  # a client may be deleted with its dialog
        self._last_id = id_ = self._last_id + 1
        self._waiting[id_] = _Waiting(self._initialize, self._not_initialized, "", b"")
        worker.start()
        params = {"protocol": protocol.VERSION, **({"model": self.model} if self.model else {})}
        worker.send(protocol.request(id_, "initialize", params))
        return ""

    def _initialize(self, answer: Any) -> None:
        worker_version = answer.get("protocol") if isinstance(answer, dict) else None
        if worker_version != protocol.VERSION:
            self._give_up(explain_versions(worker_version, self._program))
            return
        self._initialized = answer
        self.started.emit(answer)
        self._send()

    def _not_initialized(self, failure: WorkerFailure) -> None:
        if failure.code != GONE:  # a dead worker was handled already, and the next one may be running
            facts = failure.data or {}
            is_mismatch = facts.get("code") == "protocol-mismatch" and isinstance(facts.get("values"), dict)
            reason = explain_versions(facts["values"].get("expected"), self._program) if is_mismatch else ""
            self._give_up(reason or failure.message)

    def _give_up(self, reason: str) -> None:
        """Stop a worker that lives, but cannot be used."""
        if self._worker:
            self._died(reason, self._worker.stderr)
            self._release(reason, reason)

    def _release(self, reason: str, message: str) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.heard.disconnect(self._heard)
        worker.writable.disconnect(self._send)
        self._stopping[worker] = reason
        worker.stop()
        # a callback that sends another request must not start the next worker
        closed, self._closed = self._closed, True
        self._fail_all(message)
        self._closed = closed

    def _withdraw(self, stream: str) -> None:
        """End the requests of a stream that were not sent yet."""
        for id_ in [id_ for id_ in self._unsent if stream and self._waiting[id_].stream == stream]:
            self._fail_soon(id_, protocol.SUPERSEDED, tr("A newer request took its place."))

    def _send(self) -> None:
        # a line in the pipe cannot be withdrawn, so the pipe gets few at a time
        while self._initialized and self._worker and self._unsent and self._worker.has_room:
            id_ = next(iter(self._unsent))
            del self._unsent[id_]
            waiting = self._waiting[id_]
            self._worker.send(waiting.line)
            waiting.line = b""

    def _heard(self, message: protocol.Request | protocol.Reply) -> None:
        if isinstance(message, protocol.Request):
            self.notified.emit(message.method, message.params)
            return
        waiting = self._waiting.pop(message.id, None) if isinstance(message.id, int) else None
        if waiting is None:  # an answer to a request that has ended already
            return
        if message.error is None:
            self._answered.emit(waiting.on_result, message.result)
        else:
            error, data = message.error, message.error.get("data")
            data = data if isinstance(data, dict) else None
            failure = WorkerFailure(error["code"], error_message(error["message"], data), data)
            self._answered.emit(waiting.on_error, failure)

    def _opened(self, key: str, opening: _Opening, answer: dict[str, Any] | WorkerFailure) -> None:
        if not isinstance(answer, WorkerFailure):
            opening.answer = answer
        elif self._scenes.get(key) is opening:
            del self._scenes[key]
        for on_ready, on_error in opening.waiting:
            self._answered.emit(on_ready if opening.answer is not None else on_error, answer)

    def _ended(self, ending: Ending) -> None:
        worker = self.sender()
        if worker is not self._worker:  # it was stopped, and its requests have ended
            self.stopped.emit(self._stopping.pop(worker, ""))
            return
        self._worker = None
        reason = explain(ending, self._program)
        self._died(reason, ending.stderr)
        self._fail_all(reason)
        self.stopped.emit(reason)

    def _died(self, reason: str, stderr: str) -> None:
        QgsMessageLog.logMessage(f"{reason}\n{stderr}".strip(), "geosam", Qgis.MessageLevel.Warning)
        now = time.monotonic()
        self._deaths = [*self._deaths, Death(now, reason, stderr)][-MAX_DEATHS:]
        if len(self._deaths) == MAX_DEATHS and now - self._deaths[0].at < STORM_S:
            storm = tr(
                "The worker ended {} times within a minute. Press Diagnose, then Try again to start it once more. {}"
            )
            self._refusal = storm.format(MAX_DEATHS, reason)

    def _fail_soon(self, id_: int, code: int, message: str) -> None:
        """End a request that was never sent, after the caller has its id."""
        self._unsent.pop(id_, None)
        waiting = self._waiting.pop(id_)
        QTimer.singleShot(0, partial(self._answered.emit, waiting.on_error, WorkerFailure(code, message)))

    def _fail_all(self, message: str) -> None:
        unanswered, self._waiting = self._waiting, {}  # callbacks may send new requests
        self._unsent.clear()
        self._scenes.clear()
        self._initialized = None
        for waiting in unanswered.values():
            self._answered.emit(waiting.on_error, WorkerFailure(GONE, message))

    def _quit(self) -> None:
        self._closed = True
        self.stop()


def _call(callback: Callable[[Any], None], value: Any) -> None:
    """Run a callback as a slot: Qt reports an exception in it, and other callbacks still run."""
    callback(value)
