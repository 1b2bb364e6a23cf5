"""Runs that are interrupted, run twice, starve or meet damage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from known_answers import flat_scene
from scenes import write_scene

from geosam.errors import JournalMismatch, LockHeld, OutOfMemory, OutputExists, UnreadableScene, WorkerDied
from geosam.objects.observer import Callbacks
from geosam.run.journal import Journal
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

SMALL = {"tile_size": 64, "overlap": 16}


@pytest.fixture
def path(tmp_path):
    picture = flat_scene(np.random.default_rng(3), 150, 210, 40)
    return write_scene(tmp_path / "scene.tif", picture, photometric="rgb")


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def segment(path, out, segmenter=None, **options):
    scene = open_scene(path)
    return segment_scene(scene, segmenter or ThresholdSegmenter(), out, RunOptions(**SMALL | options))


@dataclass(frozen=True)
class Failing(ThresholdSegmenter):
    """Fails in its own way when the counter file has reached `after` tiles; counts across processes."""

    counter: str = ""
    after: int = 3
    way: str = "raise"
    times: int = 1

    def embed(self, rgb, valid):
        with Path(self.counter).open("a") as file:
            file.write(".")
        if self.after < Path(self.counter).stat().st_size <= self.after + self.times:
            if self.way == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError if self.way == "memory" else RuntimeError("interrupted here")
        return super().embed(rgb, valid)


@pytest.mark.fault("F01", "Q12")
def test_an_interrupted_run_resumes_and_writes_the_same_bytes(tmp_path, path):
    first, second = tmp_path / "a" / "out.gpkg", tmp_path / "b" / "out.gpkg"
    first.parent.mkdir()
    second.parent.mkdir()
    segment(path, first)
    with pytest.raises(RuntimeError, match="interrupted here"):
        segment(path, second, Failing(counter=str(tmp_path / "n"), after=5))
    assert not second.exists()
    assert leftovers(second.parent) != []
    summary = segment(path, second)
    assert summary.resumed_tiles == 5
    assert first.read_bytes() == second.read_bytes()
    assert leftovers(second.parent) == []


@pytest.mark.fault("F02")
def test_another_option_is_refused_and_restart_starts_afresh(tmp_path, path):
    out = tmp_path / "out.gpkg"
    with pytest.raises(RuntimeError):
        segment(path, out, Failing(counter=str(tmp_path / "n")))
    with pytest.raises(JournalMismatch, match="tile_size was 64 and is 80") as refused:
        segment(path, out, tile_size=80)
    assert refused.value.exit_code == 2
    assert "`restart=True`" in str(refused.value)
    summary = segment(path, out, tile_size=80, restart=True)
    assert summary.resumed_tiles == 0
    assert leftovers(tmp_path) == []


@pytest.mark.fault("F02")
def test_options_that_only_shape_the_output_may_change_on_resume(tmp_path, path):
    out = tmp_path / "out.gpkg"
    with pytest.raises(RuntimeError):
        segment(path, out, Failing(counter=str(tmp_path / "n")))
    assert segment(path, out, layout="planar", min_area_m2=2).resumed_tiles == 3


@pytest.mark.serial
@pytest.mark.fault("F05")
@pytest.mark.parametrize("times", [1, 2])
def test_a_killed_worker_is_noticed_and_its_tiles_are_tried_once_more(tmp_path, path, times):
    out = tmp_path / "out.gpkg"
    killer = Failing(counter=str(tmp_path / "n"), after=4, way="kill", times=times * 100 if times > 1 else 1)
    if times == 1:
        assert segment(path, out, killer, workers=2).count == segment(path, tmp_path / "b.gpkg").count
        return
    began = time.monotonic()
    with pytest.raises(WorkerDied, match=r"tile r\d+ c\d+") as died:
        segment(path, out, killer, workers=2)
    assert died.value.exit_code == 8
    assert time.monotonic() - began < 60
    assert not out.exists()


@pytest.mark.fault("F06")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_allocation_names_the_tile_and_what_to_lower(tmp_path, path, workers):
    starving = Failing(counter=str(tmp_path / "n"), way="memory", times=100)
    with pytest.raises(OutOfMemory, match=r"tile r\d+ c\d+.*`tile_size`") as starved:
        segment(path, tmp_path / "out.gpkg", starving, workers=workers)
    assert starved.value.exit_code == 8


@pytest.mark.fault("O16")
def test_an_existing_output_is_kept_unless_overwriting_was_asked_for(tmp_path, path):
    out = tmp_path / "out.gpkg"
    segment(path, out)
    before = out.read_bytes()
    with pytest.raises(OutputExists):
        segment(path, out)
    assert out.read_bytes() == before
    assert leftovers(tmp_path) == []
    assert segment(path, out, overwrite=True).count


@pytest.mark.fault("O16")
def test_a_run_killed_between_output_and_journal_needs_no_overwrite(tmp_path, path):
    out = tmp_path / "out.gpkg"
    from unittest import mock

    with mock.patch.object(Journal, "remove", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        segment(path, out)
    before = out.read_bytes()
    assert segment(path, out).resumed_tiles == 15
    assert out.read_bytes() == before
    assert leftovers(tmp_path) == []


@pytest.mark.fault("O23", "O28")
def test_two_runs_of_one_output_do_not_write_at_once(tmp_path, path):
    out = tmp_path / "out.gpkg"
    with Journal(out, {}), pytest.raises(LockHeld, match=r"out\.gpkg") as held:
        segment(path, out)
    assert held.value.exit_code == 8


@pytest.mark.fault("R01")
def test_a_truncated_raster_fails_and_allow_partial_names_the_tiles(tmp_path):
    picture = flat_scene(np.random.default_rng(3), 300, 210, 40)
    path = write_scene(tmp_path / "cut.tif", picture, photometric="rgb", blockysize=1)
    os.truncate(path, path.stat().st_size * 6 // 10)
    out = tmp_path / "out.gpkg"
    try:
        open_scene(path)
    except UnreadableScene:
        pytest.skip("the statistics met the damage first")
    with pytest.raises(UnreadableScene, match=r"cut\.tif") as damaged:
        segment(path, out)
    assert damaged.value.exit_code == 3
    assert not out.exists()
    summary = segment(path, out, allow_partial=True)
    assert summary.failed_tiles
    assert all(text.startswith("tile r") for text in summary.failed_tiles)
    assert 0 < summary.count == len(pyogrio.read_dataframe(out))


@pytest.mark.fault("R39")
def test_a_scene_without_a_valid_pixel_gives_an_empty_layer(tmp_path):
    path = write_scene(tmp_path / "empty.tif", np.zeros((3, 150, 150), np.uint8), nodata=0, photometric="rgb")
    summary = segment(path, tmp_path / "out.gpkg")
    assert summary.count == 0
    assert summary.skipped_tiles == summary.tiles == 9
    info = pyogrio.read_info(tmp_path / "out.gpkg")
    assert (info["features"], info["crs"]) == (0, "EPSG:32633")


@pytest.mark.fault("R62")
def test_a_raster_replaced_during_the_run_is_noticed(tmp_path, path):
    @dataclass(frozen=True)
    class Replacing(ThresholdSegmenter):
        def embed(self, rgb, valid):
            other = write_scene(tmp_path / "other.tif", np.zeros((3, 150, 210), np.uint8))
            other.replace(path)
            return super().embed(rgb, valid)

    with pytest.raises(UnreadableScene, match="changed while reading"):
        segment(path, tmp_path / "out.gpkg", Replacing())
    assert not (tmp_path / "out.gpkg").exists()


def test_progress_counts_tiles_and_resumed_ones(tmp_path, path):
    seen = []
    scene = open_scene(path)
    segment_scene(
        scene,
        ThresholdSegmenter(),
        tmp_path / "out.gpkg",
        RunOptions(**SMALL),
        observer=Callbacks(on_progress=lambda done, total: seen.append((done, total))),
    )
    assert seen == [(i, 15) for i in range(16)]


COMMAND = [sys.executable, "-m", "geosam", "segment", "scene.tif", "-o", "out.gpkg", "--model", "threshold"]
OPTIONS = ["--tile-size", "64", "--overlap", "16", "--quiet"]


@pytest.mark.fault("F01")
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_twenty_five_seeds_of_eight_kills_end_in_the_same_bytes(tmp_path, workers):
    """The whole process group is killed at random moments, then the run is made to finish."""
    picture = flat_scene(np.random.default_rng(8), 500, 600, 80)
    whole = tmp_path / "whole"
    whole.mkdir()
    write_scene(whole / "scene.tif", picture, photometric="rgb")
    command = [*COMMAND, *OPTIONS, "--workers", str(workers)]
    subprocess.run(command, cwd=whole, check=True)
    startups, works = zip(*(timed(command, whole) for _ in range(3)), strict=True)  # all in the system's cache by now
    startup, work = min(startups), min(works)  # one that something held up would aim behind the end
    expected = (whole / "out.gpkg").read_bytes()
    kills = seed = 0
    while seed < 25 or kills <= 50:
        assert seed < 100, f"only {kills} kills in {seed} seeds"
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "scene.tif").symlink_to(whole / "scene.tif")
        for _ in range(8):
            finished = killed_at(command, folder, 0.9 * startup + rng.uniform(0, 0.5) * work)
            kills += not finished
            if finished:
                break
        else:
            subprocess.run(command, cwd=folder, check=True)
        assert (folder / "out.gpkg").read_bytes() == expected
        assert leftovers(folder) == []
        seed += 1


def timed(command, folder):
    """Seconds until a run, made anew, has its journal, and seconds it then takes to the end."""
    (folder / "out.gpkg").unlink()
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder)
    while process.poll() is None and not (folder / ".out.gpkg.journal").exists():
        time.sleep(0.005)
    started = time.monotonic()
    assert process.wait() == 0
    return started - began, time.monotonic() - started


def killed_at(command, folder, seconds):
    """Kill the command after some seconds; True if its work was done by then."""
    process = subprocess.Popen(command, cwd=folder, start_new_session=True)
    try:
        assert process.wait(timeout=seconds) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return (folder / "out.gpkg").exists() and leftovers(folder) == []  # killed on its way out
    return True


@pytest.mark.serial
@pytest.mark.fault("F03", "F04")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_soon_with_its_code_and_resumes(tmp_path, number):
    picture = np.random.default_rng(1).integers(0, 2, (3, 700, 700)).astype(np.uint8).repeat(2, 1).repeat(2, 2) * 90
    write_scene(tmp_path / "scene.tif", picture, photometric="rgb")
    process = subprocess.Popen([*COMMAND, *OPTIONS], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(name.endswith(".journal") for name in leftovers(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    began = time.monotonic()
    process.send_signal(number)
    _, text = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert len(text.strip().splitlines()) == 1
    assert not (tmp_path / "out.gpkg").exists()
    assert leftovers(tmp_path) == [".out.gpkg.journal"]


@pytest.mark.fault("L01", "R50")
@pytest.mark.slow
def test_a_huge_sparse_scene_takes_little_memory(tmp_path):
    """100,000 x 100,000 px in a file of half a megabyte: only the tiles with something in them cost anything."""
    import rasterio

    path = tmp_path / "huge.tif"
    profile = {"width": 100_000, "height": 100_000, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    profile |= {"tiled": True, "compress": "deflate", "photometric": "rgb", "SPARSE_OK": "TRUE", "BIGTIFF": "YES"}
    from scenes import NORTH_UP

    with rasterio.open(path, "w", driver="GTiff", transform=NORTH_UP, **profile) as file:
        window = rasterio.windows.Window(50_000, 50_000, 512, 512)
        file.write(flat_scene(np.random.default_rng(1), 512, 512, 20), window=window)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(tmp_path / "out.gpkg")], capture_output=True, text=True, check=True
    )
    count, peak_mb = map(int, done.stdout.split())
    assert count > 5
    assert peak_mb < 1000


PEAK = f"""
import resource, sys
from pathlib import Path
from geosam.run.pipeline import RunOptions, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter
options = RunOptions(tile_size=1024, overlap=256)
print(segment_scene(open_scene(sys.argv[1]), ThresholdSegmenter(), Path(sys.argv[2]), options).count)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // {1 if sys.platform == "darwin" else 1024})
"""
