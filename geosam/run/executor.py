"""Runs independent tasks, in this process or in several, and yields results as they come.

A job is picklable and has two halves: `prepare` reads (it may run in another thread, ahead of time), `finish`
computes. Results arrive in no stated order; nothing downstream may depend on it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for_process
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, Protocol, cast

from geosam.errors import OutOfMemory, SceneError, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    Outcome = tuple[int, bytes | SceneError]

#: Tasks read ahead of the one that is computed.
_AHEAD = 2


class Job(Protocol):
    """What is done for each task, which is a number."""

    def prepare(self, task: int) -> Any:
        """Read what the task needs."""

    def finish(self, task: int, prepared: Any) -> bytes:
        """Compute the task's result."""

    def name(self, task: int) -> str:
        """The task for people, ``tile r3 c7``."""


def run(job: Job, tasks: Sequence[int], workers: int = 1) -> Generator[Outcome, None, None]:
    """Yield (task, result) for every task; a task whose raster part is unreadable yields its SceneError instead.

    Raises:
        OutOfMemory: a task needed more memory than there is.
        WorkerDied: a worker process ended twice while it worked on the same task.
    """
    if workers > 1 and len(tasks) > 1:
        yield from _in_processes(job, tasks, min(workers, len(tasks)))
    else:
        yield from _in_this_process(job, tasks)


def _in_this_process(job: Job, tasks: Sequence[int]) -> Generator[Outcome, None, None]:
    reader = ThreadPoolExecutor(1, thread_name_prefix="geosam-read")
    ahead: deque[tuple[int, Future[Any]]] = deque()
    waiting = iter(tasks)
    try:
        while True:
            while len(ahead) < _AHEAD and (task := next(waiting, None)) is not None:
                ahead.append((task, reader.submit(job.prepare, task)))
            if not ahead:
                return
            task, prepared = ahead.popleft()
            yield task, _attempt(job, task, prepared)
    finally:
        reader.shutdown(wait=True, cancel_futures=True)


def _attempt(job: Job, task: int, prepared: Future[Any]) -> bytes | SceneError:
    try:
        return job.finish(task, prepared.result())
    except SceneError as error:
        return error
    except MemoryError as error:
        raise _out_of_memory(job, task, error) from error


def _in_processes(job: Job, tasks: Sequence[int], workers: int) -> Generator[Outcome, None, None]:
    lost: set[int] = set()
    todo = deque(tasks)
    while todo:
        running: dict[Future[bytes], int] = {}
        pool = ProcessPoolExecutor(
            workers,
            multiprocessing.get_context("spawn"),
            initializer=_become_worker,
            initargs=(bytes(ForkingPickler.dumps(job)),),
        )
        starter = ThreadPoolExecutor(1, thread_name_prefix="geosam-start", initializer=_hold_interrupts)
        try:
            while todo or running:
                while todo and len(running) < 2 * workers:
                    running[starter.submit(pool.submit, _work, todo[0]).result()] = todo[0]
                    todo.popleft()  # only now: a pool that has just broken takes no task
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    result = _result(job, running[done], done)
                    yield running.pop(done), result
        except BrokenProcessPool as error:
            again = sorted(running.values())
            if lost & set(again):
                raise WorkerDied(
                    f"A worker process ended without an answer, twice, at {job.name(min(lost & set(again)))}: "
                    "probably killed for lack of memory. Use fewer --workers or a smaller --tile-size; "
                    "the next run resumes."
                ) from error
            lost |= set(again)
            todo.extendleft(reversed(again))
        finally:
            starter.shutdown(wait=True)
            _end(pool)


def _hold_interrupts() -> None:
    """Prepare the thread in which worker processes are started.

    Signal handlers run in the main thread, so nothing interrupts it half-way through a start; and the processes inherit
    its blocked Ctrl-C, which would end them with a traceback while they import, before `_become_worker` ignores it.
    """
    resource_tracker.ensure_running()  # would lift the block if it were started later
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _result(job: Job, task: int, done: Future[bytes]) -> bytes | SceneError:
    try:
        return done.result()
    except SceneError as error:
        return error
    except MemoryError as error:
        raise _out_of_memory(job, task, error) from error


def _out_of_memory(job: Job, task: int, error: MemoryError) -> OutOfMemory:
    if isinstance(error, OutOfMemory):  # whoever raised it knows better what to do
        return OutOfMemory(f"{job.name(task)}: {error}")
    return OutOfMemory(
        f"Out of memory at {job.name(task)}. Use fewer --workers or a smaller --tile-size; the next run resumes."
    )


def _end(pool: ProcessPoolExecutor) -> None:
    """Give the processes back at once, busy or not."""
    pool.shutdown(wait=False, cancel_futures=True)
    children = multiprocessing.active_children()
    for process in children:
        process.kill()
    for process in children:
        process.join()


_job: Job | bytes = b""


def _become_worker(job: bytes) -> None:
    """Set a worker process up: Ctrl-C is the parent's business, and no worker outlives it.

    The pickled job waits for the first task: what goes wrong when a network is loaded belongs to somebody then.
    """
    global _job  # noqa: PLW0603 - a process pool hands state to its tasks this way only
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_process([parent.sentinel])
        os._exit(1)


def _work(task: int) -> bytes:
    global _job  # noqa: PLW0603 - likewise
    if isinstance(_job, bytes):
        _job = cast("Job", ForkingPickler.loads(_job))  # the parent's own bytes
    return _job.finish(task, _job.prepare(task))
