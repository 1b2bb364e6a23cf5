"""Embeddings of a whole scene, computed ahead of time into a store."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import write_scene
from store_bench import SMALL, TILES, entries

from geosam.errors import UsageError
from geosam.objects.observer import Callbacks
from geosam.run.embedding import embed_scene
from geosam.run.options import RunOptions
from geosam.scene import open_scene


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


@pytest.mark.fault("C27")
@pytest.mark.parametrize("limit", [100, 60_000])
def test_a_store_that_cannot_hold_the_scene_is_not_filled(bench, limit):
    with pytest.raises(UsageError, match=r"too small.*`cache_size`"):
        bench.embed(bench.store(max_bytes=limit))
    assert len(bench.embedded()) <= 2
