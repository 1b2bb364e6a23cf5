"""Runs with an embedding store give the bytes of runs without one (FAULTS C23, C24, C26, R64, O28, Q12)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from known_answers import flat_scene
from scenes import write_scene

from geosam.errors import DiskFull, ExportError, OutOfMemory, UnreadableScene, UsageError
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.observer import Callbacks
from geosam.prompts.prompt import Prompt
from geosam.run.embedding import embed_scene
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import fingerprint, open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

SMALL = {"tile_size": 64, "overlap": 16}
TILES = 15


@dataclass(frozen=True)
class Counting(ThresholdSegmenter):
    """Writes down how many tiles every call embeds, across processes; likes batches, and input of a fixed size."""

    log: str = ""
    batch_size: int = 1
    input_size: int | None = None
    model: str = "threshold-1"

    @property
    def spec(self):
        return replace(super().spec, fingerprint=self.model, batch_size=self.batch_size, input_size=self.input_size)

    def embed(self, rgb, valid):
        with Path(self.log).open("a") as file:
            file.write(f"{len(rgb)} ")
        assert self.input_size is None or rgb.shape[2:] == (self.input_size, self.input_size)
        return super().embed(rgb, valid)


@dataclass
class Bench:
    """A scene, and runs over it that tell what they embedded."""

    folder: Path
    path: Path
    runs: int = 0

    def segmenter(self, **how):
        return Counting(log=str(self.folder / f"log{self.runs}"), **how)

    def embedded(self):
        """Tiles of each call since the last run began."""
        log = self.folder / f"log{self.runs}"
        return [int(count) for count in log.read_text().split()] if log.exists() else []

    def store(self, **limit):
        return EmbeddingStore(self.folder / "store", **limit)

    def segment(self, store=None, *, opening=None, how=None, **options):
        """(bytes of the output, summary); the output has one name always, for it is in the bytes."""
        return self._run(store, segment_scene, opening, how, options)

    def prompt(self, store=None, **options):
        def run(scene, segmenter, *rest, **more):
            return segment_prompts(scene, segmenter, self.clicks(scene), *rest, **more)

        return self._run(store, run, None, None, options)

    def _run(self, store, run, opening, how, options):
        self.runs += 1
        out = self.folder / str(self.runs) / "out.gpkg"
        out.parent.mkdir()
        scene = open_scene(self.path, **opening or {})
        summary = run(scene, self.segmenter(**how or {}), out, RunOptions(**SMALL | options), store=store)
        return out.read_bytes(), summary

    def embed(self, store, *, opening=None, how=None, **options):
        self.runs += 1
        options = RunOptions(**SMALL | options)
        return embed_scene(open_scene(self.path, **opening or {}), self.segmenter(**how or {}), store, options)

    def clicks(self, scene):
        pixels = np.random.default_rng(1).uniform(0, (210, 150), (12, 2))
        one = np.ones(1, np.int8)
        return [Prompt(str(i), scene.geobox.crs, scene.geobox.to_map([xy]), one) for i, xy in enumerate(pixels)]


@pytest.fixture
def bench(tmp_path):
    picture = flat_scene(np.random.default_rng(3), 150, 210, 40)
    picture[:, :60, :60] = 0  # the first tile has only nodata but for a corner
    return Bench(tmp_path, write_scene(tmp_path / "scene.tif", picture, photometric="rgb", nodata=0))


def entries(store):
    return sorted(store.folder.glob("??/*.safetensors"))


@pytest.mark.fault("Q12")
@pytest.mark.parametrize("workers", [1, 2])
def test_no_cold_warm_and_damaged_store_give_the_same_bytes(bench, workers):
    wanted, _ = bench.segment()
    store = bench.store()
    cold, _ = bench.segment(store, workers=workers)
    assert bench.embedded() == [1] * TILES
    warm, summary = bench.segment(store)
    assert bench.embedded() == []
    assert summary.warnings == ()
    for path in entries(store)[::3]:
        path.write_bytes(path.read_bytes()[:-1])
    damaged, summary = bench.segment(store, workers=workers)
    assert bench.embedded() == [1] * 5
    assert len(summary.warnings) == 1
    assert "damaged entries" in summary.warnings[0]
    assert wanted == cold == warm == damaged
    assert bench.segment(bench.store())[1].warnings == ()


@pytest.mark.fault("Q12")
@pytest.mark.parametrize("workers", [1, 2])
def test_prompts_find_the_same_in_any_store(bench, workers):
    wanted, _ = bench.prompt()
    made = len(bench.embedded())
    store = bench.store()
    assert bench.prompt(store, workers=workers)[0] == wanted
    assert 0 < len(list(store.folder.rglob("*.safetensors"))) <= made
    assert 0 < len(bench.embedded()) <= workers * made  # processes may look at one window at the same time
    assert bench.prompt(store)[0] == wanted
    assert bench.embedded() == []
    assert bench.prompt(bench.store(max_bytes=30_000))[0] == wanted


@pytest.mark.fault("Q12")
def test_regions_come_back_from_a_store_as_they_were(bench):
    regions = load_segmenter("regions")
    files = []
    for number, store in enumerate([None, bench.store(), bench.store()]):
        out = bench.folder / str(number) / "out.gpkg"
        out.parent.mkdir()
        segment_scene(open_scene(bench.path), regions, out, RunOptions(**SMALL), store=store)
        files.append(out.read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize(("size", "workers"), [(2, 1), (4, 1), (40, 1), (40, 2)])
def test_batches_of_any_size_give_the_same_bytes_and_embed_only_what_is_missing(bench, size, workers):
    wanted, _ = bench.segment()
    how = {"batch_size": size}
    assert bench.segment(how=how)[0] == wanted
    assert max(bench.embedded()) == min(size, TILES)
    assert sum(bench.embedded()) == TILES
    store = bench.store()
    bench.embed(store, opening={"window": (500_000, 4_999_960, 500_040, 5_000_000)})
    known = sum(bench.embedded())
    assert 0 < known < TILES
    assert bench.segment(store, how=how, workers=workers)[0] == wanted
    assert sum(bench.embedded()) == TILES - known
    assert len(bench.embedded()) >= workers


def test_batches_are_padded_to_the_model_s_input(bench):
    wanted, _ = bench.segment()
    how = {"batch_size": 4, "input_size": 80}
    store = bench.store()
    for given in (None, store, store):
        assert bench.segment(given, how=how)[0] == wanted
    assert bench.embedded() == []
    bench.segment(store, how=how | {"input_size": 81})
    assert sum(bench.embedded()) == TILES


def test_a_tile_larger_than_the_model_s_input_is_refused(bench):
    with pytest.raises(UsageError, match="64 x 64 px, the model takes at most 60 x 60"):
        bench.segment(how={"input_size": 60})


@pytest.mark.fault("R01")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_unreadable_tile_of_a_batch_fails_alone(tmp_path, workers):
    picture = flat_scene(np.random.default_rng(3), 300, 210, 40)
    bench = Bench(tmp_path, write_scene(tmp_path / "cut.tif", picture, photometric="rgb", blockysize=1))
    os.truncate(bench.path, bench.path.stat().st_size * 6 // 10)
    opening = {"stretch": "none"}
    wanted, alone = bench.segment(opening=opening, allow_partial=True)
    store = bench.store()
    made, summary = bench.segment(store, opening=opening, how={"batch_size": 4}, allow_partial=True, workers=workers)
    assert made == wanted
    assert summary.failed_tiles == alone.failed_tiles != ()
    with pytest.raises(UnreadableScene, match=r"cut\.tif"):
        bench.segment(opening=opening, how={"batch_size": 4})
    with pytest.raises(UnreadableScene, match=r"cut\.tif"):
        bench.embed(store, opening=opening)
    assert len(bench.embed(store, opening=opening, allow_partial=True).failed_tiles) == len(alone.failed_tiles)


@dataclass(frozen=True)
class Starving(ThresholdSegmenter):
    """An accelerator that is too small even for one tile."""

    @property
    def spec(self):
        return replace(super().spec, batch_size=4)

    def embed(self, rgb, valid):
        del rgb, valid
        raise OutOfMemory("The device has 1 GiB, 2 GiB are needed for one tile. Use --device cpu.")


@pytest.mark.fault("F07")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_device_without_memory_ends_in_8_and_names_the_tiles(bench, workers):
    scene = open_scene(bench.path)
    with pytest.raises(OutOfMemory, match=r"tile r0 c\d and the next 3") as starved:
        segment_scene(scene, Starving(), bench.folder / "out.gpkg", RunOptions(**SMALL, workers=workers))
    assert starved.value.exit_code == 8
    assert "Use --device cpu" in str(starved.value.__cause__)


@pytest.mark.fault("F01")
def test_a_run_that_was_stopped_goes_on_with_another_store_or_none(bench):
    wanted, _ = bench.segment()

    @dataclass(frozen=True)
    class Stopping(Counting):
        def embed(self, rgb, valid):
            if len(bench.embedded()) == 5:
                raise RuntimeError("stopped")
            return super().embed(rgb, valid)

    out = bench.folder / "resumed" / "out.gpkg"
    out.parent.mkdir()
    bench.runs += 1
    scene, options = open_scene(bench.path), RunOptions(**SMALL)
    with pytest.raises(RuntimeError, match="stopped"):
        segment_scene(scene, Stopping(log=bench.segmenter().log), out, options, store=bench.store())
    bench.runs += 1
    assert segment_scene(scene, bench.segmenter(), out, options).resumed_tiles == 5
    assert out.read_bytes() == wanted


# Keys, C24.


@pytest.mark.fault("C24")
@pytest.mark.parametrize(
    ("opening", "how"),
    [
        ({"stretch": "0,200"}, {}),
        ({"stretch": "p1,p99"}, {}),
        ({"bands": (3, 2, 1)}, {}),
        ({"resolution": 0.6}, {}),
        ({}, {"model": "threshold-2"}),
        ({}, {"input_size": 64}),
    ],
    ids=str,
)
def test_another_model_stretch_band_or_resolution_finds_nothing(bench, opening, how):
    store = bench.store()
    bench.segment(store)
    wanted, _ = bench.segment(opening=opening, how=how)
    needed = bench.embedded()
    assert bench.segment(store, opening=opening, how=how)[0] == wanted
    assert bench.embedded() == needed
    bench.segment(store)
    assert bench.embedded() == []


def replaced(bench, picture):
    """The scene with another picture under the same name, of the same size and with the same times."""
    before = bench.path.stat()
    other = write_scene(bench.folder / "other.tif", picture, photometric="rgb", nodata=0)
    bench.path.write_bytes(other.read_bytes())  # in place: the inode stays too
    os.utime(bench.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = bench.path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


@pytest.mark.fault("R62", "R64")
def test_a_scene_rewritten_during_a_run_with_its_times_restored_is_noticed(bench):
    @dataclass(frozen=True)
    class Rewriting(ThresholdSegmenter):
        def embed(self, rgb, valid):
            replaced(bench, flat_scene(np.random.default_rng(4), 150, 210, 40))
            return super().embed(rgb, valid)

    for store in (None, bench.store()):
        scene, out = open_scene(bench.path), bench.folder / f"{store is None}.gpkg"
        with pytest.raises(UnreadableScene, match="changed while reading"):
            segment_scene(scene, Rewriting(), out, RunOptions(**SMALL), store=store)
    wanted, _ = bench.segment()
    assert bench.segment(bench.store())[0] == wanted


@pytest.mark.fault("R64")
def test_a_scene_replaced_behind_our_back_finds_nothing(bench):
    store = bench.store()
    first, _ = bench.segment(store)
    replaced(bench, flat_scene(np.random.default_rng(4), 150, 210, 40))
    wanted, _ = bench.segment()
    assert wanted != first
    assert bench.segment(store)[0] == wanted
    assert bench.embedded() == [1] * TILES


@pytest.mark.fault("R64")
def test_a_change_that_the_fingerprint_of_a_large_file_does_not_meet_finds_nothing_there(bench, monkeypatch):
    monkeypatch.setattr(fingerprint, "_WHOLE_BYTES", 1000)
    monkeypatch.setattr(fingerprint, "_BLOCK_BYTES", 16)
    store = bench.store()
    bench.segment(store)
    before = open_scene(bench.path).fingerprint
    content = bytearray(bench.path.read_bytes())
    start = len(content) // 2 + 30
    content[start : start + 3] = bytes(value ^ 1 for value in content[start : start + 3])
    bench.path.write_bytes(content)
    assert open_scene(bench.path).fingerprint == before
    wanted, _ = bench.segment()
    assert bench.segment(store)[0] == wanted
    assert 1 <= len(bench.embedded()) <= 4


@pytest.mark.fault("C24")
def test_a_moved_a_copied_and_a_touched_scene_and_store_find_everything(bench):
    store = bench.store()
    bench.segment(store)
    os.utime(bench.path)
    bench.segment(store)
    assert bench.embedded() == []
    (bench.folder / "elsewhere").mkdir()
    moved = replace(bench, path=bench.path.rename(bench.folder / "elsewhere" / "other name.tif"))
    shutil.copytree(store.folder, bench.folder / "copy")
    shutil.rmtree(store.folder)
    moved.segment(EmbeddingStore(bench.folder / "copy"))
    assert moved.embedded() == []


# Filling a store ahead of time.


@pytest.mark.parametrize("workers", [1, 2])
def test_embed_scene_fills_the_store_for_a_run(bench, workers):
    store = bench.store()
    summary = bench.embed(store, workers=workers)
    assert (summary.tiles, summary.computed, summary.reused, summary.skipped) == (TILES, TILES, 0, 0)
    assert summary.bytes == sum(path.stat().st_size for path in entries(store))
    assert bench.segment(store)[0] == bench.segment()[0]
    bench.segment(store)
    assert bench.embedded() == []
    again = bench.embed(store)
    assert (again.computed, again.reused, again.bytes) == (0, TILES, summary.bytes)


def test_a_window_fills_part_of_the_store_of_the_whole_scene(bench):
    store = bench.store()
    left = bench.embed(store, opening={"window": (500_000, 4_999_925, 500_040, 5_000_000)})
    right = bench.embed(store, opening={"window": (500_040, 4_999_925, 500_105, 5_000_000)})
    assert 0 < left.computed == left.tiles < TILES
    assert 0 < right.reused < right.tiles
    assert left.computed + right.computed == TILES
    bench.segment(store)
    assert bench.embedded() == []


def test_embed_scene_goes_on_where_it_was_and_makes_damaged_entries_again(bench):
    store = bench.store()
    bench.embed(store)
    for path in entries(store)[:4]:
        path.unlink()
    entries(store)[0].write_bytes(b"damaged")
    summary = bench.embed(store)
    assert (summary.computed, summary.reused) == (5, TILES - 5)
    assert "damaged" in summary.warnings[0]


@pytest.mark.fault("R39")
def test_tiles_without_a_valid_pixel_have_no_entry(bench):
    picture = np.zeros((3, 150, 210), np.uint8)
    picture[:, 140:, 200:] = 9
    write_scene(bench.path, picture, photometric="rgb", nodata=0)
    store = bench.store()
    summary = bench.embed(store)
    assert (summary.tiles, summary.computed, summary.skipped, len(entries(store))) == (TILES, 2, TILES - 2, 2)


def test_embed_scene_counts_its_progress(bench):
    seen = []
    options = RunOptions(**SMALL)
    scene = open_scene(bench.path)
    embed_scene(
        scene,
        bench.segmenter(),
        bench.store(),
        options,
        observer=Callbacks(on_progress=lambda *counts: seen.append(counts)),
    )
    assert seen == [(done, TILES) for done in range(1, TILES + 1)]


# Stores that cannot be used as wanted: C26, C27, O28.


def unwritable(bench):
    """A store whose folder became a file."""
    store = bench.store()
    shutil.rmtree(store.folder)
    store.folder.touch()
    return store


@pytest.mark.fault("C26")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_without_a_store_and_says_so_once(bench, workers):
    wanted, _ = bench.segment()
    made, summary = bench.segment(unwritable(bench), workers=workers)
    assert made == wanted
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
    wanted, _ = bench.segment()
    made, summary = bench.segment(EmbeddingStore(small_disk / "store"))
    assert made == wanted
    assert len(summary.warnings) == 1
    assert "No space left" in summary.warnings[0]
    store = EmbeddingStore(small_disk / "store")
    assert entries(store)
    assert bench.segment(store)[0] == wanted
    with pytest.raises(DiskFull, match="No space left") as full:
        bench.embed(EmbeddingStore(small_disk / "store"))
    assert full.value.exit_code == 8
    assert list(small_disk.rglob("*.partial")) == []


@pytest.mark.fault("C26")
def test_filling_a_store_that_cannot_be_written_is_an_error(bench):
    with pytest.raises(ExportError, match="cannot be written") as refused:
        bench.embed(unwritable(bench))
    assert refused.value.exit_code == 6


@pytest.mark.fault("C27")
def test_a_run_in_a_store_that_is_too_small_gives_the_same_bytes(bench):
    wanted, _ = bench.segment()
    store = bench.store(max_bytes=60_000)
    for _ in range(2):
        assert bench.segment(store)[0] == wanted
        assert sum(path.stat().st_size for path in entries(store)) <= 60_000
    made, summary = bench.segment(bench.store(max_bytes=100))
    assert made == wanted
    assert "does not fit" in summary.warnings[0]


@pytest.mark.fault("C27")
@pytest.mark.parametrize("limit", [100, 60_000])
def test_a_store_that_cannot_hold_the_scene_is_not_filled(bench, limit):
    with pytest.raises(UsageError, match=r"too small.*`cache_size`"):
        bench.embed(bench.store(max_bytes=limit))
    assert len(bench.embedded()) <= 2


@pytest.mark.fault("O28")
def test_an_output_in_the_store_is_refused(bench):
    store = bench.store()
    for out in (store.folder / "out.gpkg", bench.folder / "store" / ".." / "store" / "ab" / "out.gpkg"):
        with pytest.raises(UsageError, match="lies in the embedding store"):
            segment_scene(open_scene(bench.path), ThresholdSegmenter(), out, RunOptions(**SMALL), store=store)
