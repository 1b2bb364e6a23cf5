"""Observers see progress, windows, objects and warnings of a run while they happen, and may end it."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from executors import EXECUTORS
from known_answers import flat_scene
from scenes import write_scene

from geosam.errors import UnreadableScene
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.observer import Callbacks, Observer
from geosam.prompts.prompt import Prompt
from geosam.run.embedding import embed_scene
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.run.run_log import RunLog
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

SMALL = {"tile_size": 64, "overlap": 16}
TILES = 15


@dataclass
class Recorder(Observer):
    """Writes everything down; raises when it has seen `last` windows."""

    last: int | None = None
    counts: list = field(default_factory=list)
    windows: list = field(default_factory=list)
    found: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    def progress(self, done, total):
        self.counts.append((done, total))

    def window(self, window, state):
        self.windows.append((window, state))
        if len(self.windows) == self.last:
            raise InterruptedError

    def objects(self, objects):
        self.found.extend(objects)

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def scene(tmp_path):
    picture = flat_scene(np.random.default_rng(3), 150, 210, 40)
    return open_scene(write_scene(tmp_path / "scene.tif", picture, photometric="rgb"))


@pytest.fixture(params=EXECUTORS.values(), ids=EXECUTORS.keys())
def executor(request):
    return request.param


def clicks(scene, points):
    crs, one = scene.geobox.crs, np.ones(1, np.int8)
    return [Prompt(str(i), crs, scene.geobox.to_map([(x + 0.5, y + 0.5)]), one) for i, (x, y) in enumerate(points)]


def test_a_run_reports_every_tile_every_object_and_its_progress(tmp_path, scene, executor):
    seen = Recorder()
    options = RunOptions(**SMALL)
    summary = segment_scene(
        scene, ThresholdSegmenter(), tmp_path / "out.gpkg", options, executor=executor, observer=seen
    )
    grid = TileGrid.over(scene.region, 64, 16)
    assert seen.counts == [(done, TILES) for done in range(TILES + 1)]
    assert {state for _, state in seen.windows} == {"ended"}
    assert sorted(window for window, _ in seen.windows) == sorted(grid.window(tile) for tile in range(len(grid)))
    assert len(seen.found) == summary.count


def test_objects_are_reported_before_filters(tmp_path, scene):
    seen = Recorder()
    options = RunOptions(**SMALL, min_area_m2=1e6)
    summary = segment_scene(scene, ThresholdSegmenter(), tmp_path / "out.gpkg", options, observer=seen)
    assert (summary.count, summary.too_small) == (0, len(seen.found))


def test_an_observer_ends_a_run_and_the_next_run_reports_what_was_known(tmp_path, scene):
    options, out = RunOptions(**SMALL), tmp_path / "out.gpkg"
    with pytest.raises(InterruptedError):
        segment_scene(scene, ThresholdSegmenter(), out, options, observer=Recorder(last=4))
    seen = Recorder()
    summary = segment_scene(scene, ThresholdSegmenter(), out, options, observer=seen)
    assert summary.resumed_tiles == 4
    assert [state for _, state in seen.windows] == ["known"] * 4 + ["ended"] * (TILES - 4)
    assert seen.counts == [(done, TILES) for done in range(4, TILES + 1)]
    assert len(seen.found) == summary.count


def test_a_run_with_prompts_reports_its_windows_objects_and_warnings(tmp_path, scene, executor):
    seen = Recorder()
    prompts = clicks(scene, [(20, 30), (100, 100), (500, 500)])
    summary = segment_prompts(
        scene,
        ThresholdSegmenter(),
        prompts,
        tmp_path / "out.gpkg",
        RunOptions(**SMALL),
        skip_outside=True,
        executor=executor,
        observer=seen,
    )
    assert seen.counts[-1] == (summary.tiles, summary.tiles)
    assert len(seen.windows) == summary.tiles
    assert sorted(item.prompt_index for item in seen.found) == [0, 1]
    assert tuple(seen.warnings) == summary.warnings != ()


def test_the_warnings_of_a_run_are_those_of_its_summary_each_once(tmp_path, scene, executor):
    store = EmbeddingStore(tmp_path / "store", max_bytes=100)
    seen = Recorder()
    summary = segment_scene(
        scene,
        ThresholdSegmenter(),
        tmp_path / "out.gpkg",
        RunOptions(**SMALL),
        store=store,
        executor=executor,
        observer=seen,
    )
    assert tuple(seen.warnings) == summary.warnings
    assert len(set(seen.warnings)) == len(seen.warnings) >= 1
    assert "does not fit" in seen.warnings[0]


def test_warnings_arrive_while_a_run_goes_on(tmp_path, scene):
    at = []
    counts = []
    observer = Callbacks(
        on_progress=lambda done, _total: counts.append(done), on_warning=lambda _text: at.append(counts[-1])
    )
    store = EmbeddingStore(tmp_path / "store", max_bytes=100)
    segment_scene(
        scene, ThresholdSegmenter(), tmp_path / "out.gpkg", RunOptions(**SMALL), store=store, observer=observer
    )
    assert at[0] < TILES


def test_embedding_reports_tiles_and_the_warnings_of_its_summary(tmp_path, scene, executor):
    store = EmbeddingStore(tmp_path / "store")
    embed_scene(scene, ThresholdSegmenter(), store, RunOptions(**SMALL))
    entry = next(store.folder.glob("??/*.safetensors"))
    entry.write_bytes(b"damaged")
    seen = Recorder()
    store = EmbeddingStore(tmp_path / "store")
    summary = embed_scene(scene, ThresholdSegmenter(), store, RunOptions(**SMALL), executor=executor, observer=seen)
    assert (summary.computed, summary.reused) == (1, TILES - 1)
    assert seen.counts == [(done, TILES) for done in range(1, TILES + 1)]
    assert len(seen.windows) == TILES
    assert tuple(seen.warnings) == summary.warnings
    assert "damaged" in seen.warnings[0]


def test_the_log_of_a_run_keeps_different_warnings_in_their_order():
    seen = Recorder()
    log = RunLog(seen, 3)
    log.add_warnings(["b", "a", "b"])
    log.add_warnings(["a", "c"])
    assert log.warnings == ("b", "a", "c") == tuple(seen.warnings)


def test_the_log_of_a_run_orders_failures_by_task_and_raises_them_unless_parts_are_allowed():
    log = RunLog(Observer(), 9)
    for task in (7, 2):
        log.fail(f"tile {task}", task, UnreadableScene("cut"), allow_partial=True)
    assert log.failed_tiles == ("tile 2: cut", "tile 7: cut")
    with pytest.raises(UnreadableScene, match="cut"):
        log.fail("tile 1", 1, UnreadableScene("cut"), allow_partial=False)
