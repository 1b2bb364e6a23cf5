"""Laws of executors: whoever computes a job, it gives the same outcomes."""

import os
import pickle
import signal
import threading
import time

import psutil
import pytest
from executors import (
    EXECUTORS,
    NO_MEMORY,
    SLOW,
    TOLD_NO_MEMORY,
    UNREADABLE,
    UNREADABLE_LATE,
    ShuffledThreads,
    Squares,
)
from hypothesis import given
from hypothesis import strategies as st

from geosam.errors import OutOfMemory, UnreadableScene
from geosam.run.executor import finish_batch, prepare_batch, split_into_batches
from geosam.run.local import ThisProcess


@pytest.fixture(params=EXECUTORS.values(), ids=EXECUTORS.keys())
def executor(request):
    return request.param


def results(executor, job, tasks):
    """Results by task; a task that comes twice fails the test."""
    outcomes = list(executor.run(job, tasks))
    assert sorted(outcome.task for outcome in outcomes) == sorted(tasks)
    return {outcome.task: outcome.result for outcome in outcomes}


def is_multiprocessing_service(process):
    return "resource_tracker" in " ".join(process.cmdline())


def children():
    return [child for child in psutil.Process().children(recursive=True) if not is_multiprocessing_service(child)]


def threads_beside(before):
    """Threads that were not there before; those of a pool that was closed get a moment to end."""
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    return set(threading.enumerate()) - before


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_task_has_one_outcome(executor, batch_size):
    assert results(executor, Squares(batch_size=batch_size), range(12)) == {
        task: str(task**2).encode() for task in range(12)
    }


def test_no_tasks_have_no_outcomes(executor):
    assert list(executor.run(Squares(), [])) == []


def test_one_task_is_computed_like_many(executor):
    assert results(executor, Squares(batch_size=9), [5]) == {5: b"25"}


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_unreadable_task_is_an_outcome_with_its_code_and_values_and_costs_no_other(executor, batch_size):
    found = results(executor, Squares(batch_size=batch_size), range(10, 20))
    for task, code in ((UNREADABLE, "cannot-read"), (UNREADABLE_LATE, "cannot-read-late")):
        error = found.pop(task)
        assert isinstance(error, UnreadableScene)
        assert (error.code, error.values) == (code, {"task": task})
    assert found == {task: str(task**2).encode() for task in range(10, 20) if task not in {UNREADABLE, UNREADABLE_LATE}}


def test_an_error_of_the_raster_keeps_message_and_remedy(executor):
    error = results(executor, Squares(), [1, UNREADABLE, 2])[UNREADABLE]
    assert (error.message, error.remedy) == ("cannot read 13.", "Repair it.")


@pytest.mark.fault("F06")
def test_a_failed_allocation_names_its_task_and_the_parameters_to_lower(executor):
    with pytest.raises(OutOfMemory, match=r"task 666.*`workers`.*`tile_size`") as failure:
        list(executor.run(Squares(), [1, NO_MEMORY, 2]))
    assert (failure.value.code, failure.value.values) == ("out-of-memory-at-task", {"place": "task 666"})


@pytest.mark.fault("F06")
def test_a_failed_allocation_that_says_what_to_do_keeps_its_remedy_code_and_values(executor):
    with pytest.raises(OutOfMemory, match=r"task 667: the model is too large\. Use a smaller one\.") as failure:
        list(executor.run(Squares(), [1, TOLD_NO_MEMORY, 2]))
    assert (failure.value.code, failure.value.values) == ("model-too-large", {"size": 7, "place": "task 667"})


@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_warning_arrives_once(executor, batch_size):
    job = Squares(batch_size=batch_size)
    warnings = [text for outcome in executor.run(job, range(31)) for text in outcome.warnings]
    assert sorted(warnings) == ["10 is round", "20 is round", "30 is round"]


def test_a_warning_comes_with_the_batch_that_gave_it(executor):
    batches = {frozenset([9, 10]): ("10 is round",), frozenset([11, 12]): ()}
    outcomes = {outcome.task: outcome.warnings for outcome in executor.run(Squares(batch_size=2), [9, 10, 11, 12])}
    for batch, warnings in batches.items():
        assert tuple(text for task in sorted(batch) for text in outcomes[task]) == warnings


def test_closing_early_leaves_no_process_and_no_thread(executor):
    before = set(threading.enumerate())
    outcomes = executor.run(Squares(), range(50))
    next(outcomes)
    outcomes.close()
    assert children() == []
    assert threads_beside(before) == set()


def test_an_error_leaves_no_process_and_no_thread(executor):
    before = set(threading.enumerate())
    with pytest.raises(OutOfMemory):
        list(executor.run(Squares(), [NO_MEMORY, *range(20)]))
    assert children() == []
    assert threads_beside(before) == set()


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background and would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.serial
@pytest.mark.fault("F03")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_run_and_leaves_no_process(executor):
    outcomes = executor.run(Squares(), range(SLOW, SLOW + 50))
    next(outcomes)
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        list(outcomes)
    timer.join()
    assert children() == []


def test_an_executor_tells_how_much_it_does_at_once(executor):
    assert executor.parallelism >= 1
    assert executor.threads is None or executor.threads >= 1


@given(st.lists(st.integers(), unique=True, max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_batches_divide_the_tasks_in_order_and_leave_no_worker_idle(tasks, batch_size, parallelism):
    batches = split_into_batches(Squares(batch_size=batch_size), tasks, parallelism)
    assert [task for batch in batches for task in batch] == tasks
    assert all(0 < len(batch) <= batch_size for batch in batches)
    assert len({len(batch) for batch in batches[:-1]}) <= 1
    assert all(len(batch) <= -(-len(tasks) // parallelism) for batch in batches)


def test_a_batch_that_meets_an_error_while_computing_is_computed_task_by_task():
    job = Squares(batch_size=4)
    batch = (1, UNREADABLE_LATE, UNREADABLE, 10)
    outcomes = finish_batch(job, batch, prepare_batch(job, batch))
    assert [outcome.task for outcome in outcomes] == list(batch)
    assert [type(outcome.result) for outcome in outcomes] == [bytes, UnreadableScene, UnreadableScene, bytes]
    assert outcomes[0].warnings == ("10 is round",)


def test_outcomes_can_be_sent_to_another_process_whole():
    job = Squares()
    (outcome,) = finish_batch(job, [UNREADABLE], prepare_batch(job, [UNREADABLE]))
    copy = pickle.loads(pickle.dumps(outcome))  # noqa: S301 - our own bytes
    assert (copy.task, str(copy.result), copy.result.code) == (UNREADABLE, str(outcome.result), "cannot-read")
    assert copy.result.values == {"task": UNREADABLE}


def test_a_memory_error_of_a_batch_names_its_first_task_and_the_number_of_others():
    job = Squares(batch_size=3)
    with pytest.raises(OutOfMemory, match="task 666 and the next 2"):
        list(ThisProcess().run(job, [NO_MEMORY, 1, 2]))


def test_any_order_of_tasks_gives_the_same_results():
    tasks = list(range(20, 60))
    expected = results(ThisProcess(), Squares(batch_size=3), tasks)
    for seed in range(5):
        assert results(ShuffledThreads(seed=seed), Squares(batch_size=3), tasks) == expected
