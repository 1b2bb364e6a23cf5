"""Executors of this machine: in this process, and in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for_process
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, cast

from geosam.errors import UsageError, WorkerDied
from geosam.run.executor import finish_batch, name_of, naming_memory_errors, prepare_batch, split_into_batches

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from geosam.run.executor import Executor, Job, Outcome

#: Batches that are read ahead of the one that is computed.
_AHEAD = 2
#: Variables from which numerical libraries take their number of threads when they are loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def local_executor(workers: int = 1, threads: int | None = None) -> Executor:
    """Return the executor of this machine for a number of processes.

    Args:
        workers: number of processes; with 1 this process does the work.
        threads: number of threads that a numerical library may use in each process; None changes nothing.

    Raises:
        UsageError: `workers` or `threads` is less than 1.
    """
    if workers < 1:
        raise UsageError(
            f"`workers` is too small: found {workers}, expected at least 1.", code="workers-too-few", workers=workers
        )
    if threads is not None and threads < 1:
        raise UsageError(
            f"`threads` is too small: found {threads}, expected at least 1.",
            code="threads-too-few",
            threads=threads,
        )
    return ThisProcess(threads) if workers == 1 else Processes(workers, threads)


@dataclass(frozen=True)
class ThisProcess:
    """Computes batches one by one in this process, while a thread reads the next ones."""

    threads: int | None = None
    """Number of threads of a numerical library during the run; None leaves the library's own number."""

    @property
    def parallelism(self) -> int:
        """Number of batches at the same time: one."""
        return 1

    def run(self, job: Job, tasks: Sequence[int]) -> Generator[Outcome, None, None]:
        """Yield one outcome for every task, in the order of the tasks; see :class:`~geosam.run.executor.Executor`."""
        reader = ThreadPoolExecutor(1, thread_name_prefix="geosam-read")
        ahead: deque[tuple[tuple[int, ...], Future[list[Any]]]] = deque()
        waiting = iter(split_into_batches(job, tasks, self.parallelism))
        try:
            while True:
                while len(ahead) < _AHEAD and (batch := next(waiting, None)) is not None:
                    ahead.append((batch, reader.submit(prepare_batch, job, batch)))
                if not ahead:
                    return
                batch, prepared = ahead.popleft()
                with _limited_threads(self.threads):
                    outcomes = finish_batch(job, batch, prepared.result())
                yield from outcomes
        finally:
            reader.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Processes:
    """Computes batches in spawned processes, which end with this one.

    A process that dies is noticed, and its batches are computed once more. A single batch is computed in this process.
    """

    workers: int
    """Number of processes."""
    threads: int | None = None
    """Number of threads of a numerical library in each process; None leaves the library's own number."""

    @property
    def parallelism(self) -> int:
        """Number of batches at the same time: one for each process."""
        return self.workers

    def run(self, job: Job, tasks: Sequence[int]) -> Generator[Outcome, None, None]:
        """Yield one outcome for every task, in any order; see :class:`~geosam.run.executor.Executor`."""
        batches = split_into_batches(job, tasks, self.parallelism)
        if len(batches) < 2:
            yield from ThisProcess(self.threads).run(job, tasks)
            return
        workers = min(self.workers, len(batches))
        lost: set[tuple[int, ...]] = set()
        todo = deque(batches)
        while todo:
            running: dict[Future[list[Outcome]], tuple[int, ...]] = {}
            try:
                yield from _in_pool(job, todo, running, workers, self.threads)
            except BrokenProcessPool as error:
                unfinished = sorted(running.values())
                if lost & set(unfinished):
                    raise _died(name_of(job, min(lost & set(unfinished)))) from error
                lost |= set(unfinished)
                todo.extendleft(reversed(unfinished))


def _in_pool(
    job: Job,
    todo: deque[tuple[int, ...]],
    running: dict[Future[list[Outcome]], tuple[int, ...]],
    workers: int,
    threads: int | None,
) -> Generator[Outcome, None, None]:
    """Yield the outcomes of batches.

    Args:
        job: computation of the tasks.
        todo: batches to compute; a batch that the pool has accepted is removed.
        running: receives the accepted batches that are not finished yet, for the caller if the pool breaks.
        workers: number of processes.
        threads: number of threads of a numerical library in each process; None leaves the library's own number.

    Raises:
        BrokenProcessPool: a process ended while batches were in `running`.
    """
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=_become_worker,
        initargs=(bytes(ForkingPickler.dumps(job)), threads),
    )
    starter = ThreadPoolExecutor(1, thread_name_prefix="geosam-start", initializer=_hold_interrupts)
    try:
        while todo or running:
            while todo and len(running) < 2 * workers:  # one batch waits for each process, so that none is idle
                running[starter.submit(pool.submit, _work, todo[0]).result()] = todo[0]
                todo.popleft()  # only now: a pool that has just broken takes no batch
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                with naming_memory_errors(job, running[done]):  # a process may have no memory for the job itself
                    outcomes = done.result()
                del running[done]
                yield from outcomes
    finally:
        starter.shutdown(wait=True)
        _end(pool)


def _died(place: str) -> WorkerDied:
    return WorkerDied(
        f"a worker process ended without an answer, twice, at {place}: probably killed for lack of memory.",
        remedy="Use fewer `workers` or a smaller `tile_size`; the next run resumes.",
        code="worker-died-twice",
        place=place,
    )


def _hold_interrupts() -> None:
    """Prepare the thread in which worker processes are started.

    Two reasons for a thread of its own: signal handlers run in the main thread only, so no signal interrupts a start
    half-way. And the processes inherit the blocked Ctrl-C of this thread; otherwise it would end them with a traceback
    while they import modules, before `_become_worker` ignores it.
    """
    resource_tracker.ensure_running()  # before the block: starting it later would lift the block
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _end(pool: ProcessPoolExecutor) -> None:
    """Kill the processes of the pool, busy or not: their results are not needed any more."""
    processes = list((pool._processes or {}).values())  # noqa: SLF001 - `kill_workers` comes with Python 3.14
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


_job: Job | bytes = b""
_threads: int | None = None


def _become_worker(job: bytes, threads: int | None) -> None:
    """Set up a worker process: it ignores Ctrl-C, which the parent handles, and ends with its parent.

    The job is unpickled at the first batch, not here: an error while a network is loaded becomes the error of a task.
    """
    global _job, _threads
    _job, _threads = job, threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if threads is not None:
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_process([parent.sentinel])
        os._exit(1)


def _work(batch: Sequence[int]) -> list[Outcome]:
    global _job  # noqa: PLW0603 - a process pool hands state to its tasks this way only
    if isinstance(_job, bytes):
        _job = cast("Job", ForkingPickler.loads(_job))  # the parent's own bytes
    with _limited_threads(_threads):
        return finish_batch(_job, batch, prepare_batch(_job, batch))


@contextmanager
def _limited_threads(count: int | None) -> Iterator[None]:
    """Limit the threads of PyTorch, if it is loaded, inside the `with` block; None changes nothing."""
    torch = sys.modules.get("torch")  # only models load it
    if count is None or torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
