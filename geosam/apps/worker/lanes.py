"""Lanes: threads that do tasks one after the other. What a lane needs is imported in it, when its first task comes."""

from __future__ import annotations

import errno
import importlib
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from geosam.apps.json_values import json_value
from geosam.apps.worker.parameters import ParameterError
from geosam.apps.worker.protocol import INTERNAL_ERROR, INVALID_PARAMS, REFUSED, failure, result
from geosam.apps.worker.tasks import FairQueue, Stopped
from geosam.errors import DeviceUnavailable, DiskFull, GeosamError, OutOfMemory

if TYPE_CHECKING:
    from geosam.apps.worker.protocol import Id
    from geosam.apps.worker.tasks import Task

#: Most characters of a message (or of its values) and of a traceback: they may quote what was sent.
_MAX_TEXT, _MAX_TRACE = 2000, 20_000

logger = logging.getLogger(__name__)


class Service(Protocol):
    """The methods of a lane and what they share."""

    @property
    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """By name; each is called with the task and the arguments of the request.

        One that lets other tasks go first between its steps is a generator; what it returns is the result.
        """

    def counts(self) -> Mapping[str, int]:
        """What it holds, from any thread."""


class Lane:
    """A thread with the tasks that wait for it.

    Args:
        name: of the thread.
        service: makes the service, in the thread, when the first task comes; ``package.module:function``.
        settings: arguments of that function.
        settle: takes the line of an answer.
    """

    def __init__(
        self, name: str, service: str, settings: Mapping[str, Any], settle: Callable[[Task, bytes], None]
    ) -> None:
        self.waiting = FairQueue()
        """Tasks whose turn has not come."""
        self._factory, self._settings, self._settle = service, settings, settle
        self.current: Task | None = None
        """The task that is being done."""
        self._service: Service | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def counts(self) -> Mapping[str, int]:
        """What the service holds."""
        return {} if self._service is None else self._service.counts()

    @property
    def busy(self) -> bool:
        """Whether it still does something, after :meth:`join`."""
        return self._thread.is_alive()

    def join(self, patience_s: float) -> None:
        """Wait for the end of the task that is being done; no other is begun."""
        self.waiting.close()
        self._thread.join(patience_s)

    def _work(self) -> None:
        while (task := self.waiting.take()) is not None:
            self.current = task
            answer = self._advance(task)
            if answer is None:
                self.waiting.put(task)
            else:
                self._settle(task, answer)
            self.current = None
            del task, answer  # what they hold is not needed while nothing is to be done

    def _advance(self, task: Task) -> bytes | None:
        """Do a task, or its next step; None if there are more."""
        try:
            done, value = self._step(task)
            return _answer(task.id, value) if done else None
        except BaseException as error:  # noqa: BLE001 - this is the boundary: every error is an answer
            return refusal(task.id, error)

    def _step(self, task: Task) -> tuple[bool, Any]:
        """Whether a task is done now, and its result."""
        task.check()
        if task.steps is None:
            value = self._called(task)
            if not isinstance(value, Iterator):
                return True, value
            task.steps = value
        try:
            next(task.steps)
        except StopIteration as end:
            return True, end.value
        return False, None

    def _called(self, task: Task) -> Any:
        if self._service is None:
            module, function = self._factory.split(":")
            self._service = getattr(importlib.import_module(module), function)(**self._settings)
        return self._service.methods[task.method](task, **task.arguments)


def _answer(id: Id | None, value: Any) -> bytes:  # noqa: A002 - JSON-RPC's own word
    return b"" if id is None else result(id, value)


def refusal(id: Id | None, error: BaseException) -> bytes:  # noqa: A002
    """The line that answers a request which ended in an error."""
    match error:
        case Stopped():
            line = failure(id, error.code, str(error))
        case ParameterError():
            line = failure(id, INVALID_PARAMS, str(error)[:_MAX_TEXT])
        case GeosamError():
            line = _refused(id, error)
        case MemoryError():
            found = f"out of memory: {error or 'an allocation failed'}."
            line = _refused(id, OutOfMemory(found, remedy="Close other programs."))
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            line = _refused(id, DiskFull(f"no space left on device: {error}.", remedy="Free some space."))
        case RuntimeError() if "CUDA error" in str(error):
            found = f"the device failed: {str(error).splitlines()[0]}."
            remedy = "Start the worker again, or use the cpu."
            line = _refused(id, DeviceUnavailable(found, remedy=remedy, code="device-failed"))
        case _:
            logger.error("internal error: %s", type(error).__name__)
            trace = "".join(traceback.format_exception(error))[-_MAX_TRACE:]
            text = f"internal error: {type(error).__name__}: {error}"[:_MAX_TEXT]
            line = failure(id, INTERNAL_ERROR, text, {"traceback": trace})
    return line


def _refused(id: Id | None, error: GeosamError) -> bytes:  # noqa: A002
    values = json_value(error.values)
    if len(json.dumps(values)) > _MAX_TEXT:
        values = {}
    data = {"type": type(error).__name__, "exit_code": error.exit_code, "code": error.code, "values": values}
    return failure(id, REFUSED, str(error)[:_MAX_TEXT], data)
