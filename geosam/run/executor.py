"""Contract between a run and the machines that compute it: jobs, executors, and the steps that all executors share.

A :class:`Job` says what is computed for a task. An :class:`Executor` decides where: in this process, in others, or on
other machines. Every executor yields the same outcomes, in an order of its own. No result may depend on that order.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from geosam.errors import OutOfMemory, SceneError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence


class Job(Protocol):
    """Computation of tasks, which are numbers.

    A job is picklable. `finish` and `take_warnings` are called by one thread at a time: an executor with several
    threads gives each of them a copy.
    """

    @property
    def batch_size(self) -> int:
        """Largest number of tasks that are cheaper together."""

    def prepare(self, task: int) -> Any:
        """Read the data of one task; an executor may call this ahead of time, in another thread.

        Raises:
            SceneError: the raster cannot be read there.
        """

    def finish(self, tasks: Sequence[int], prepared: Sequence[Any]) -> list[bytes]:
        """Compute one result for each task; a result does not depend on the other tasks of the call.

        Raises:
            SceneError: the raster cannot be read where a task needs it.
            MemoryError: there is not enough memory.
        """

    def name(self, task: int) -> str:
        """Name a task for people, ``tile r3 c7``."""

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call."""


class Outcome(NamedTuple):
    """Result of one task, or its error."""

    task: int
    """Number of the task."""
    result: bytes | SceneError
    """Result of the task, or the error of its part of the raster."""
    warnings: tuple[str, ...] = ()
    """Warnings of a batch; its first outcome has them."""


class Executor(Protocol):
    """Computes the tasks of a job.

    A new executor divides the tasks with :func:`split_into_batches`, and calls :func:`prepare_batch` and
    :func:`finish_batch` for each batch, in any process. An executor also sets how many threads a library may use in
    each of its processes, because it alone knows how many processes share a machine.
    """

    @property
    def parallelism(self) -> int:
        """Number of batches that are computed at the same time."""

    @property
    def threads(self) -> int | None:
        """Number of threads that a numerical library may use in each process; None leaves the library's own number."""

    def run(self, job: Job, tasks: Sequence[int]) -> Generator[Outcome, None, None]:
        """Yield one outcome for every task, in any order; closing the generator stops the work.

        An error of the raster is the outcome of its task. Errors keep their code and values, also from other processes.

        Raises:
            OutOfMemory: a batch needs more memory than there is; the message names its tasks.
            WorkerDied: a process ended twice while it computed the same batch.
        """


def split_into_batches(job: Job, tasks: Sequence[int], parallelism: int) -> list[tuple[int, ...]]:
    """Divide tasks into batches of the job's size, or smaller ones if some workers would get none."""
    size = max(1, min(job.batch_size, -(-len(tasks) // parallelism)))  # rounded up
    return [tuple(tasks[start : start + size]) for start in range(0, len(tasks), size)]


def prepare_batch(job: Job, batch: Sequence[int]) -> list[Any]:
    """Read the data of each task of a batch; the error of a task stands in its place.

    Raises:
        OutOfMemory: with the names of the tasks in its message.
    """
    with naming_memory_errors(job, batch):
        return [_prepared(job, task) for task in batch]


def finish_batch(job: Job, batch: Sequence[int], prepared: Sequence[Any]) -> list[Outcome]:
    """Compute a batch and return one outcome for each of its tasks, the warnings with the first one.

    Raises:
        OutOfMemory: with the names of the tasks in its message.
    """
    data_of = dict(zip(batch, prepared, strict=True))
    readable = [(task, data) for task, data in data_of.items() if not isinstance(data, SceneError)]
    with naming_memory_errors(job, batch):
        results = data_of | _finished(job, readable)
    warnings = tuple(job.take_warnings())  # now, because the job may live in another process
    return [Outcome(task, results[task], () if number else warnings) for number, task in enumerate(batch)]


def name_of(job: Job, batch: Sequence[int]) -> str:
    """Name a batch for people: its first task, and the number of the others."""
    first, *others = batch
    return job.name(first) + (f" and the next {len(others)}" if others else "")


def _prepared(job: Job, task: int) -> Any:
    try:
        return job.prepare(task)
    except SceneError as error:
        return error


def _finished(job: Job, readable: Sequence[tuple[int, Any]]) -> dict[int, bytes | SceneError]:
    tasks, prepared = [task for task, _ in readable], [data for _, data in readable]
    try:
        return dict(zip(tasks, job.finish(tasks, prepared), strict=True))
    except SceneError as error:
        if len(tasks) == 1:
            return {tasks[0]: error}
    # One of several tasks failed, and the error does not tell which: compute each of them alone.
    return {task: result for pair in readable for task, result in _finished(job, [pair]).items()}


@contextmanager
def naming_memory_errors(job: Job, batch: Sequence[int]) -> Iterator[None]:
    """Turn a MemoryError into an OutOfMemory that names the tasks, unless it names them already."""
    try:
        yield
    except MemoryError as error:
        place = name_of(job, batch)
        if not isinstance(error, OutOfMemory):
            raise OutOfMemory(
                f"out of memory at {place}.",
                remedy="Use fewer `workers` or a smaller `tile_size`; the next run resumes.",
                code="out-of-memory-at-task",
                place=place,
            ) from error
        if "place" in error.values:
            raise
        # The remedy of the first error stays: it fits its cause better.
        values = {**error.values, "place": place}
        raise OutOfMemory(f"{place}: {error.message}", remedy=error.remedy, code=error.code, **values) from error
