"""Batches: tasks that are cheaper together go through the executor together, and come out one by one.

The results of a batch travel as one block of bytes, with what the user should know about it, so that it makes no
difference in which process a batch was computed.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from geosam import errors
from geosam.errors import SceneError
from geosam.packing import join, split
from geosam.run.executor import run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from geosam.run.executor import Outcome


class BatchJob(Protocol):
    """What is done for each task, and how many tasks are done at once. Picklable."""

    @property
    def batch_size(self) -> int:
        """Tasks that are best done together."""

    def prepare(self, task: int) -> Any:
        """Read what the task needs; may run in another thread, ahead of time."""

    def finish(self, tasks: Sequence[int], prepared: Sequence[Any]) -> list[bytes]:
        """Compute the results of some tasks; they do not depend on which tasks are done together."""

    def name(self, task: int) -> str:
        """The task for people, ``tile r3 c7``."""

    def take_warnings(self) -> list[str]:
        """What the user should know since the last call."""


def run_batches(
    job: BatchJob, tasks: Sequence[int], workers: int, warn: Callable[[list[str]], None]
) -> Generator[Outcome, None, None]:
    """Yield (task, result) for every task; one whose raster part is unreadable yields its SceneError instead.

    Args:
        job: what is done.
        tasks: numbers of the tasks.
        workers: processes to use.
        warn: is told what the job has to say, in this process.

    Raises:
        OutOfMemory: a batch needed more memory than there is.
        WorkerDied: a worker process ended twice while it worked on the same batch.
    """
    size = max(1, min(job.batch_size, -(-len(tasks) // workers)))  # there is work for every worker
    batches = [tuple(tasks[start : start + size]) for start in range(0, len(tasks), size)]
    with closing(run(_Batches(job, batches), range(len(batches)), workers)) as outcomes:
        for number, outcome in outcomes:
            if isinstance(outcome, SceneError):
                yield batches[number][0], outcome  # the only task of its batch, see `_Batches.prepare`
                continue
            *results, notes = split(outcome)
            facts = json.loads(notes)
            warn(facts["warnings"])
            unread = {task: getattr(errors, kind)(text) for task, kind, text in facts["unread"]}
            done = iter(results)
            yield from ((task, unread[task] if task in unread else next(done)) for task in batches[number])


@dataclass(frozen=True, eq=False)
class _Batches:
    """The batches of a job as tasks of the executor, by number."""

    job: BatchJob
    batches: Sequence[tuple[int, ...]]

    def prepare(self, number: int) -> list[Any]:
        """What each task needs, or the SceneError that says why it cannot be had; a task alone raises it."""
        tasks = self.batches[number]
        return [self.job.prepare(tasks[0])] if len(tasks) == 1 else [self._attempt(task) for task in tasks]

    def _attempt(self, task: int) -> Any:
        try:
            return self.job.prepare(task)
        except SceneError as error:
            return error

    def finish(self, number: int, prepared: list[Any]) -> bytes:
        """The results of the tasks that could be read, then what is to be said about the batch."""
        pairs = list(zip(self.batches[number], prepared, strict=True))
        unread = [(task, type(item).__name__, str(item)) for task, item in pairs if isinstance(item, SceneError)]
        read = [pair for pair in pairs if not isinstance(pair[1], SceneError)]
        results = self.job.finish([task for task, _ in read], [item for _, item in read])
        return join([*results, json.dumps({"warnings": self.job.take_warnings(), "unread": unread}).encode()])

    def name(self, number: int) -> str:
        """The first task, and how many come with it."""
        first, *others = self.batches[number]
        return self.job.name(first) + (f" and the next {len(others)}" if others else "")
