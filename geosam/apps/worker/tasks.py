"""Requests on their way to an answer, and the queue in which they wait for a thread."""

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


#: Tasks of this rank and higher ones are those that nobody waits for; how long they let others come first (seconds).
PATIENT, QUIET_S = 2, 0.25


class Stopped(Exception):
    """A request is not wanted any more; `code` and the text are the answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(eq=False)
class Task:
    """A request as the method that answers it sees it."""

    id: Id | None
    """Of the request; None for what the worker does of its own accord."""
    method: str
    """What is to be done."""
    arguments: Mapping[str, Any]
    """Checked arguments of the method."""
    outbox: Outbox
    """Where notifications go."""
    client: str = ""
    """Whose request it is."""
    stream: str = ""
    """Within which only the newest counts; empty for none."""
    rank: int = 0
    """Lower ones go first."""
    stop: Stopped | None = None
    """Why it is not wanted any more, once that is so."""
    steps: Iterator[None] | None = field(default=None, repr=False)
    """What is left to do of a method that lets others go first between its steps."""

    def check(self) -> None:
        """Give up if the task is not wanted any more.

        Raises:
            Stopped: it is not.
        """
        if self.stop is not None:
            raise self.stop

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification that counts; waits for the client to read."""
        self.outbox.send(notification(method, params), wanted=lambda: self.stop is None)

    def offer(self, method: str, **params: Any) -> None:
        """Send a notification that may be dropped."""
        self.outbox.offer(notification(method, params))


class FairQueue:
    """Tasks that wait: lowest rank first, clients in turn, the tasks of one client in their order.

    What nobody waits for begins only after a moment in which nothing else came: whoever moves a cursor asks again soon.

    Args:
        quiet_s: how long that moment is (seconds).
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
        """Let a task wait; behind those of its rank and client."""
        with self._changed:
            if task.rank < PATIENT:
                self._last = time.monotonic()
            self._turns.setdefault(task.rank, OrderedDict()).setdefault(task.client, deque()).append(task)
            self._changed.notify()

    def take(self) -> Task | None:
        """The task whose turn it is, as soon as there is one; None once the queue was closed."""
        with self._changed:
            while not self._closed:
                rank = min(self._turns, default=None)
                quiet_in = 0.0 if rank is None or rank < PATIENT else self._last + self._quiet_s - time.monotonic()
                if rank is not None and quiet_in <= 0:
                    return self._next(rank)
                self._changed.wait(quiet_in if quiet_in > 0 else None)
        return None

    def remove(self, task: Task) -> bool:
        """Take a task out of its turn; False if it does not wait."""
        with self._changed:
            turns = self._turns.get(task.rank)
            if turns is None or task not in turns.get(task.client, ()):
                return False
            turns[task.client].remove(task)
            self._forget_empty(task.rank, task.client)
            return True

    def close(self) -> None:
        """Give no more tasks away."""
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
