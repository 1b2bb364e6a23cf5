"""Folders that cannot be used as an embedding store, or only in part."""

import contextlib
import os
import resource
import shutil
import tempfile
from pathlib import Path

import pytest
from store_cases import embedding, entries, key, others, same

from geosam.errors import UsageError
from geosam.objects.embeddings.store import EmbeddingStore


@contextlib.contextmanager
def without_rights():
    """Nobody writes in folders of mode 500: not even root, who is somebody else meanwhile."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def open_folder():
    """A folder that other users may look into, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.fault("C26")
def test_a_folder_that_cannot_be_made_is_warned_of_once_and_nothing_is_found(open_folder):
    open_folder.chmod(0o555)
    with without_rights():
        store = EmbeddingStore(open_folder / "store")
        assert not store.put(key(1), embedding(1))
        assert store.get(key(1)) is None
    (warning,) = store.take_warnings()
    assert f"{store.folder}: Permission denied" in warning


@pytest.mark.fault("C26")
def test_a_store_that_may_only_be_read_is_read(open_folder):
    folder = open_folder / "store"
    EmbeddingStore(folder).put(key(1), embedding(1))
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with without_rights():
        store = EmbeddingStore(folder)
        assert same(store.get(key(1)), embedding(1))
        assert store.take_warnings() == []
        assert not store.put(key(2), embedding(2))
        assert not store.put(key(3), embedding(3))
    (warning,) = store.take_warnings()
    assert "Permission denied" in warning
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)


@pytest.mark.fault("C26")
def test_entries_that_may_not_be_read_are_misses(open_folder):
    folder = open_folder / "store"
    EmbeddingStore(folder).put(key(1), embedding(1))
    folder.chmod(0o755)
    entries(folder)[0].chmod(0)
    with without_rights():
        store = EmbeddingStore(folder)
        assert store.get(key(1)) is None
    assert len(store.take_warnings()) == 1


@pytest.mark.fault("C26")
def test_a_full_disk_is_warned_of_once_and_leaves_nothing_half_written(store):
    store.put(key(1), embedding(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert not store.put(key(2), embedding(2, 50_000))
        assert not store.put(key(3), embedding(3, 10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(store.take_warnings()) == 1
    assert others(store.folder) == []
    assert same(store.get(key(1)), embedding(1))


@pytest.mark.fault("C26")
def test_the_temporary_folder_may_be_on_another_file_system(tmp_path, monkeypatch):
    memory = Path("/dev/shm")  # noqa: S108 - it is there to be another one
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    monkeypatch.setenv("TMPDIR", str(memory))
    store = EmbeddingStore(tmp_path / "store")
    assert store.put(key(1), embedding(1))
    assert same(store.get(key(1)), embedding(1))


@pytest.mark.fault("C26")
def test_a_file_or_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="found a file"):
            EmbeddingStore(folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(UsageError, match=r"it holds 'a\.jpg'"):
        EmbeddingStore(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]
