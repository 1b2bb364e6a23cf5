"""A store gives an embedding again only for the same picture and the same model."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from known_answers import flat_scene
from scenes import write_scene
from store_bench import SMALL, TILES

from geosam.errors import UnreadableScene
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import fingerprint, open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


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
    expected, _ = bench.segment(opening=opening, how=how)
    needed = bench.embedded()
    assert bench.segment(store, opening=opening, how=how)[0] == expected
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
    expected, _ = bench.segment()
    assert bench.segment(bench.store())[0] == expected


@pytest.mark.fault("R64")
def test_a_scene_replaced_behind_our_back_finds_nothing(bench):
    store = bench.store()
    first, _ = bench.segment(store)
    replaced(bench, flat_scene(np.random.default_rng(4), 150, 210, 40))
    expected, _ = bench.segment()
    assert expected != first
    assert bench.segment(store)[0] == expected
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
    expected, _ = bench.segment()
    assert bench.segment(store)[0] == expected
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
