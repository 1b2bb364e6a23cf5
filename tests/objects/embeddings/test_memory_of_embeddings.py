"""EmbeddingMemory: bounded, shared by threads, one flight for each window."""

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.objects.embeddings.memory import EmbeddingMemory, size_of
from geosam.segmenters.segmenter import Embedding

KIB = 1024


def embedding(kib):
    return Embedding({"features": np.zeros((kib - 1) * KIB, np.uint8)}, (1, 1), "m")


def filled(memory, *keys, kib=10, **options):
    for key in keys:
        memory.get_or_make(key, lambda: embedding(kib), **options)
    return memory


def test_what_was_made_is_known_and_what_was_not_used_for_the_longest_time_is_given_up():
    memory = filled(EmbeddingMemory(30 * KIB), "a", "b", "c")
    assert memory.get("a").embedding is memory.get_or_make("a", pytest.fail)
    filled(memory, "d")
    assert list(memory) == ["c", "a", "d"]
    assert (len(memory), memory.nbytes) == (3, 30 * KIB)
    assert memory.get("b") is None


def test_a_window_without_valid_pixels_is_known_too():
    memory = EmbeddingMemory()
    assert memory.get_or_make("empty", lambda: None) is None
    assert memory.get_or_make("empty", pytest.fail) is None
    assert memory.get("empty").embedding is None
    assert size_of(None) > 0


def test_an_embedding_that_is_larger_than_the_memory_stays_alone():
    memory = filled(EmbeddingMemory(10 * KIB), "small", kib=2)
    filled(memory, "large", kib=50)
    assert list(memory) == ["large"]
    filled(memory, "small", kib=2)
    assert list(memory) == ["small"]


def test_what_is_made_ahead_takes_half_and_pushes_out_its_like_first():
    memory = filled(EmbeddingMemory(100 * KIB), "used 1", "used 2")
    filled(memory, *range(20), ahead=True)
    assert list(memory) == ["used 1", "used 2", 15, 16, 17, 18, 19]
    memory.get(15)
    filled(memory, *range(20, 25), ahead=True)
    assert list(memory) == ["used 1", "used 2", 15, 20, 21, 22, 23, 24]


def test_asking_ahead_again_does_not_make_it_used():
    memory = filled(EmbeddingMemory(40 * KIB), "a", "b", ahead=True)
    assert memory.get("a", ahead=True)
    filled(memory, "c", ahead=True)
    assert list(memory) == ["a", "c"]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 30), st.booleans()), max_size=60))
def test_the_bytes_are_bounded_whatever_is_asked(asked):
    memory = EmbeddingMemory(64 * KIB)
    for key, kib, ahead in asked:
        found = memory.get_or_make(key, lambda kib=kib: embedding(kib), ahead=ahead)
        held = [memory._entries[other] for other in memory]
        assert list(memory)[-1] == key
        assert memory.nbytes == sum(size_of(entry.embedding) for entry in held) <= 64 * KIB
        assert memory._bytes_ahead == sum(entry.size for entry in held if entry.ahead) <= memory.bytes_ahead
        assert held[-1].embedding is found
    memory.clear()
    assert (len(memory), memory.nbytes, memory._bytes_ahead) == (0, 0, 0)


def test_a_copy_in_another_process_begins_empty():
    copy = pickle.loads(pickle.dumps(filled(EmbeddingMemory(77 * KIB), "a")))  # noqa: S301 - our own bytes
    assert (copy.max_bytes, len(copy)) == (77 * KIB, 0)


@pytest.mark.fault("L07")
def test_sixteen_threads_that_ask_for_one_window_make_it_once():
    memory, made, all_here = EmbeddingMemory(), [], threading.Barrier(16)

    def make():
        made.append(1)
        time.sleep(0.05)
        return embedding(4)

    def ask(_):
        all_here.wait(60)
        return memory.get_or_make("w", make)

    with ThreadPoolExecutor(16) as pool:
        found = set(map(id, pool.map(ask, range(16))))
    assert (len(made), len(found)) == (1, 1)


def test_different_windows_are_made_side_by_side():
    memory, both = EmbeddingMemory(), threading.Barrier(2)

    def make():
        both.wait(60)
        return embedding(1)

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda key: memory.get_or_make(key, make), "ab"))


def test_one_that_fails_tells_its_own_caller_and_the_next_one_tries():
    memory, tries, all_here = EmbeddingMemory(), [], threading.Barrier(8)

    def make():
        tries.append(1)
        time.sleep(0.05)
        if len(tries) <= 2:
            raise MemoryError(f"try {len(tries)}")
        return embedding(4)

    def ask(_):
        all_here.wait(60)
        try:
            return memory.get_or_make("w", make)
        except MemoryError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert sorted(one for one in found if isinstance(one, str)) == ["try 1", "try 2"]
    assert len({id(one) for one in found if isinstance(one, Embedding)}) == 1
    assert len(tries) == 3
    assert memory._flights == {}
