"""Staging folders: files reach their places together, old ones return after a failure, and nothing is left behind."""

import errno
import logging
import sqlite3

import pyarrow as pa
import pytest
from shapely.errors import GEOSException

from geosam.errors import DiskFull, ExportError, LockHeld, UsageError
from geosam.vector.staging import Staging, failures_reported


def files(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def make(staging, *names):
    paths = [staging.folder / name for name in names]
    for path in paths:
        path.write_text(f"new {path.suffix}")
    return paths


def test_files_of_one_stem_get_the_name_of_the_output(tmp_path):
    with Staging(tmp_path / "roofs.v2.shp") as staging:
        staging.publish(make(staging, "result.dbf", "result.cpg", "result.shp.json", "result.shp"))
    assert files(tmp_path) == {
        "roofs.v2.dbf": "new .dbf",
        "roofs.v2.cpg": "new .cpg",
        "roofs.v2.shp.json": "new .json",
        "roofs.v2.shp": "new .shp",
    }


def test_nothing_appears_when_nothing_is_published(tmp_path):
    with Staging(tmp_path / "a.gpkg") as staging:
        make(staging, "result.gpkg")
        assert staging.folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_companions_of_the_old_output_go_before_the_new_one_comes(tmp_path):
    output, journal = tmp_path / "a.gpkg", tmp_path / "a.gpkg-wal"
    output.write_text("old")
    journal.write_text("journal")
    with Staging(output) as staging:
        staging.publish(make(staging, "result.gpkg"), [journal])
    assert files(tmp_path) == {"a.gpkg": "new .gpkg"}


@pytest.mark.parametrize("missing", [0, 1])
def test_a_failed_rename_brings_every_old_file_back(tmp_path, monkeypatch, missing):
    old = {"a.shp": "old shp", "a.dbf": "old dbf", "a.qix": "old index"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    with Staging(tmp_path / "a.shp") as staging:
        made = make(staging, "result.dbf", "result.shp")
        monkeypatch.setattr("geosam.vector.staging._sync", lambda _path: None)
        made[missing].unlink()
        with pytest.raises(FileNotFoundError):
            staging.publish(made, [tmp_path / name for name in old])
    assert files(tmp_path) == old


def test_a_run_that_was_killed_between_two_renames_is_undone_by_the_next(tmp_path, caplog):
    output = tmp_path / "a.shp"
    with Staging(output) as killed:
        left = tmp_path / f"{killed.folder.name}-left"  # under the prefix of this output
    (left / "retired").mkdir(parents=True)
    (left / "retired" / "a.shp").write_text("old")
    (left / "retired" / "a.dbf").write_text("old table")
    caplog.set_level(logging.INFO)
    with Staging(output):
        assert files(tmp_path) == {"a.shp": "old", "a.dbf": "old table"}
    assert not left.exists()
    assert "interrupted run" in caplog.text


def test_folders_of_other_outputs_are_left_alone(tmp_path):
    with Staging(tmp_path / "a.gpkg") as one, Staging(tmp_path / "b.gpkg") as other:
        assert one.folder.exists()
        assert other.folder.exists()


def test_a_second_writer_of_the_same_output_is_refused_while_the_first_writes(tmp_path):
    with Staging(tmp_path / "a.gpkg") as first:
        with pytest.raises(LockHeld, match=r"a\.gpkg: found \.geosam-.* in use") as caught:
            Staging(tmp_path / "a.gpkg").__enter__()
        assert caught.value.code == "output-being-written"
        assert first.folder.exists()
    with Staging(tmp_path / "a.gpkg"):
        pass


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull, "output-disk-full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull, "output-disk-full"),
        (RuntimeError("write failed: No space left on device"), DiskFull, "output-disk-full"),
        (sqlite3.OperationalError("database or disk is full"), DiskFull, "output-disk-full"),
        (OSError(errno.EACCES, "Permission denied"), ExportError, "output-not-writable"),
        (RuntimeError("GDAL:\nfailed."), ExportError, "output-not-writable"),
        (pa.ArrowInvalid("bad"), ExportError, "output-not-writable"),
        (GEOSException("bad"), ExportError, "output-not-writable"),
    ],
)
def test_errors_of_other_libraries_become_one_sentence_about_the_output(tmp_path, error, kind, code):
    with pytest.raises(kind) as caught, failures_reported(tmp_path / "a.gpkg"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.__cause__ is error
    assert str(tmp_path / "a.gpkg") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unclear_failure_on_a_disk_that_is_too_small_is_a_full_disk(tmp_path):
    with (
        pytest.raises(DiskFull, match=r"expected about 1,000,000,000\.0 MB"),
        failures_reported(tmp_path / "a", 10**15),
    ):
        raise RuntimeError("I/O failure")


@pytest.mark.parametrize("error", [UsageError("ours."), MemoryError(), ValueError("a bug"), KeyboardInterrupt()])
def test_other_errors_pass_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, failures_reported(tmp_path / "a.gpkg"):
        raise error
    assert caught.value is error
