"""The server: takes lines, sees to it that every request gets exactly one answer, and leaves the work to lanes."""

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
#: Requests that may wait.
MAX_WAITING = 256
#: What a lane that does nothing may take to end (seconds).
_MOMENT_S = 0.1
#: Rank of what is done when nothing else is to be done.
IDLE = 9


class Method(NamedTuple):
    """How a method is answered by a lane."""

    lane: str
    """Which one."""
    rank: int = 0
    """Methods of lower rank go first."""
    at_once: bool = True
    """Whether it is answered as soon as it is cancelled, though its lane may need a moment more; else it is waited for,
    because it writes files."""


METHODS: Mapping[str, Method] = {
    "open": Method("interactive"),
    "close": Method("interactive"),
    "segment": Method("interactive"),
    "save_prompts": Method("interactive", rank=1, at_once=False),
    "prefetch": Method("interactive", rank=2),
    "run": Method("runs", at_once=False),
    "evaluate": Method("evaluation"),
}

#: What makes the service of each lane.
SERVICES: Mapping[str, str] = {
    "interactive": "geosam.apps.worker.interactive:Interactive",
    "runs": "geosam.apps.worker.batch:Batch",
    "evaluation": "geosam.apps.worker.batch:Batch",
}


class Server:
    """Answers lines.

    Args:
        outbox: takes the answers.
        ended: called when a client has asked for the end; the answer is given by :meth:`close`.
        settings: arguments of the services of the lanes, by lane.
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
        """Take a line: a request is answered now or later, whatever it is."""
        try:
            message = protocol.decode(line)
        except ProtocolError as error:
            self._urgent(failure(error.id, error.code, str(error)))
            return
        if not isinstance(message, Request):
            return  # nothing is ever asked of the client
        try:
            self._take(message)
        except ProtocolError as error:
            problem = failure(message.id, error.code, str(error))
        except BaseException as error:  # noqa: BLE001 - as above, whatever it is
            problem = refusal(message.id, error)
        else:
            return
        if message.id is not None:
            self._urgent(problem)

    def close(self, patience_s: float) -> bool:
        """Stop everything and give the answers that are due, if they are read; False if something is still being done.

        What writes files is waited for, so many seconds at most.
        """
        deadline = time.monotonic() + patience_s
        with self._lock:
            self._closing = True
            tasks = list(self._tasks.values())
        self._outbox.hasten()
        ending = Stopped(protocol.CANCELLED, "the worker ends")
        for lane in self._lanes.values():
            lane.waiting.close()
        for task in tasks:
            self._stop(task, ending)
        for lane in self._lanes.values():
            now = lane.current
            writes = now is not None and now.id is not None and not METHODS[now.method].at_once
            lane.join(max(_MOMENT_S, deadline - time.monotonic()) if writes else _MOMENT_S)
        with self._lock:
            late = list(self._tasks.values())
        for task in late:
            self._settle(task, refusal(task.id, ending))
        if self._last is not None:
            self._urgent(result(self._last, {}))
        return not any(lane.busy for lane in self._lanes.values())

    def _take(self, request: Request) -> None:
        if request.method not in METHODS and request.method not in self._own:
            raise ProtocolError(protocol.UNKNOWN_METHOD, f"no such method: {request.method[:100]!r}")
        if request.id is None and request.method != "cancel":
            raise ProtocolError(protocol.INVALID_REQUEST, "nobody would get the answer")
        with self._lock:
            if request.id in self._tasks:
                raise ProtocolError(protocol.INVALID_REQUEST, f"id: {request.id!r} still waits for its answer")
        known = arguments(request.method, request.params)
        client, stream = known.pop("client", ""), known.pop("stream", "")
        if not self._initialized and request.method != "initialize":
            raise ProtocolError(protocol.INVALID_REQUEST, "initialize comes first")
        if request.method in self._own:
            answer = self._own[request.method](request.id, **known)
            if answer is not None and request.id is not None:
                self._urgent(result(request.id, answer))
            return
        if stream:
            self._supersede(client, stream)
        if sum(len(lane.waiting) for lane in self._lanes.values()) >= MAX_WAITING:
            raise ProtocolError(protocol.BUSY, f"{MAX_WAITING} requests wait, no more are taken. Ask again later")
        self._wait(Task(request.id, request.method, known, self._outbox, client, stream, METHODS[request.method].rank))

    def _wait(self, task: Task) -> None:
        """Let a task wait for its lane."""
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
            self._stop(task, Stopped(protocol.SUPERSEDED, "a newer request has taken its place"))

    def _stop(self, task: Task, why: Stopped) -> None:
        """Have a task given up; it is answered now, or when its lane has stopped."""
        method = METHODS[task.method]
        task.stop = task.stop or why
        if self._lanes[method.lane].waiting.remove(task) or method.at_once:
            self._settle(task, refusal(task.id, task.stop), ROOM + RESERVE)

    def _settle(self, task: Task, line: bytes, room: int = ROOM) -> None:
        """Answer a task, unless it was answered before."""
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

    def _shutdown(self, id: Id | None) -> None:  # noqa: A002
        self._last = id
        self._ended()


def known_models() -> list[Message]:
    """The models by name, the default first, and whether their weights are there."""
    folder = checkpoint_folder()
    return [
        {
            "name": name,
            "description": info.description,
            "ready": name not in manifest or (folder / manifest[name].file).is_file(),
        }
        for name, info in registry.items()
    ]
