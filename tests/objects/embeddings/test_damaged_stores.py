"""Damaged entries and manifests of an embedding store."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from store_cases import embedding, entries, key, same

from geosam.objects.embeddings.key import FORMAT
from geosam.objects.embeddings.store import EmbeddingStore, _encoded

SPRUNG = []


class Trap:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return (SPRUNG.append, ("unpickled",))


def rewritten(data, change):
    """The entry with another JSON header of a length that fits."""
    length = int.from_bytes(data[:8], "little")
    header = change(json.loads(data[8 : 8 + length]))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def without_facts(header):
    return {name: value for name, value in header.items() if name != "__metadata__"}


def with_fact(name, value):
    def change(header):
        facts = json.loads(header["__metadata__"]["geosam"]) | {name: value}
        return header | {"__metadata__": {"geosam": json.dumps(facts)}}

    return change


DAMAGE = {
    "empty": b"",
    "seven bytes": lambda data: data[:7],
    "cut in the header": lambda data: data[:60],
    "cut in the arrays": lambda data: data[:-900],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "zeros": lambda data: bytes(len(data)),
    "huge header": lambda data: (10**18).to_bytes(8, "little") + data[8:],
    "deep header": (10**5).to_bytes(8, "little") + b"[" * 10**5,
    "flipped in the arrays": lambda data: data[:-500] + bytes([data[-500] ^ 4]) + data[-499:],
    "pickled": pickle.dumps(Trap()),
    "pickled array": pickle.dumps(np.array([Trap()])),
    "a picture": b"\x89PNG\r\n\x1a\n" * 100,
    "another entry": _encoded(key(2), embedding(2)),
    "no facts": lambda data: rewritten(data, without_facts),
    "facts of another size": lambda data: rewritten(data, with_fact("input_hw", [40, 30])),
    "facts of another model": lambda data: rewritten(data, with_fact("model", "model-2")),
    "facts of another format": lambda data: rewritten(data, with_fact("format", FORMAT + 1)),
    "facts without arrays": lambda data: rewritten(data, with_fact("names", [])),
    "facts with more arrays": lambda data: rewritten(data, with_fact("names", ["bits", "number", "more"])),
    "facts that are a list": lambda data: rewritten(data, lambda header: header | {"__metadata__": {"geosam": "[]"}}),
    "renamed array": lambda data: data.replace(b'"bits"', b'"gits"'),
    "foreign tensors": safetensors.numpy.save({"bits": np.zeros(3)}),
}


@pytest.mark.fault("C23")
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_entry_is_a_miss_is_deleted_and_warned_of_once(store, kind):
    for number in (1, 3):
        store.put(key(number), embedding(number))
        path = store.folder / key(number)[:2] / f"{key(number)}.safetensors"
        damage = DAMAGE[kind]
        path.write_bytes(damage if isinstance(damage, bytes) else damage(path.read_bytes()))
        assert store.get(key(number)) is None
        assert not path.exists()
    (warning,) = store.take_warnings()
    assert "damaged" in warning
    assert str(store.folder) in warning
    assert SPRUNG == []
    store.put(key(1), embedding(1))
    assert same(store.get(key(1)), embedding(1))
    assert store.take_warnings() == []


@pytest.mark.fault("C23")
@given(st.data())
def test_whatever_is_flipped_or_cut_the_answer_is_right_or_none(tmp_path_factory, data):
    store = EmbeddingStore(tmp_path_factory.mktemp("flips") / "store")
    made = embedding(7, 50)
    store.put(key(1), made)
    (path,) = entries(store.folder)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    found = store.get(key(1))
    assert found is None or same(found, made)


@pytest.mark.fault("C23")
def test_a_folder_in_the_place_of_an_entry_is_a_miss(store):
    (store.folder / key(1)[:2] / f"{key(1)}.safetensors").mkdir(parents=True)
    assert store.get(key(1)) is None
    assert not store.put(key(1), embedding(1))
    assert len(store.take_warnings()) == 2


@pytest.mark.fault("C23")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"what": "something else"}'])
def test_a_damaged_manifest_is_written_again(store, text):
    store.put(key(1), embedding(1))
    (store.folder / "store.json").write_text(text)
    again = EmbeddingStore(store.folder)
    assert same(again.get(key(1)), embedding(1))
    assert json.loads((store.folder / "store.json").read_text())["format"] == FORMAT


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "cut", "delete", "open again", "limit", "clear"]),
        st.integers(0, 5),
        st.integers(0, 3000),
    ),
    max_size=30,
)


@pytest.mark.fault("Q14")
@given(STEPS)
def test_whatever_happens_to_a_store_it_answers_right_or_not_at_all(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("steps") / "store"
    store = EmbeddingStore(folder, max_bytes=10_000)
    for what, number, size in steps:
        path = folder / key(number)[:2] / f"{key(number)}.safetensors"
        if what == "put":
            assert store.put(key(number), embedding(number, 300))
            assert same(store.get(key(number)), embedding(number, 300))
        elif what == "cut" and path.exists():
            os.truncate(path, min(size, path.stat().st_size))
        elif what == "delete":
            path.unlink(missing_ok=True)
        elif what == "open again":
            store = EmbeddingStore(folder)
        elif what == "limit":
            store = EmbeddingStore(folder, max_bytes=1500 + size)
        elif what == "clear":
            shutil.rmtree(folder, ignore_errors=True)
        found = store.get(key(number))
        assert found is None or same(found, embedding(number, 300))
        assert store.failure is None
