"""Lanes: threads that do one task after the other. A lane imports its service when its first task arrives."""

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

#: Most characters of a message (or of its values) and of a traceback: they may quote a long request.
_MAX_TEXT, _MAX_TRACE = 2000, 20_000

logger = logging.getLogger(__name__)


class Service(Protocol):
    """The methods of a lane, and their shared state."""

    @property
    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """Functions by the name of the method; each takes the task and the arguments of the request.

        A function that lets other tasks go first between its steps is a generator. It returns the result at its end.
        """

    def counts(self) -> Mapping[str, int]:
        """Return counts of the shared state. Any thread may call this."""


class Lane:
    """A thread, and the tasks that wait for it.

    Args:
        name: name of the thread.
        service: function that makes the service, as ``package.module:function``. The thread calls it at its first task.
        settings: arguments of that function.
        settle: function that sends the answer; it takes the task and the line of the answer.
    """

    def __init__(
        self, name: str, service: str, settings: Mapping[str, Any], settle: Callable[[Task, bytes], None]
    ) -> None:
        self.waiting = FairQueue()
        """Queue of tasks."""
        self._factory, self._settings, self._settle = service, settings, settle
        self.current: Task | None = None
        """Task that the thread does now; None if it does nothing."""
        self._service: Service | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def counts(self) -> Mapping[str, int]:
        """Return the counts of the service."""
        return {} if self._service is None else self._service.counts()

    @property
    def busy(self) -> bool:
        """Return True if the thread still works on a task, after :meth:`join`."""
        return self._thread.is_alive()

    def join(self, patience_s: float) -> None:
        """Wait for the end of the current task, `patience_s` seconds at most. No other task starts."""
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
            del task, answer  # frees their memory while the thread waits

    def _advance(self, task: Task) -> bytes | None:
        """Do a task, or its next step. Return the line of the answer, or None if there are more steps."""
        try:
            done, value = self._step(task)
            return _answer(task.id, value) if done else None
        except BaseException as error:  # noqa: BLE001 - this is the boundary: every error is an answer
            return refusal(task.id, error)

    def _step(self, task: Task) -> tuple[bool, Any]:
        """Do a task, or its next step. Return True and the result if the task is done."""
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


def refusal(id: Id | None, error: BaseException) -> bytes:  # noqa: A002 - JSON-RPC's own word
    """Return the line that answers a request with an error."""
    match error:
        case Stopped():
            line = failure(id, error.code, str(error))
        case ParameterError():
            line = failure(id, INVALID_PARAMS, str(error)[:_MAX_TEXT])
        case GeosamError():
            line = _refused(id, error)
        case MemoryError():
            text = f"out of memory: {error or 'an allocation failed'}."
            line = _refused(id, OutOfMemory(text, remedy="Close other programs."))
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            line = _refused(id, DiskFull(f"no space left on device: {error}.", remedy="Free some space."))
        case RuntimeError() if "CUDA error" in str(error):
            text = f"the device failed: {str(error).splitlines()[0]}."
            remedy = "Start the worker again, or use the cpu."  # CUDA does not recover within a process
            line = _refused(id, DeviceUnavailable(text, remedy=remedy, code="device-failed"))
        case _:
            logger.error("internal error: %s", type(error).__name__)
            trace = "".join(traceback.format_exception(error))[-_MAX_TRACE:]
            text = f"internal error: {type(error).__name__}: {error}"[:_MAX_TEXT]
            line = failure(id, INTERNAL_ERROR, text, {"traceback": trace})
    return line


def _refused(id: Id | None, error: GeosamError) -> bytes:  # noqa: A002 - JSON-RPC's own word
    values = json_value(error.values)
    if len(json.dumps(values)) > _MAX_TEXT:  # a part of the values could mislead the client, so all are left out
        values = {}
    data = {"type": type(error).__name__, "exit_code": error.exit_code, "code": error.code, "values": values}
    data["remedy"] = error.remedy[:_MAX_TEXT]
    return failure(id, REFUSED, str(error)[:_MAX_TEXT], data)
