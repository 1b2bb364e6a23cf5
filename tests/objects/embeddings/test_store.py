"""Embeddings that come back from a store as they were put."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from store_cases import embedding, entries, key, same

from geosam.objects.embeddings.key import FORMAT
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.segmenters.segmenter import Embedding


def test_what_was_put_comes_back(store):
    made = Embedding(
        {
            "z": np.arange(6, dtype=np.float32).reshape(2, 3),
            "a": np.arange(6, dtype=np.uint16)[::2],
            "turned": np.arange(6.0).reshape(2, 3).T,
            "scalar": np.array(2.5, np.float16),
            "none": np.empty((0, 4), np.int64),
            "truth": np.array([True, False]),
        },
        (480, 640),
        "model-1",
    )
    assert store.get(key(1)) is None
    assert store.put(key(1), made)
    found = store.get(key(1))
    assert same(found, made)
    assert all(array.flags.writeable and array.flags.c_contiguous for array in found.arrays.values())
    assert store.bytes_of(key(1)) == entries(store.folder)[0].stat().st_size
    assert store.bytes_of(key(2)) == 0
    assert store.take_warnings() == []


KINDS = [np.dtype(name) for name in ("u1", "u2", "i4", "i8", "f2", "f4", "f8", "?")]


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from(KINDS).flatmap(lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(min_dims=0))),
        max_size=4,
    )
)
def test_any_arrays_come_back_bit_for_bit(tmp_path_factory, arrays):
    store = EmbeddingStore(tmp_path_factory.mktemp("any") / "store")
    made = Embedding(arrays, (3, 4), "model")
    assert store.put(key(1), made)
    assert same(store.get(key(1)), made)


def test_arrays_in_foreign_byte_order_come_back_in_the_machine_s(store):
    store.put(key(1), Embedding({"a": np.arange(5, dtype=">i4")}, (1, 1), "m"))
    found = store.get(key(1)).arrays["a"]
    assert (found.dtype, found.tolist()) == (np.dtype("i4"), [0, 1, 2, 3, 4])


def test_the_folder_says_what_it_is_and_its_names_are_keys(store):
    store.put(key(3), embedding())
    manifest = json.loads((store.folder / "store.json").read_text())
    assert manifest == {"what": manifest["what"], "format": FORMAT, "max_bytes": 20 * 2**30}
    assert "embeddings" in manifest["what"]
    (path,) = entries(store.folder)
    assert path.relative_to(store.folder) == Path(key(3)[:2], f"{key(3)}.safetensors")
    assert safetensors.numpy.load_file(path)["number"] == 0


@pytest.mark.parametrize("name", ["", "abc", "../" + "a" * 61, "G" * 64])
def test_keys_are_digests(store, name):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        store.get(name)


def test_a_moved_and_a_copied_store_stay_valid(store, tmp_path):
    store.put(key(1), embedding(1))
    shutil.copytree(store.folder, tmp_path / "copy")
    store.folder.rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        assert same(EmbeddingStore(tmp_path / name).get(key(1)), embedding(1))


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = EmbeddingStore("a/b")
    store.put(key(1), embedding(1))
    monkeypatch.chdir("/")
    assert same(store.get(key(1)), embedding(1))


def test_a_store_can_be_sent_to_another_process(store):
    store.put(key(1), embedding(1))
    sent = pickle.loads(pickle.dumps(store))  # noqa: S301 - made here
    assert same(sent.get(key(1)), embedding(1))
