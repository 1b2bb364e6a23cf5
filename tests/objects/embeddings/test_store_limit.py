"""The limit of an embedding store, and what it deletes."""

import os
import time

import pytest
from store_cases import embedding, ended, entries, key, others, same, started

from geosam.objects.embeddings.store import EmbeddingStore


@pytest.mark.fault("C27")
def test_the_entries_used_longest_ago_go_first(tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    for number in range(10):
        store.put(key(number), embedding(number))
        time.sleep(0.01)  # some file systems know hundredths of a second
    size = sum(path.stat().st_size for path in entries(store.folder))
    assert store.get(key(0)) is not None
    time.sleep(0.01)
    small = EmbeddingStore(store.folder, max_bytes=size // 2)
    small.put(key(10), embedding(10))
    kept = [number for number in range(11) if small.bytes_of(key(number))]
    assert kept == [0, 8, 9, 10]  # a tenth is freed beyond what is needed
    assert sum(path.stat().st_size for path in entries(store.folder)) <= size // 2
    assert small.take_warnings() == []


@pytest.mark.fault("C27")
def test_the_limit_holds_after_every_entry_and_the_newest_is_never_given_up(tmp_path):
    limit = 12_000
    store = EmbeddingStore(tmp_path / "store", max_bytes=limit)
    for number in range(60):
        assert store.put(key(number), embedding(number, 200 + 37 * number % 800))
        assert same(store.get(key(number)), embedding(number, 200 + 37 * number % 800))
        assert sum(path.stat().st_size for path in entries(store.folder)) <= limit


@pytest.mark.fault("C27")
def test_an_embedding_larger_than_the_limit_is_not_kept(tmp_path):
    store = EmbeddingStore(tmp_path / "store", max_bytes=4000)
    store.put(key(1), embedding(1, 10))
    assert not store.put(key(2), embedding(2, 4000))
    assert not store.put(key(3), embedding(3, 4000))
    (warning,) = store.take_warnings()
    assert "does not fit" in warning
    assert len(entries(store.folder)) == 1


@pytest.mark.fault("C27")
def test_nothing_but_entries_is_deleted(tmp_path):
    store = EmbeddingStore(tmp_path / "store", max_bytes=4000)
    store.put(key(1), embedding(1))
    mine = [store.folder / "notes.txt", store.folder / key(1)[:2] / "a.tif", store.folder / "mine" / "b.safetensors"]
    mine[2].parent.mkdir()
    for path in mine:
        path.write_bytes(bytes(5000))
        os.utime(path, (0, 0))
    for number in range(2, 9):
        store.put(key(number), embedding(number))
    assert all(path.exists() for path in mine)


@pytest.mark.fault("C27")
def test_the_limit_stays_with_the_folder_until_another_is_asked_for(tmp_path):
    assert EmbeddingStore(tmp_path / "store", max_bytes=5000).max_bytes == 5000
    assert EmbeddingStore(tmp_path / "store").max_bytes == 5000
    assert EmbeddingStore(tmp_path / "store", max_bytes=6000).max_bytes == 6000
    assert EmbeddingStore(tmp_path / "store").max_bytes == 6000
    with pytest.raises(ValueError, match="at least one byte"):
        EmbeddingStore(tmp_path / "store", max_bytes=0)


@pytest.mark.fault("C27")
def test_entries_may_be_given_up_by_others_while_they_are_used(tmp_path):
    folder = tmp_path / "store"
    processes = [started(folder, 100 * number, 100, 1, 2000, 100_000) for number in range(4)]
    assert [ended(process) for process in processes] == [0] * 4
    assert others(folder) == []
    total = sum(path.stat().st_size for path in entries(folder))
    assert total <= 100_000 + 4 * 100_000 // 20
