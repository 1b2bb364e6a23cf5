"""Executors of this machine: processes that die, threads, and what they leave behind."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest
from executors import DIES, DIES_ONCE, NO_MEMORY, Squares

from geosam.errors import OutOfMemory, UsageError, WorkerDied
from geosam.run.local import Processes, ThisProcess, local_executor


def results(executor, job, tasks):
    return {outcome.task: outcome.result for outcome in executor.run(job, tasks)}


@pytest.mark.parametrize(("workers", "expected"), [(1, ThisProcess()), (2, Processes(2)), (9, Processes(9))])
def test_the_number_of_workers_chooses_the_executor(workers, expected):
    assert local_executor(workers) == expected


def test_the_number_of_threads_reaches_the_executor():
    assert local_executor(1, threads=3) == ThisProcess(threads=3)
    assert local_executor(2, threads=3) == Processes(2, threads=3)


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"workers": -1}, {"threads": 0}])
def test_fewer_than_one_worker_or_thread_is_refused(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(UsageError, match=f"{name}.* is too small: found {value}, expected at least 1") as refused:
        local_executor(**arguments)
    assert (refused.value.code, refused.value.values) == (f"{name}-too-few", arguments)


@pytest.mark.fault("F05")
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_process_that_dies_once_costs_nothing(tmp_path, batch_size):
    job = Squares(str(tmp_path), batch_size=batch_size)
    assert results(Processes(2), job, [1, 2, 3, DIES_ONCE, 4]) == {
        task: str(task**2).encode() for task in (1, 2, 3, DIES_ONCE, 4)
    }


@pytest.mark.fault("F05")
def test_a_process_that_dies_again_at_the_same_batch_is_an_error_with_its_place(tmp_path):
    with pytest.raises(WorkerDied, match=r"twice, at task 99.*`workers`.*`tile_size`") as died:
        list(Processes(2).run(Squares(str(tmp_path)), [DIES, DIES]))
    assert (died.value.code, died.value.values) == ("worker-died-twice", {"place": "task 99"})


def test_processes_of_others_survive_the_end_of_a_run():
    bystander = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    bystander.start()
    try:
        outcomes = Processes(2).run(Squares(), range(20))
        next(outcomes)
        outcomes.close()
        assert bystander.is_alive()
    finally:
        bystander.kill()
        bystander.join()


def test_a_single_batch_needs_no_process():
    class Here(Squares):
        def finish(self, tasks, _prepared):
            return [str(os.getpid()).encode() for _ in tasks]

    assert results(Processes(4), Here(batch_size=1), [3]) == {3: str(os.getpid()).encode()}


class Slow(Squares):
    """Notes which tasks were read."""

    def prepare(self, task):
        self.warnings.append(task)
        return task

    def take_warnings(self):
        return []


def test_this_process_reads_no_further_ahead_than_two_batches():
    job = Slow()
    outcomes = ThisProcess().run(job, range(50))
    next(outcomes)
    time.sleep(0.2)
    assert len(job.warnings) <= 4
    outcomes.close()


def test_reading_ahead_happens_in_another_thread():
    class Where(Squares):
        def prepare(self, _task):
            return threading.get_ident()

        def finish(self, _tasks, prepared):
            return [str(threading.get_ident() != data).encode() for data in prepared]

    assert set(results(ThisProcess(), Where(), range(5)).values()) == {b"True"}


@pytest.mark.fault("F06")
def test_memory_that_ends_while_reading_names_its_task():
    class Large(Squares):
        def prepare(self, _task):
            raise MemoryError

    with pytest.raises(OutOfMemory, match="task 7"):
        list(ThisProcess().run(Large(), [7]))
    with pytest.raises(OutOfMemory, match="task 666"):
        list(Processes(2).run(Squares(), [NO_MEMORY, 1, 2]))


class Threads(Squares):
    """Gives the number of threads that PyTorch and OpenMP would use where it is computed."""

    def finish(self, tasks, _prepared):
        import torch

        return [f"{torch.get_num_threads()} {os.environ.get('OMP_NUM_THREADS')}".encode() for _ in tasks]


def test_processes_use_the_number_of_threads_that_the_executor_sets():
    import torch

    before = torch.get_num_threads()
    assert set(results(Processes(2, threads=1), Threads(), range(4)).values()) == {b"1 1"}
    assert torch.get_num_threads() == before


def test_this_process_uses_the_threads_of_the_executor_and_gives_them_back():
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        found = results(ThisProcess(threads=1), Threads(), range(3)).values()
        assert {value.split()[0] for value in found} == {b"1"}
        assert torch.get_num_threads() == 2
        assert {value.split()[0] for value in results(ThisProcess(), Threads(), [1]).values()} == {b"2"}
    finally:
        torch.set_num_threads(before)


def test_processes_leave_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from geosam.run.local import Processes\n"
        "class Slow:\n"
        "    batch_size = 1\n"
        "    def prepare(self, task): return None\n"
        "    def finish(self, tasks, prepared): time.sleep(60); return [b'']\n"
        "    def name(self, task): return ''\n"
        "    def take_warnings(self): return []\n"
        "if __name__ == '__main__':\n"
        "    print('started', flush=True)\n"
        "    list(Processes(2).run(Slow(), range(4)))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout.readline() == b"started\n"
        me = psutil.Process(parent.pid)
        deadline = time.monotonic() + 60
        while len(me.children(recursive=True)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(3)
        children = me.children(recursive=True)
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
