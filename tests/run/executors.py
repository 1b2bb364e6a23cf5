"""Executors that the tests hold to the same laws, and jobs that misbehave in known ways."""

from __future__ import annotations

import os
import pickle
import queue
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from geosam.errors import OutOfMemory, UnreadableScene
from geosam.run.executor import finish_batch, prepare_batch, split_into_batches
from geosam.run.local import Processes, ThisProcess


@dataclass(frozen=True)
class ShuffledThreads:
    """A third party's executor: batches in random order, in threads that share this process."""

    parallelism: int = 3
    threads: int | None = None
    seed: int = 1

    def run(self, job, tasks):
        """Yield outcomes as they come; a closed generator leaves no thread behind."""
        batches = split_into_batches(job, tasks, self.parallelism)
        random.Random(self.seed).shuffle(batches)
        pickled = pickle.dumps(job)
        waiting, done, stop = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
        for batch in batches:
            waiting.put(batch)

        def work():
            copy = pickle.loads(pickled)  # noqa: S301 - what a job remembers serves one thread
            while not stop.is_set():
                try:
                    batch = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put(finish_batch(copy, batch, prepare_batch(copy, batch)))
                except BaseException as error:  # noqa: BLE001 - raised again in the thread of the caller
                    done.put(error)

        workers = [threading.Thread(target=work) for _ in range(self.parallelism)]
        for worker in workers:
            worker.start()
        try:
            for _ in batches:
                outcomes = done.get()
                if isinstance(outcomes, BaseException):
                    raise outcomes
                yield from outcomes
        finally:
            stop.set()
            for worker in workers:
                worker.join()


EXECUTORS = {"this process": ThisProcess(), "processes": Processes(2), "shuffled threads": ShuffledThreads()}

UNREADABLE, NO_MEMORY, DIES_ONCE, DIES, TOLD_NO_MEMORY, UNREADABLE_LATE, SLOW = 13, 666, 98, 99, 667, 14, 1000


@dataclass(frozen=True)
class Squares:
    """Squares the task; some tasks misbehave, and every multiple of ten gives a warning."""

    folder: str = ""
    batch_size: int = 1
    warnings: list = field(default_factory=list)

    def prepare(self, task):
        if task == UNREADABLE:
            raise UnreadableScene(f"cannot read {task}.", remedy="Repair it.", code="cannot-read", task=task)
        return task

    def finish(self, tasks, prepared):
        return [self._finish(task, data) for task, data in zip(tasks, prepared, strict=True)]

    def _finish(self, task, prepared):
        if task == NO_MEMORY:
            raise MemoryError
        if task == TOLD_NO_MEMORY:
            raise OutOfMemory("the model is too large.", remedy="Use a smaller one.", code="model-too-large", size=7)
        if task == UNREADABLE_LATE:
            raise UnreadableScene(f"cannot read {task} any more.", code="cannot-read-late", task=task)
        if task == DIES or (task == DIES_ONCE and not Path(self.folder, "died").exists()):
            Path(self.folder, "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if task >= SLOW:
            time.sleep(0.2)
        if task and task % 10 == 0:
            self.warnings.append(f"{task} is round")
        return str(prepared**2).encode()

    def name(self, task):
        return f"task {task}"

    def take_warnings(self):
        taken = self.warnings.copy()
        self.warnings.clear()
        return taken
