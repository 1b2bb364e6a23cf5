"""Stores that are damaged, full or not writable."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from store_bench import entries

from geosam.errors import DiskFull, ExportError
from geosam.objects.embeddings.store import EmbeddingStore


def unwritable(bench):
    """A store whose folder became a file."""
    store = bench.store()
    shutil.rmtree(store.folder)
    store.folder.touch()
    return store


@pytest.mark.fault("C26")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_without_a_store_and_says_so_once(bench, workers):
    expected, _ = bench.segment()
    made, summary = bench.segment(unwritable(bench), workers=workers)
    assert made == expected
    assert 1 <= len(summary.warnings) <= 2  # that it cannot be read, that it cannot be written
    assert all(str(bench.folder / "store") in warning for warning in summary.warnings)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 100 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if sys.platform != "linux" or not mount or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


@pytest.mark.fault("C26")
def test_a_run_survives_a_full_disk_and_filling_a_store_does_not(bench, small_disk):
    expected, _ = bench.segment()
    made, summary = bench.segment(EmbeddingStore(small_disk / "store"))
    assert made == expected
    assert len(summary.warnings) == 1
    assert "No space left" in summary.warnings[0]
    store = EmbeddingStore(small_disk / "store")
    assert entries(store)
    assert bench.segment(store)[0] == expected
    with pytest.raises(DiskFull, match="No space left") as full:
        bench.embed(EmbeddingStore(small_disk / "store"))
    assert full.value.exit_code == 8
    assert list(small_disk.rglob("*.partial")) == []


@pytest.mark.fault("C26")
def test_filling_a_store_that_cannot_be_written_is_an_error(bench):
    with pytest.raises(ExportError, match="cannot be written") as refused:
        bench.embed(unwritable(bench))
    assert refused.value.exit_code == 6
