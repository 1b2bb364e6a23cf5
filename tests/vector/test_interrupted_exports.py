"""Failures half-way: nothing that goes wrong costs the user the previous output."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyogrio
import pytest
from export_cases import (
    EXTENSIONS,
    contents,
    fails_after,
    pixel_polygons,
    read,
    target_at,
    write,
)

from geosam.errors import DiskFull, ExportError
from geosam.vector import formats
from geosam.vector.buffer import FeatureBuffer
from geosam.vector.staging import Staging
from geosam.vector.writer import read_provenance

ROOT = Path(__file__).parents[2]


@pytest.mark.fault("O17")
@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_an_exception_in_the_block_reaches_the_caller_and_changes_nothing(tmp_path, extension, error):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)
    with pytest.raises(error, match="half-way"):
        fails_after(path, pixel_polygons(50), error=error)
    assert contents(tmp_path) == before


@pytest.mark.fault("O17")
@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_while_the_file_is_made_changes_nothing(tmp_path, monkeypatch, extension, error):
    path, batches = tmp_path / f"out{extension}", FeatureBuffer.__iter__
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)

    def broken(self):
        yield next(batches(self))
        raise error("half-way")

    with monkeypatch.context() as patch:
        patch.setattr(FeatureBuffer, "__iter__", broken)
        with pytest.raises(ExportError if error is OSError else error, match="half-way"):
            write(target_at(path), pixel_polygons(50), overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.fault("O17")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_failing_rename_or_sync_leaves_the_old_or_the_new_file(tmp_path, monkeypatch, extension):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(30))
    new = contents(tmp_path)
    for p in tmp_path.iterdir():
        p.unlink()
    write(target_at(path), pixel_polygons(3))
    (tmp_path / "out.qix").write_bytes(b"an index of the old file")
    old = contents(tmp_path)
    for call in range(1, 40):
        left = [call]

        def failing(real, left=left):
            def wrapped(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(5, "Input/output error")
                return real(*args, **kwargs)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", failing(Path.replace))
            patch.setattr(os, "fsync", failing(os.fsync))
            try:
                write(target_at(path), pixel_polygons(30), overwrite=True)
            except ExportError as error:
                assert "Input/output error" in str(error)  # noqa: PT017 - success ends the loop
                if contents(tmp_path) == old:
                    continue
                assert left[0] == 0  # only the last sync of the folder comes after the new file is in place
        break
    assert call > 1
    if extension == ".shp":  # the index of the old file is gone
        assert contents(tmp_path) == new
    else:
        assert contents(tmp_path) == new | {"out.qix": b"an index of the old file"}


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, "tests/vector")
from export_cases import *
import geosam.vector.buffer as spool
moment, path = sys.argv[1], Path(sys.argv[2])
def die(*_):
    os.kill(os.getpid(), 9)
if moment == "spooling":
    spool.ROWS = 50
    real, count = spool.FeatureBuffer.append, []
    spool.FeatureBuffer.append = lambda self, batch: (count.append(1), die() if len(count) > 3 else real(self, batch))
elif moment == "converting":
    spool.ROWS = 50
    batches = spool.FeatureBuffer.__iter__
    def dying(self):
        for i, batch in enumerate(batches(self)):
            yield batch
            if i == 3:
                die()
    spool.FeatureBuffer.__iter__ = dying
else:
    real, count = Path.replace, []
    def replace(self, to):
        count.append(1)
        if len(count) == int(moment):
            die()
        return real(self, to)
    Path.replace = replace
write(target_at(path), pixel_polygons(400), overwrite=True)
"""


@pytest.mark.fault("O18")
@pytest.mark.parametrize(("extension", "moment"), [
    (".gpkg", "spooling"), (".gpkg", "converting"), (".gpkg", "1"), (".fgb", "converting"), (".geojson", "converting"),
    (".parquet", "converting"), (".shp", "converting"), (".shp", "2"), (".shp", "8"), (".shp", "11"),
])  # fmt: skip
def test_sigkill_leaves_the_old_file_and_the_next_run_sweeps(tmp_path, extension, moment):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED, moment, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    left = {name for name in contents(tmp_path) if not name.startswith(".geosam-")}
    assert contents(tmp_path).keys() != left, "nothing temporary was there: the kill came too late"
    if extension != ".shp" or moment == "converting":
        assert {name: contents(tmp_path)[name] for name in left} == before
    else:  # between two renames: the old set has gone, the new one is not complete, and nothing reads as a shapefile
        assert path.name not in left
    with Staging(path):
        pass
    assert contents(tmp_path) == before
    write(target_at(path), pixel_polygons(5), overwrite=True)
    assert len(read(path)) == 5
    assert contents(tmp_path).keys() == before.keys()


