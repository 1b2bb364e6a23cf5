"""Classes reach the file: one polygon for one object of one class, its name and its probability."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyogrio
import pytest
import shapely
from executors import EXECUTORS
from known_answers import flat_scene
from labelled_components import LabelledComponents
from scenes import write_scene

from geosam.errors import ModelError
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.observer import Callbacks
from geosam.objects.session import Session
from geosam.prompts.from_draft import draft_of
from geosam.prompts.prompt import Prompt
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

FORMATS = ["gpkg", "geojson", "shp", "parquet", "fgb"]
OPTIONS = RunOptions(tile_size=64, overlap=16)
NAMES = {False: "dark", True: "light — bright"}


@pytest.fixture(scope="module")
def picture():
    return flat_scene(np.random.default_rng(5), 150, 210, 40)


@pytest.fixture
def scene(tmp_path, picture):
    return open_scene(write_scene(tmp_path / "scene.tif", picture, photometric="rgb"))


def read(path):
    """(WKB of each polygon, columns by name) of any format."""
    if path.suffix == ".parquet":
        import geopandas

        table = geopandas.read_parquet(path)
        return shapely.to_wkb(np.array(table.geometry)).tolist(), {
            name: table[name].to_numpy() for name in table.columns if name != "geometry"
        }
    _, _, wkb, columns = pyogrio.raw.read(path)
    return list(wkb), dict(zip(pyogrio.read_info(path)["fields"], columns, strict=True))


def red_of(scene, picture, wkb):
    """Red of the picture under a point inside of the polygon."""
    polygon = shapely.from_wkb(wkb)
    ((x, y),) = scene.geobox.to_pixel(shapely.get_coordinates(shapely.point_on_surface(polygon)))
    return int(picture[0, int(y), int(x)])


def clicks(scene, points):
    crs, one = scene.geobox.crs, np.ones(1, np.int8)
    return [Prompt(str(i), crs, scene.geobox.to_map([(x + 0.5, y + 0.5)]), one) for i, (x, y) in enumerate(points)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_has_the_class_and_its_score_of_every_object(tmp_path, scene, picture, suffix):
    out, plain = tmp_path / f"out.{suffix}", tmp_path / "plain.gpkg"
    summary = segment_scene(scene, LabelledComponents(), out, OPTIONS)
    segment_scene(scene, ThresholdSegmenter(), plain, OPTIONS)
    _, columns = read(out)
    outlines, _ = read(plain)
    assert len(columns["class"]) == summary.count == len(outlines)
    reds = [red_of(scene, picture, outline) for outline in outlines]
    assert {red >= 128 for red in reds} == {False, True}
    by_id = np.argsort(columns["id"])  # FlatGeobuf has an order of its own
    assert columns["class"][by_id].tolist() == [NAMES[red >= 128] for red in reds]
    score = columns["class_scor" if suffix == "shp" else "class_score"][by_id]
    assert score.tolist() == pytest.approx([red / 255 for red in reds], abs=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_segmenter_without_classes_has_no_such_columns(tmp_path, scene, suffix):
    out = tmp_path / f"out.{suffix}"
    segment_scene(scene, ThresholdSegmenter(), out, OPTIONS)
    assert not [name for name in read(out)[1] if name.startswith("class")]


@pytest.mark.parametrize("suffix", ["gpkg", "parquet"])
def test_a_model_without_probabilities_leaves_the_score_empty(tmp_path, scene, suffix):
    out = tmp_path / f"out.{suffix}"
    segment_scene(scene, LabelledComponents(scored=False), out, OPTIONS)
    _, columns = read(out)
    assert set(columns["class"]) == set(NAMES.values())
    assert np.isnan(columns["class_score"].astype(float)).all()


@pytest.mark.parametrize(("tile_size", "overlap"), [(64, 16), (100, 37), (48, 30), (1024, 256)])
def test_objects_of_different_classes_at_one_place_are_neither_joined_nor_duplicates(
    tmp_path, scene, tile_size, overlap
):
    """Every component comes once as each class: each class must have all of them, whole."""
    options = RunOptions(tile_size=tile_size, overlap=overlap)
    both, plain = tmp_path / "both.gpkg", tmp_path / "plain.gpkg"
    segment_scene(scene, LabelledComponents(twice=True), both, options)
    segment_scene(scene, ThresholdSegmenter(), plain, options)
    outlines, columns = read(both)
    expected, _ = read(plain)
    for name in NAMES.values():
        assert sorted(np.array(outlines, object)[columns["class"] == name]) == sorted(expected)
    assert not columns["truncated"].any()


@pytest.mark.parametrize("layout", ["overlapping", "planar"])
def test_every_executor_writes_the_same_classes(tmp_path, scene, layout):
    written = []
    options = RunOptions(tile_size=64, overlap=16, layout=layout)
    for name, executor in EXECUTORS.items():
        (tmp_path / name).mkdir()
        out = tmp_path / name / "out.gpkg"
        segment_scene(scene, LabelledComponents(), out, options, executor=executor)
        written.append(out.read_bytes())
    assert written.count(written[0]) == len(EXECUTORS)
    assert set(read(out)[1]["class"]) == set(NAMES.values())


@pytest.mark.fault("F01")
@pytest.mark.parametrize(("prompted", "suffix"), [*((False, suffix) for suffix in FORMATS), (True, "gpkg")])
def test_an_interrupted_run_keeps_the_classes_of_finished_tiles(tmp_path, scene, prompted, suffix):
    points = [(20, 30), (100, 100), (200, 140), (5, 5), (150, 60)]
    written = []
    for name, stops in (("whole", []), ("resumed", [3])):
        (tmp_path / name).mkdir()
        out = tmp_path / name / f"out.{suffix}"

        def run(observer=None, out=out):
            if prompted:
                prompts = clicks(scene, points)
                return segment_prompts(scene, LabelledComponents(), prompts, out, OPTIONS, observer=observer)
            return segment_scene(scene, LabelledComponents(), out, OPTIONS, observer=observer)

        for stop in stops:

            def end(done, _total, stop=stop):
                if done == stop:
                    raise InterruptedError

            with pytest.raises(InterruptedError):
                run(Callbacks(on_progress=end))
        assert run().resumed_tiles == sum(stops)
        written.append({path.name: path.read_bytes() for path in out.parent.iterdir()})
    assert written[0] == written[1]


def test_a_store_gives_the_same_classes(tmp_path, scene):
    written = []
    for name in ("none", "cold", "warm"):
        (tmp_path / name).mkdir()
        out = tmp_path / name / "out.gpkg"
        store = None if name == "none" else EmbeddingStore(tmp_path / "store")
        segment_scene(scene, LabelledComponents(), out, OPTIONS, store=store)
        written.append(out.read_bytes())
    assert written.count(written[0]) == 3


def test_prompted_objects_have_the_class_of_what_they_lie_on_however_far_they_reach(tmp_path, scene, picture):
    out = tmp_path / "out.gpkg"
    points = [(x, y) for x in range(10, 210, 40) for y in range(10, 150, 40)]
    segment_prompts(scene, LabelledComponents(), clicks(scene, points), out, RunOptions(tile_size=40, overlap=10))
    _, columns = read(out)
    assert columns["n_tiles"].max() > 4
    for prompt, name, score in zip(columns["prompt_id"], columns["class"], columns["class_score"], strict=True):
        x, y = points[int(prompt)]
        assert name == NAMES[picture[0, y, x] >= 128]
        assert score == pytest.approx(picture[0, y, x] / 255, abs=1e-6)


def test_an_attribute_of_prompts_called_class_gives_way_only_to_a_class_of_the_model(tmp_path, scene):
    (prompt,) = clicks(scene, [(20, 30)])
    prompt = Prompt("0", prompt.crs, prompt.points_xy, prompt.labels, attributes={"class": "mine"})
    for segmenter, expected in ((LabelledComponents(), "prompt_class"), (ThresholdSegmenter(), "class")):
        out = tmp_path / f"{expected}.gpkg"
        segment_prompts(scene, segmenter, [prompt], out, OPTIONS)
        assert read(out)[1][expected].tolist() == ["mine"]


def test_a_session_answers_with_the_class_of_a_run(tmp_path, scene):
    (prompt,) = clicks(scene, [(100, 100)])
    segment_prompts(scene, LabelledComponents(), [prompt], tmp_path / "out.gpkg", RunOptions())
    _, columns = read(tmp_path / "out.gpkg")
    found = Session(scene, LabelledComponents()).answer(draft_of(prompt)).found
    assert found.columns["class"] == columns["class"][0]
    assert found.columns["class_score"] == columns["class_score"][0]


@pytest.mark.parametrize("prompted", [False, True])
def test_a_class_that_the_model_does_not_declare_is_refused_at_its_first_tile(tmp_path, scene, prompted):
    liar, out = LabelledComponents(lies=True), tmp_path / "out.gpkg"
    run = (
        partial(segment_prompts, scene, liar, clicks(scene, [(9, 9)]))
        if prompted
        else partial(segment_scene, scene, liar)
    )
    with pytest.raises(ModelError, match=r"labelled gave a mask a class .* found 99, expected one of 1, 7") as refused:
        run(out, OPTIONS)
    assert (refused.value.code, refused.value.values["class_id"]) == ("undeclared-class", 99)
    assert list(tmp_path.glob(".out*")) == []
