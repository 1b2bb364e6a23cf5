"""Embedding stores that several processes use at a time."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from store_cases import embedding, ended, entries, key, others, same, started

from geosam.objects.embeddings.store import EmbeddingStore


@pytest.mark.fault("C25")
def test_four_writers_of_the_same_entries_and_a_reader_that_never_sees_a_torn_one(tmp_path):
    wanted = {number: embedding(number, 20_000) for number in range(6)}
    store = EmbeddingStore(tmp_path / "store")
    writers = [started(store.folder, 0, 6, 20, 20_000, 0) for _ in range(4)]
    found = 0
    while any(writer.poll() is None for writer in writers):
        for number, made in wanted.items():
            read = store.get(key(number))
            assert read is None or same(read, made)
            found += read is not None
    assert [ended(writer) for writer in writers] == [0] * 4
    assert found > 20
    assert store.take_warnings() == []
    assert len(entries(store.folder)) == len(wanted)
    assert others(store.folder) == []


WRITER = """
import sys, numpy as np
from geosam.segmenters.segmenter import Embedding
from geosam.objects.embeddings.store import EmbeddingStore
store = EmbeddingStore(sys.argv[1])
print("ready", flush=True)
for number in range(10**6):
    bits = np.full(2_000_000, number, np.uint16)
    store.put(f"{number % 50:064x}", Embedding({"bits": bits}, (1, 1), "m"))
"""


@pytest.mark.fault("C25")
def test_killed_while_it_writes_a_process_leaves_no_torn_entry(tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "store"
    left = set()
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.15))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        left |= set(others(folder))
    store = EmbeddingStore(folder)
    found = [store.get(path.stem) for path in entries(folder)]
    assert found
    assert all(len(set(item.arrays["bits"].tolist())) == 1 for item in found)
    assert store.take_warnings() == []
    assert left == set(others(folder))  # they might be somebody's who writes just now
    for path in left:
        os.utime(path, (0, 0))
    store.put(key(1), embedding(1))
    assert others(folder) == []
