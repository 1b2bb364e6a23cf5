import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from geosam.whole_file import whole_file


@pytest.mark.parametrize("synced", [False, True])
def test_a_file_appears_under_its_name_when_its_block_ends(tmp_path, synced):
    path = tmp_path / "state.bin"
    path.write_bytes(b"before")
    with whole_file(path, synced=synced) as draft:
        draft.write_bytes(b"after")
        assert path.read_bytes() == b"before"
        assert draft.parent == tmp_path
    assert path.read_bytes() == b"after"
    assert os.listdir(tmp_path) == ["state.bin"]  # noqa: PTH208


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("begun", [False, True])
def test_a_failed_block_leaves_what_was_there(tmp_path, error, begun):
    path = tmp_path / "state.bin"
    path.write_bytes(b"before")

    def fail():
        with whole_file(path) as draft:
            if begun:
                draft.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_is_reported_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"), whole_file(tmp_path / "a", synced=True) as draft:
        draft.write_bytes(b"half")
    assert list(tmp_path.iterdir()) == []


def test_writers_at_the_same_time_leave_the_file_of_one_of_them(tmp_path):
    path = tmp_path / "shared.bin"

    def write(number):
        with whole_file(path) as draft:
            draft.write_bytes(bytes([number]) * 10_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    data = path.read_bytes()
    assert len(data) == 10_000
    assert len(set(data)) == 1
    assert list(tmp_path.iterdir()) == [path]
