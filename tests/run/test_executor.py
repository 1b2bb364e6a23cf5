"""Tasks in this process and in others give the same outcomes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from geosam.errors import OutOfMemory, UnreadableScene, WorkerDied
from geosam.run.executor import run


@dataclass(frozen=True)
class Squares:
    """Squares the task; some tasks misbehave."""

    folder: str = ""

    def prepare(self, task):
        if task == 13:
            raise UnreadableScene(f"cannot read {task}")
        return task

    def finish(self, task, prepared):
        if task == 666:
            raise MemoryError
        if task == 99 or (task == 98 and not Path(self.folder, "died").exists()):
            Path(self.folder, "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return str(prepared**2).encode()

    def name(self, task):
        return f"task {task}"


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_has_one_outcome_and_scene_errors_are_outcomes(workers):
    outcomes = dict(run(Squares(), range(20), workers))
    assert isinstance(outcomes.pop(13), UnreadableScene)
    assert outcomes == {task: str(task**2).encode() for task in range(20) if task != 13}


@pytest.mark.fault("F06")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_allocation_is_reported_with_its_task(workers):
    with pytest.raises(OutOfMemory, match="task 666"):
        list(run(Squares(), [1, 666, 2], workers))


@pytest.mark.fault("F05")
def test_a_worker_that_dies_once_costs_nothing(tmp_path):
    outcomes = dict(run(Squares(str(tmp_path)), [1, 98, 2], 2))
    assert outcomes == {1: b"1", 98: b"9604", 2: b"4"}


@pytest.mark.fault("F05")
def test_a_worker_that_dies_again_at_the_same_task_is_an_error(tmp_path):
    with pytest.raises(WorkerDied, match="task"):
        list(run(Squares(str(tmp_path)), [99, 1], 2))


def test_stopping_early_leaves_no_process():
    outcomes = run(Squares(), range(50), 2)
    next(outcomes)
    outcomes.close()
    left = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert all("resource_tracker" in command for command in left)


def test_workers_leave_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\n"
        "from geosam.run.executor import run\n"
        "class Slow:\n"
        "    def prepare(self, task): return None\n"
        "    def finish(self, task, prepared): time.sleep(60); return b''\n"
        "    def name(self, task): return ''\n"
        "if __name__ == '__main__':\n"
        "    print('started', flush=True)\n"
        "    list(run(Slow(), range(4), 2))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout.readline() == b"started\n"
        me = psutil.Process(parent.pid)
        deadline = time.monotonic() + 60
        while len(children := me.children(recursive=True)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(3)
        children = me.children(recursive=True)
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
