"""Runs with an embedding store give the bytes of runs without one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import pytest
from known_answers import flat_scene
from scenes import write_scene
from store_bench import SMALL, TILES, Bench, Counting, entries

from geosam.errors import OutOfMemory, UnreadableScene, UsageError
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


@pytest.mark.fault("Q12")
@pytest.mark.parametrize("workers", [1, 2])
def test_no_cold_warm_and_damaged_store_give_the_same_bytes(bench, workers):
    expected, _ = bench.segment()
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
    assert expected == cold == warm == damaged
    assert bench.segment(bench.store())[1].warnings == ()


@pytest.mark.fault("Q12")
@pytest.mark.parametrize("workers", [1, 2])
def test_prompts_find_the_same_in_any_store(bench, workers):
    expected, _ = bench.prompt()
    made = len(bench.embedded())
    store = bench.store()
    assert bench.prompt(store, workers=workers)[0] == expected
    assert 0 < len(list(store.folder.rglob("*.safetensors"))) <= made
    assert 0 < len(bench.embedded()) <= workers * made  # processes may look at one window at the same time
    assert bench.prompt(store)[0] == expected
    assert bench.embedded() == []
    assert bench.prompt(bench.store(max_bytes=30_000))[0] == expected


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
    expected, _ = bench.segment()
    how = {"batch_size": size}
    assert bench.segment(how=how)[0] == expected
    assert max(bench.embedded()) == min(size, TILES)
    assert sum(bench.embedded()) == TILES
    store = bench.store()
    bench.embed(store, opening={"window": (500_000, 4_999_960, 500_040, 5_000_000)})
    known = sum(bench.embedded())
    assert 0 < known < TILES
    assert bench.segment(store, how=how, workers=workers)[0] == expected
    assert sum(bench.embedded()) == TILES - known
    assert len(bench.embedded()) >= workers


def test_batches_are_padded_to_the_model_s_input(bench):
    expected, _ = bench.segment()
    how = {"batch_size": 4, "input_size": 80}
    store = bench.store()
    for given in (None, store, store):
        assert bench.segment(given, how=how)[0] == expected
    assert bench.embedded() == []
    bench.segment(store, how=how | {"input_size": 81})
    assert sum(bench.embedded()) == TILES


def test_a_tile_larger_than_the_model_s_input_is_refused(bench):
    with pytest.raises(UsageError, match="`tile_size`: found 64 x 64 px, expected at most 60 x 60"):
        bench.segment(how={"input_size": 60})


@pytest.mark.fault("R01")
@pytest.mark.parametrize("workers", [1, 2])
def test_an_unreadable_tile_of_a_batch_fails_alone(tmp_path, workers):
    picture = flat_scene(np.random.default_rng(3), 300, 210, 40)
    bench = Bench(tmp_path, write_scene(tmp_path / "cut.tif", picture, photometric="rgb", blockysize=1))
    os.truncate(bench.path, bench.path.stat().st_size * 6 // 10)
    opening = {"stretch": "none"}
    expected, alone = bench.segment(opening=opening, allow_partial=True)
    store = bench.store()
    made, summary = bench.segment(store, opening=opening, how={"batch_size": 4}, allow_partial=True, workers=workers)
    assert made == expected
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
    with pytest.raises(OutOfMemory, match=r"tile r\d c\d and the next 3") as starved:
        segment_scene(scene, Starving(), bench.folder / "out.gpkg", RunOptions(**SMALL, workers=workers))
    assert starved.value.exit_code == 8
    assert "Use --device cpu" in str(starved.value.__cause__)


@pytest.mark.fault("F01")
def test_a_run_that_was_stopped_goes_on_with_another_store_or_none(bench):
    expected, _ = bench.segment()

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
    assert out.read_bytes() == expected


@pytest.mark.fault("C27")
def test_a_run_in_a_store_that_is_too_small_gives_the_same_bytes(bench):
    expected, _ = bench.segment()
    store = bench.store(max_bytes=60_000)
    for _ in range(2):
        assert bench.segment(store)[0] == expected
        assert sum(path.stat().st_size for path in entries(store)) <= 60_000
    made, summary = bench.segment(bench.store(max_bytes=100))
    assert made == expected
    assert "does not fit" in summary.warnings[0]


@pytest.mark.fault("O28")
def test_an_output_in_the_store_is_refused(bench):
    store = bench.store()
    for out in (store.folder / "out.gpkg", bench.folder / "store" / ".." / "store" / "ab" / "out.gpkg"):
        with pytest.raises(UsageError, match="lies in the embedding store"):
            segment_scene(open_scene(bench.path), ThresholdSegmenter(), out, RunOptions(**SMALL), store=store)
