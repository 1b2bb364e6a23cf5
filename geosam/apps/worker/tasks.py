"""Tasks (requests that need a thread), and the queue in which they wait for it."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from geosam.apps.worker.protocol import notification

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from geosam.apps.worker.pipes import Outbox
    from geosam.apps.worker.protocol import Id


#: Least rank of tasks that no user waits for, and the quiet time before one of them starts (seconds).
PATIENT, QUIET_S = 2, 0.25


class Stopped(Exception):
    """A request was cancelled or replaced; `code` and the text are the answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(eq=False)
class Task:
    """A request with its checked arguments, and its way back to the client."""

    id: Id | None
    """Id of the request; None for a task that no client sent."""
    method: str
    """Name of the method that answers it."""
    arguments: Mapping[str, Any]
    """Checked arguments of the method."""
    outbox: Outbox
    """Outbox for notifications."""
    client: str = ""
    """Client that sent the request."""
    stream: str = ""
    """Stream of the client, in which only the newest request counts; empty for none."""
    rank: int = 0
    """Priority: tasks of lower rank go first."""
    stop: Stopped | None = None
    """Reason to stop, once there is one."""
    steps: Iterator[None] | None = field(default=None, repr=False)
    """Remaining steps of a method that lets other tasks go first between its steps."""

    def check(self) -> None:
        """Stop here if the task was cancelled or replaced.

        Raises:
            Stopped: the task was cancelled or replaced.
        """
        if self.stop is not None:
            raise self.stop

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification that must arrive. Wait while the outbox is full."""
        self.outbox.send(notification(method, params), needed=lambda: self.stop is None)

    def offer(self, method: str, **params: Any) -> None:
        """Send a notification, or drop it if the client reads too slowly."""
        self.outbox.offer(notification(method, params))


class FairQueue:
    """Waiting tasks: lowest rank first, clients in turn, the tasks of one client in their order.

    A task that no user waits for starts only after a quiet time without other tasks: a user who is at work will soon
    send the next request.

    Args:
        quiet_s: length of the quiet time (seconds).
    """

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._last = -math.inf
        self._turns: dict[int, OrderedDict[str, deque[Task]]] = {}
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return sum(len(tasks) for turns in self._turns.values() for tasks in turns.values())

    def put(self, task: Task) -> None:
        """Add a task behind those of its rank and client."""
        with self._changed:
            if task.rank < PATIENT:
                self._last = time.monotonic()
            self._turns.setdefault(task.rank, OrderedDict()).setdefault(task.client, deque()).append(task)
            self._changed.notify()

    def take(self) -> Task | None:
        """Wait for the next task and return it. Return None if the queue is closed."""
        with self._changed:
            while not self._closed:
                rank = min(self._turns, default=None)
                quiet_in = 0.0 if rank is None or rank < PATIENT else self._last + self._quiet_s - time.monotonic()
                if rank is not None and quiet_in <= 0:
                    return self._next(rank)
                self._changed.wait(quiet_in if quiet_in > 0 else None)
        return None

    def remove(self, task: Task) -> bool:
        """Remove a task. Return False if it does not wait in the queue."""
        with self._changed:
            turns = self._turns.get(task.rank)
            if turns is None or task not in turns.get(task.client, ()):
                return False
            turns[task.client].remove(task)
            self._forget_empty(task.rank, task.client)
            return True

    def close(self) -> None:
        """Return no more tasks."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self, rank: int) -> Task:
        turns = self._turns[rank]
        client = next(iter(turns))
        task = turns[client].popleft()
        turns.move_to_end(client)
        self._forget_empty(rank, client)
        return task

    def _forget_empty(self, rank: int, client: str) -> None:
        if not self._turns[rank][client]:
            del self._turns[rank][client]
        if not self._turns[rank]:
            del self._turns[rank]