LIMITED = """
import resource, sys, json
from pathlib import Path
sys.path.insert(0, "tests/vector")
from export_cases import *
from geosam.errors import ExportError, DiskFull
path, polygons, outcomes = Path(sys.argv[1]), pixel_polygons(600), []
before = contents(path.parent)
limit = 512
while True:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        notes = write(target_at(path), polygons, overwrite=True)
    except (ExportError, DiskFull) as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert contents(path.parent) == before, (limit, str(error))
        assert "\\n" not in str(error) and str(path) in str(error), str(error)
        outcomes.append(type(error).__name__)
        limit = int(limit * 1.3)
        continue
    break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]
print(json.dumps([outcomes, len(read(path)), notes]))
"""


@pytest.mark.fault("O20")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_writes_that_fail_at_any_size_change_nothing(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, str(path)],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes, count, notes = json.loads(done.stdout)
    assert count == 600
    assert len(outcomes) > 5
    assert "DiskFull" in outcomes or extension == ".gpkg"  # SQLite does not say why a write failed
    assert not [note for note in notes if "GDAL" in note]
    assert not done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if sys.platform != "linux" or not mount or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    # Lazily: pyogrio may hold a file open for a while after a write that failed.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


@pytest.mark.fault("O20")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_full_disk_ends_in_disk_full_with_the_bytes_needed(small_disk, extension):
    path = small_disk / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    before = contents(small_disk)
    with pytest.raises(DiskFull, match=r"MB free, expected about .* MB") as full:
        write(target_at(path), pixel_polygons(40000), overwrite=True)  # the spool does not fit
    assert full.value.exit_code == 8
    assert str(path) in str(full.value)
    assert contents(small_disk) == before
    for filler in range(100, 1040, 30):  # the spool fits, sooner or later what is made of it does not
        (small_disk / "filler").write_bytes(bytes(filler * 1000))
        kept = contents(small_disk)
        try:
            write(target_at(path), pixel_polygons(1000), overwrite=True)
        except DiskFull:
            assert contents(small_disk) == kept
            break
    else:
        pytest.fail("the disk never was full")
    assert len(read(path)) in (3, 1000)


@pytest.mark.fault("O36")
def test_a_reader_keeps_the_old_file_until_it_opens_the_new_one(tmp_path):
    path = tmp_path / "out.gpkg"
    write(target_at(path), pixel_polygons(3))
    reader = sqlite3.connect(path)
    rows = reader.execute("SELECT id FROM segments")
    assert rows.fetchone() == (0,)
    write(target_at(path), pixel_polygons(9), overwrite=True)
    assert [*rows] == [(1,), (2,)]
    assert reader.execute("SELECT COUNT(*) FROM segments").fetchone() == (3,)
    reader.close()
    assert len(read(path)) == 9


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_finished_file_that_is_short_is_never_published(tmp_path, monkeypatch, extension):
    path, form = tmp_path / f"out{extension}", formats.FORMATS[extension]
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)

    def short(folder, features):
        made = form.write(folder, features)
        if features.batches != ():  # not the trial with no features
            data = made[-1].read_bytes()
            made[-1].write_bytes(data[: len(data) * 2 // 3])
        return made

    monkeypatch.setitem(formats.FORMATS, extension, dataclasses.replace(form, write=short))
    with pytest.raises(ExportError):
        write(target_at(path), pixel_polygons(600), overwrite=True)
    assert contents(tmp_path) == before


def test_gdal_options_of_the_caller_survive_failures(tmp_path):
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "1999-01-01T00:00:00.000Z"})
    try:
        with pytest.raises(RuntimeError, match="half-way"):
            fails_after(tmp_path / "out.gpkg", pixel_polygons(5))
        write(target_at(tmp_path / "out.gpkg"), pixel_polygons(5))
        assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == "1999-01-01T00:00:00.000Z"
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_provenance_of_what_cannot_be_read(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    with pytest.raises(ExportError, match="the provenance cannot be read"):
        read_provenance(path)
    path.write_bytes(b"\xff\x00 neither this nor that")
    try:
        assert read_provenance(path) is None
    except ExportError as error:
        assert str(path) in str(error)  # noqa: PT017 - both answers are right
