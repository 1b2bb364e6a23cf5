"""The plugin's side of the conversation with the worker.

A request starts the worker if it does not run, waits until both have agreed on the protocol, and ends in exactly one
call, whatever becomes of the process. Nothing blocks, and no callback runs inside the call that caused it, except for
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
from geosam_qgis.engine.exit_messages import explain, explain_versions
from geosam_qgis.engine.locations import WorkerCommand, find_worker
from geosam_qgis.engine.process import Ending, WorkerProcess
from geosam_qgis.texts import tr

#: Code of a request that no worker will answer: there is none, it died, or it was stopped.
GONE = -32099
#: While more requests than this wait for an answer, those of a stream are refused.
MAX_WAITING = 64
#: A worker that dies so often within so many seconds is not started again.
MAX_DEATHS, STORM_S = 3, 60.0


class WorkerFailure(NamedTuple):
    """Why a request has no result."""

    code: int
    """One of the codes of the protocol, or GONE."""
    message: str
    """One or two sentences for people."""
    data: dict[str, Any] | None = None
    """What the worker adds: `type` and `exit_code` of a refusal, `traceback` of a bug."""


class Death(NamedTuple):
    """A worker that ended without being asked, or could not be used."""

    at: float
    """Monotonic time, in seconds."""
    reason: str
    """For people."""
    stderr: str
    """The last of what it printed."""


OnResult = Callable[[Any], None]
OnError = Callable[[WorkerFailure], None]


@dataclass
class _Waiting:
    """A request without an answer."""

    on_result: OnResult
    on_error: OnError
    stream: str
    line: bytes
    """Empty once it was sent."""


@dataclass
class _Opening:
    """A scene in this life of the worker: the answer to *open*, or who waits for it."""

    answer: dict[str, Any] | None = None
    waiting: list[tuple[OnResult, OnError]] = field(default_factory=list)


class WorkerClient(QObject):
    """Requests to one worker process, which is started when it is needed, and again when it has died."""

    started = pyqtSignal(object)
    """The answer to *initialize*."""
    stopped = pyqtSignal(str)
    """Why the process is gone; empty if it was asked to go."""
    notified = pyqtSignal(str, object)
    """Method and parameters of a notification."""
    _answered = pyqtSignal(object, object)

    def __init__(self, command: WorkerCommand | None = None, parent: QObject | None = None) -> None:
        """A client of `command`, or of the worker that is found when one is started."""
        super().__init__(parent)
        #: `{name, device, ...}` of the model that a new process is to load before it is asked for; None for none.
        self.model: dict[str, Any] | None = None
        self._given = command
        self._program = ""
        self._life: WorkerProcess | None = None
        self._greeting: dict[str, Any] | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: dict[int, None] = {}
        self._scenes: dict[str, _Opening] = {}
        self._leaving: dict[WorkerProcess, str] = {}
        self._last_id = 0
        self._deaths: list[Death] = []
        self._refusal = ""
        self._closed = False
        self._answered.connect(_call)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._quit)

    @property
    def is_running(self) -> bool:
        """Whether there is a process that takes requests."""
        return self._life is not None

    @property
    def is_ending(self) -> bool:
        """Whether a process that was asked to go is still there."""
        return bool(self._leaving)

    @property
    def program(self) -> str:
        """Path of what was started last."""
        return self._program

    @property
    def greeting(self) -> dict[str, Any] | None:
        """The answer of the worker that runs to *initialize*, once it is there."""
        return self._greeting

    @property
    def stderr(self) -> str:
        """The last of what the worker that runs has printed."""
        return self._life.stderr if self._life else ""

    @property
    def deaths(self) -> tuple[Death, ...]:
        """The last times that a worker has died."""
        return tuple(self._deaths)

    def request(
        self, method: str, params: dict[str, Any], on_result: OnResult, on_error: OnError, stream: str = ""
    ) -> int:
        """Ask; exactly one of the two is called, later, in this thread.

        Args:
            method: One of those of `docs/worker.md`.
            params: Its parameters.
            on_result: Gets the result.
            on_error: Gets a WorkerFailure.
            stream: Only the newest request of a stream counts; older ones end as superseded.

        Returns:
            The id, for :meth:`cancel`; notifications about the request carry it.
        """
        self._last_id = id_ = self._last_id + 1
        waiting = self._waiting[id_] = _Waiting(on_result, on_error, stream, b"")
        if stream and len(self._waiting) > MAX_WAITING:
            self._fail_soon(id_, protocol.BUSY, tr("The worker does not keep up."))
            return id_
        try:
            waiting.line = protocol.request(id_, method, {**params, "stream": stream} if stream else params)
        except ValueError as error:
            self._fail_soon(id_, protocol.INVALID_PARAMS, str(error))
            return id_
        obstacle = "" if self._life else self._start()
        if obstacle:
            self._fail_soon(id_, GONE, obstacle)
            return id_
        self._withdraw(stream)
        self._unsent[id_] = None
        self._send()
        return id_

    def cancel(self, request_id: int) -> None:
        """Give a request up; it ends as cancelled, unless it is done already."""
        if request_id in self._unsent:
            self._fail_soon(request_id, protocol.CANCELLED, tr("Cancelled."))
        elif request_id in self._waiting and self._life:
            self._life.send(protocol.notification("cancel", {"id": request_id}))

    def scene(self, path: str, options: dict[str, Any], on_ready: OnResult, on_error: OnError) -> None:
        """The answer to *open*, asked for once in the life of a process.

        To be called before every request that names a scene: the id is good as long as this very process lives.
        """
        key = json.dumps([path, options], sort_keys=True, default=str)
        opening = self._scenes.get(key)
        if opening is None:
            opening = self._scenes[key] = _Opening()
            done = partial(self._opened, key, opening)
            self.request("open", {"path": path, "options": options}, done, done)
        if opening.answer is not None:
            QTimer.singleShot(0, partial(self._answered.emit, on_ready, opening.answer))
        else:
            opening.waiting.append((on_ready, on_error))

    def forget_scene(self, path: str) -> None:
        """Ask for this raster anew, whose file may have changed."""
        for key, opening in list(self._scenes.items()):
            if json.loads(key)[0] == path and opening.answer is not None:
                del self._scenes[key]

    def stop(self) -> None:
        """Ask the worker to end. What waits for an answer ends now; `stopped` comes when the process is gone."""
        self._let_go("", tr("The worker was stopped."))

    def reset(self) -> None:
        """Forget how often it has died: the next request starts it again."""
        self._refusal = ""
        self._deaths.clear()

    def _start(self) -> str:
        """Start a process; why it cannot be, or nothing."""
        if self._closed:
            return tr("The worker was stopped.")
        if self._refusal:
            return self._refusal
        command = self._given or find_worker()
        if command is None:
            return tr("No geosam worker was found. Install one, or choose one: see Diagnose.")
        self._program = command.program
        self._life = life = WorkerProcess(command)
        life.heard.connect(self._heard)
        life.writable.connect(self._send)
        life.ended.connect(self._ended)
        self.destroyed.connect(life.stop)
        self._last_id = id_ = self._last_id + 1
        self._waiting[id_] = _Waiting(self._greet, self._not_greeted, "", b"")
        life.start()
        greeting = {"protocol": protocol.VERSION, **({"model": self.model} if self.model else {})}
        life.send(protocol.request(id_, "initialize", greeting))
        return ""

    def _greet(self, answer: Any) -> None:
        theirs = answer.get("protocol") if isinstance(answer, dict) else None
        if theirs != protocol.VERSION:
            self._give_up(explain_versions(theirs, self._program))
            return
        self._greeting = answer
        self.started.emit(answer)
        self._send()

    def _not_greeted(self, failure: WorkerFailure) -> None:
        if failure.code != GONE:  # else it died, and the next one may be running already
            theirs = (failure.data or {}).get("protocol")
            self._give_up(explain_versions(theirs, self._program) if theirs else failure.message)

    def _give_up(self, reason: str) -> None:
        """Let a worker go that lives, but is of no use."""
        if self._life:
            self._died(reason, self._life.stderr)
            self._let_go(reason, reason)

    def _let_go(self, reason: str, message: str) -> None:
        life, self._life = self._life, None
        if life is None:
            return
        life.heard.disconnect(self._heard)
        life.writable.disconnect(self._send)
        self._leaving[life] = reason
        life.stop()
        closed, self._closed = self._closed, True  # a callback that asks again must not start the next one
        self._fail_all(message)
        self._closed = closed

    def _withdraw(self, stream: str) -> None:
        """Requests of the stream that were not sent need not be any more."""
        for id_ in [id_ for id_ in self._unsent if stream and self._waiting[id_].stream == stream]:
            self._fail_soon(id_, protocol.SUPERSEDED, tr("Superseded."))

    def _send(self) -> None:
        while self._greeting and self._life and self._unsent and self._life.has_room:
            id_ = next(iter(self._unsent))
            del self._unsent[id_]
            waiting = self._waiting[id_]
            self._life.send(waiting.line)
            waiting.line = b""

    def _heard(self, message: protocol.Request | protocol.Reply) -> None:
        if isinstance(message, protocol.Request):
            self.notified.emit(message.method, message.params)
            return
        waiting = self._waiting.pop(message.id, None) if isinstance(message.id, int) else None
        if waiting is None:
            return
        if message.error is None:
            self._answered.emit(waiting.on_result, message.result)
        else:
            error, data = message.error, message.error.get("data")
            failure = WorkerFailure(error["code"], error["message"], data if isinstance(data, dict) else None)
            self._answered.emit(waiting.on_error, failure)

    def _opened(self, key: str, opening: _Opening, answer: dict[str, Any] | WorkerFailure) -> None:
        if not isinstance(answer, WorkerFailure):
            opening.answer = answer
        elif self._scenes.get(key) is opening:
            del self._scenes[key]
        for on_ready, on_error in opening.waiting:
            self._answered.emit(on_ready if opening.answer is not None else on_error, answer)

    def _ended(self, ending: Ending) -> None:
        life = self.sender()
        if life is not self._life:
            self.stopped.emit(self._leaving.pop(life, ""))
            return
        self._life = None
        reason = explain(ending, self._program)
        self._died(reason, ending.stderr)
        self._fail_all(reason)
        self.stopped.emit(reason)

    def _died(self, reason: str, stderr: str) -> None:
        QgsMessageLog.logMessage(f"{reason}\n{stderr}".strip(), "geosam", Qgis.MessageLevel.Warning)
        now = time.monotonic()
        self._deaths = [*self._deaths, Death(now, reason, stderr)][-MAX_DEATHS:]
        if len(self._deaths) == MAX_DEATHS and now - self._deaths[0].at < STORM_S:
            often = tr("The worker ended {} times within a minute and is not started again until that is seen to. {}")
            self._refusal = often.format(MAX_DEATHS, reason)

    def _fail_soon(self, id_: int, code: int, message: str) -> None:
        """End a request that was never sent, after the caller has got its id."""
        self._unsent.pop(id_, None)
        waiting = self._waiting.pop(id_)
        QTimer.singleShot(0, partial(self._answered.emit, waiting.on_error, WorkerFailure(code, message)))

    def _fail_all(self, message: str) -> None:
        waiting, self._waiting = self._waiting, {}
        self._unsent.clear()
        self._scenes.clear()
        self._greeting = None
        for one in waiting.values():
            self._answered.emit(one.on_error, WorkerFailure(GONE, message))

    def _quit(self) -> None:
        self._closed = True
        self.stop()


def _call(callback: Callable[[Any], None], value: Any) -> None:
    """Run a callback as a slot: an exception in it is reported as any other, and stops nothing else."""
    callback(value)
