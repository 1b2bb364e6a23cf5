"""The queue: ranks, turns of clients, order within a client."""

import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.apps.worker.tasks import PATIENT, QUIET_S, FairQueue, Task


def task(client, number=0, rank=0):
    return Task(number, "segment", {}, None, client=client, rank=rank)


def taken(queue, count):
    return [queue.take() for _ in range(count)]


@pytest.mark.fault("L07")
def test_clients_take_turns_whoever_asked_how_often():
    queue = FairQueue()
    for number in range(5):
        queue.put(task("greedy", number))
    queue.put(task("modest", 0))
    queue.put(task("late", 0))
    assert [(t.client, t.id) for t in taken(queue, 7)] == [
        ("greedy", 0),
        ("modest", 0),
        ("late", 0),
        *(("greedy", number) for number in range(1, 5)),
    ]


def test_lower_ranks_go_first_and_a_task_may_wait_again():
    queue = FairQueue()
    slow, quick = task("a", 1, rank=2), task("b", 2, rank=0)
    queue.put(slow)
    assert queue.take() is slow
    queue.put(slow)
    queue.put(quick)
    assert taken(queue, 2) == [quick, slow]
    assert len(queue) == 0


@pytest.mark.serial
def test_what_nobody_waits_for_begins_when_nothing_else_comes_any_more():
    queue = FairQueue()
    queue.put(task("a", 1, rank=PATIENT))
    queue.put(task("a", 2))
    assert queue.take().id == 2
    begun = time.monotonic()
    assert queue.take().id == 1
    assert time.monotonic() - begun > QUIET_S / 2


def test_a_removed_task_is_not_given_away():
    queue = FairQueue()
    first, second = task("a", 1), task("a", 2)
    queue.put(first)
    queue.put(second)
    assert queue.remove(first)
    assert not queue.remove(first)
    assert queue.take() is second
    assert not queue.remove(second)


def test_a_closed_queue_gives_nothing_even_to_who_waits():
    queue = FairQueue()
    got = []
    waiting = threading.Thread(target=lambda: got.append(queue.take()))
    waiting.start()
    queue.close()
    waiting.join(30)
    assert got == [None]
    queue.put(task("a"))
    assert queue.take() is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), max_size=40))
def test_nothing_is_lost_doubled_or_reordered_within_a_client_and_rank(wanted):
    queue = FairQueue(quiet_s=0)
    tasks = [task(client, number, rank) for number, (client, rank) in enumerate(wanted)]
    for one in tasks:
        queue.put(one)
    assert len(queue) == len(tasks)
    found = taken(queue, len(tasks))
    assert Counter(map(id, found)) == Counter(map(id, tasks))
    assert [t.rank for t in found] == sorted(t.rank for t in tasks)
    for client in "abcd":
        for rank in range(3):
            mine = [t.id for t in found if (t.client, t.rank) == (client, rank)]
            assert mine == sorted(mine)
