"""Cases of embedding stores: keys, embeddings, entries of a folder, processes that use one."""

import subprocess
import sys

import numpy as np

from geosam.segmenters.segmenter import Embedding


def key(number):
    return f"{number:064x}"[::-1]


def embedding(number=0, size=1000):
    numbers = np.random.default_rng(number).integers(0, 2**16, size, np.uint16)
    return Embedding({"bits": numbers, "number": np.array(number)}, (30, 40), "model-1")


def same(one, other):
    return (
        one.input_hw == other.input_hw
        and one.fingerprint == other.fingerprint
        and list(one.arrays) == list(other.arrays)
        and all(
            (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
            for a, b in zip(one.arrays.values(), other.arrays.values(), strict=True)
        )
    )


def entries(folder):
    return sorted(folder.glob("??/*.safetensors"))


def others(folder):
    """Everything that is neither an entry nor the manifest nor a folder."""
    known = {*entries(folder), folder / "store.json"}
    return [path for path in folder.rglob("*") if path.is_file() and path not in known]


PROCESS = """
import sys, numpy as np
from geosam.segmenters.segmenter import Embedding
from geosam.objects.embeddings.store import EmbeddingStore

folder, first, count, rounds, size, limit = sys.argv[1], *map(int, sys.argv[2:])
store = EmbeddingStore(folder, limit or None)
key = lambda number: f"{number:064x}"[::-1]

def embedding(number):
    bits = np.random.default_rng(number).integers(0, 2**16, size, np.uint16)
    return Embedding({"bits": bits, "number": np.array(number)}, (30, 40), "model-1")

print("ready", flush=True)
for _ in range(rounds):
    for number in range(first, first + count):
        assert store.put(key(number), embedding(number))
        for used in (number, first, 150):
            found = store.get(key(used))
            assert found is None or found.arrays["bits"].tobytes() == embedding(used).arrays["bits"].tobytes()
assert store.take_warnings() == []
"""


def started(folder, *numbers):
    """A process that puts and gets embeddings: first number, count, rounds, size, limit."""
    command = [sys.executable, "-c", PROCESS, str(folder), *map(str, numbers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def ended(process):
    process.stdout.close()
    return process.wait()
