"""The server: reads lines, hands tasks to lanes, and gives every request exactly one answer."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from geosam import options
from geosam._version import __version__
from geosam.apps.worker import protocol
from geosam.apps.worker.lanes import Lane, refusal
from geosam.apps.worker.machine import resident_bytes, versions
from geosam.apps.worker.parameters import arguments
from geosam.apps.worker.pipes import RESERVE, ROOM
from geosam.apps.worker.protocol import Message, ProtocolError, Request, failure, result
from geosam.apps.worker.tasks import Stopped, Task
from geosam.errors import UsageError
from geosam.segmenters.registry import registry
from geosam.segmenters.weights.folder import checkpoint_folder
from geosam.segmenters.weights.manifest import manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geosam.apps.worker.pipes import Outbox
    from geosam.apps.worker.protocol import Id

_VERSION = protocol.VERSION
#: Largest number of waiting requests.
MAX_WAITING = 256
#: Time for an idle lane to end (seconds).
_MOMENT_S = 0.1
#: Rank of tasks that are done when no other task waits.
IDLE = 9


class Method(NamedTuple):
    """The lane of a method, and its rules."""

    lane: str
    """Name of the lane."""
    rank: int = 0
    """Priority: methods of lower rank go first."""
    at_once: bool = True
    """Answer a cancelled request at once, though its lane may still work on it. False for methods that write files:
    their answer comes when they have stopped."""


METHODS: Mapping[str, Method] = {
    "open": Method("interactive"),
    "close": Method("interactive"),
    "segment": Method("interactive"),
    "save_prompts": Method("interactive", rank=1, at_once=False),
    "prefetch": Method("interactive", rank=2),
    "run": Method("runs", at_once=False),
    "evaluate": Method("evaluation"),
}

#: Function that makes the service of each lane.
SERVICES: Mapping[str, str] = {
    "interactive": "geosam.apps.worker.click_service:ClickService",
    "runs": "geosam.apps.worker.run_service:RunService",
    "evaluation": "geosam.apps.worker.run_service:RunService",
}


class Server:
    """The worker's requests and their answers.

    Args:
        outbox: outbox for the answers.
        ended: called when a client ends the worker; :meth:`close` sends the answer.
        settings: arguments of the services, by lane.
    """

    def __init__(self, outbox: Outbox, ended: Callable[[], None], settings: Mapping[str, Mapping[str, Any]]) -> None:
        self._outbox = outbox
        self._ended = ended
        self._settings = settings
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[Id, Task] = {}
        self._lock = threading.Lock()
        self._initialized = self._closing = False
        self._last: Id | None = None
        self._own: Mapping[str, Callable[..., Message | None]] = {
            "initialize": self._initialize,
            "cancel": self._cancel,
            "options": self._options,
            "status": self._status,
            "shutdown": self._shutdown,
        }

    def handle(self, line: bytes) -> None:
        """Handle a line of the client. Every request gets an answer, now or later, even if it is invalid."""
        try:
            message = protocol.decode(line)
        except ProtocolError as error:
            self._urgent(failure(error.id, error.code, str(error)))
            return
        if not isinstance(message, Request):
            return  # an answer: the worker sends no requests, so nothing waits for it
        try:
            self._take(message)
        except ProtocolError as error:
            problem = failure(message.id, error.code, str(error))
        except BaseException as error:  # noqa: BLE001 - every error is an answer
            problem = refusal(message.id, error)
        else:
            return
        if message.id is not None:
            self._urgent(problem)

    def close(self, patience_s: float) -> bool:
        """Stop all tasks and answer all requests. Return False if a task still runs.

        Wait up to `patience_s` seconds for tasks that write files.
        """
        deadline = time.monotonic() + patience_s
        with self._lock:
            self._closing = True
            tasks = list(self._tasks.values())
        self._outbox.hasten()
        end = Stopped(protocol.CANCELLED, "the worker ends")
        for lane in self._lanes.values():
            lane.waiting.close()
        for task in tasks:
            self._stop(task, end)
        for lane in self._lanes.values():
            current = lane.current
            writes = current is not None and current.id is not None and not METHODS[current.method].at_once
            lane.join(max(_MOMENT_S, deadline - time.monotonic()) if writes else _MOMENT_S)
        with self._lock:
            unanswered = list(self._tasks.values())
        for task in unanswered:
            self._settle(task, refusal(task.id, end))
        if self._last is not None:
            self._urgent(result(self._last, {}))
        return not any(lane.busy for lane in self._lanes.values())

    def _take(self, request: Request) -> None:
        if request.method not in METHODS and request.method not in self._own:
            raise ProtocolError(protocol.UNKNOWN_METHOD, f"no such method: {request.method[:100]!r}")
        if request.id is None and request.method != "cancel":
            raise ProtocolError(protocol.INVALID_REQUEST, "expected an id: only cancel may have none")
        with self._lock:
            if request.id in self._tasks:
                raise ProtocolError(protocol.INVALID_REQUEST, f"id: {request.id!r} still waits for its answer")
        values = arguments(request.method, request.params)
        client, stream = values.pop("client", ""), values.pop("stream", "")
        if not self._initialized and request.method != "initialize":
            raise ProtocolError(protocol.INVALID_REQUEST, "expected the method initialize first")
        if request.method in self._own:
            answer = self._own[request.method](request.id, **values)
            if answer is not None and request.id is not None:
                self._urgent(result(request.id, answer))
            return
        if stream:
            self._supersede(client, stream)
        if sum(len(lane.waiting) for lane in self._lanes.values()) >= MAX_WAITING:
            raise ProtocolError(protocol.BUSY, f"too many requests wait: {MAX_WAITING}. Send it again later")
        self._wait(Task(request.id, request.method, values, self._outbox, client, stream, METHODS[request.method].rank))

    def _wait(self, task: Task) -> None:
        """Put a task into the queue of its lane."""
        name = METHODS[task.method].lane if task.id is not None else "interactive"
        with self._lock:
            if self._closing:
                raise Stopped(protocol.CANCELLED, "the worker ends")
            if name not in self._lanes:
                self._lanes[name] = Lane(name, SERVICES[name], self._settings.get(name, {}), self._settle)
            if task.id is not None:
                self._tasks[task.id] = task
        self._lanes[name].waiting.put(task)

    def _supersede(self, client: str, stream: str) -> None:
        with self._lock:
            older = [task for task in self._tasks.values() if (task.client, task.stream) == (client, stream)]
        for task in older:
            self._stop(task, Stopped(protocol.SUPERSEDED, "a newer request of its stream replaced it"))

    def _stop(self, task: Task, why: Stopped) -> None:
        """Stop a task. It is answered now, or when its lane has stopped."""
        method = METHODS[task.method]
        task.stop = task.stop or why
        if self._lanes[method.lane].waiting.remove(task) or method.at_once:
            self._settle(task, refusal(task.id, task.stop), ROOM + RESERVE)

    def _settle(self, task: Task, line: bytes, room: int = ROOM) -> None:
        """Answer a task that has no answer yet."""
        if task.id is None:
            return
        with self._lock:
            if self._tasks.get(task.id) is not task:
                return
            del self._tasks[task.id]
        self._outbox.send(line, room=room)

    def _urgent(self, line: bytes) -> None:
        self._outbox.send(line, room=ROOM + RESERVE)

    def _initialize(self, _: Id | None, *, protocol: int, model: Message | None = None) -> Message:
        if protocol != _VERSION:
            raise UsageError(
                f"the client speaks another protocol: found {protocol}, expected {_VERSION}.",
                remedy="Install versions of geosam and of the client that belong together.",
                code="protocol-mismatch",
                protocol=protocol,
                expected=_VERSION,
            )
        if not self._initialized:
            self._wait(Task(None, "prepare", {"model": model}, self._outbox, rank=IDLE))
        self._initialized = True
        return {"protocol": _VERSION, "geosam": __version__, "pid": os.getpid(), "models": known_models()}

    def _cancel(self, _: Id | None, *, id: Id) -> Message:  # noqa: A002 - JSON-RPC's own word
        with self._lock:
            task = self._tasks.get(id)
        if task is not None:
            self._stop(task, Stopped(protocol.CANCELLED, "cancelled"))
        return {}

    def _status(self, _: Id | None) -> Message:
        counts = self._lanes["interactive"].counts()
        return {
            "pid": os.getpid(),
            "versions": versions(),
            "memory_bytes": resident_bytes(),
            "scenes": 0,
            "models": 0,
            "windows": 0,
            "window_bytes": 0,
            **counts,
            "waiting": sum(len(lane.waiting) for lane in self._lanes.values()),
        }

    def _options(self, _: Id | None) -> Message:
        return {name: [option.to_json() for option in group] for name, group in options.GROUPS.items()}

    def _shutdown(self, id: Id | None) -> None:  # noqa: A002 - JSON-RPC's own word
        self._last = id
        self._ended()


def known_models() -> list[Message]:
    """Return the models by name, the default first. `ready` is False if the weights have to be downloaded."""
    folder = checkpoint_folder()
    return [
        {
            "name": name,
            "description": info.description,
            "ready": name not in manifest or (folder / manifest[name].file).is_file(),
        }
        for name, info in registry.items()
    ]
