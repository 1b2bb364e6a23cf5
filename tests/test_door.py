"""The Python door: attempts of a newcomer. Each works, or ends in one sentence that says what to write instead."""

import io
import pydoc
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

import geosam
from geosam import Draft, Prompt, open_scene, segment
from geosam.errors import GeosamError, PromptError, UsageError

CRS = "EPSG:32633"
#: Three flat fields: left, top, width, height in pixels of 2 m.
FIELDS = ((10, 10, 40, 30), (70, 20, 30, 60), (20, 60, 30, 30))
TRANSFORM = Affine(2, 0, 500000, 0, -2, 4650000)


@pytest.fixture(autouse=True)
def scene(tmp_path, monkeypatch):
    """`scene.tif` in the current folder, as a newcomer has it, and `truth.gpkg` beside it."""
    monkeypatch.chdir(tmp_path)
    picture = np.full((3, 110, 130), 60, np.uint8)
    for number, (left, top, width, height) in enumerate(FIELDS):
        picture[:, top : top + height, left : left + width] = np.array([200, 60 * number, 40])[:, None, None]
    profile = {"driver": "GTiff", "width": 130, "height": 110, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open("scene.tif", "w", crs=CRS, transform=TRANSFORM, **profile) as file:
        file.write(picture)
    truth().to_file("truth.gpkg")
    return Path("scene.tif")


def truth():
    boxes = [shapely.box(left, top, left + width, top + height) for left, top, width, height in FIELDS]
    placed = [shapely.transform(box, lambda xy: np.column_stack(TRANSFORM @ xy.T)) for box in boxes]
    return gpd.GeoDataFrame({"class": ["field"] * 3}, geometry=placed, crs=CRS)


def centres(crs=CRS):
    """The middles of the fields as (x, y) in a CRS."""
    points = [TRANSFORM @ (left + width / 2, top + height / 2) for left, top, width, height in FIELDS]
    to = Transformer.from_crs(CRS, crs, always_xy=True)
    return [to.transform(*point) for point in points]


def equals_the_fields(polygons):
    """Every field is one polygon, exactly; more polygons (the background) may be there."""
    return all(any(shapely.equals(field, polygon) for polygon in polygons.geometry) for field in truth().geometry)


def one_sentence(error):
    """The text of an error, checked to be a short line with a remedy."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    assert error.value.remedy or "expected" in text
    return text


def test_a_path_is_enough():
    result = segment("scene.tif")
    assert isinstance(result.polygons, gpd.GeoDataFrame)
    assert result.path is None
    assert result.polygons.crs == CRS
    assert len(result) == len(result.polygons) == result.summary.count
    assert not list(Path().glob("*segments*"))


def test_a_file_is_written_where_out_says():
    result = segment("scene.tif", out="x.gpkg", model="threshold")
    assert result.path == Path("x.gpkg")
    assert equals_the_fields(gpd.read_file("x.gpkg"))
    assert gpd.read_file("x.gpkg").geometry.equals(result.polygons.geometry)


def test_a_pathlib_path_serves_for_both():
    assert equals_the_fields(segment(Path("scene.tif"), out=Path("x.parquet"), model="threshold").polygons)


def test_an_open_rasterio_dataset_serves_as_a_scene():
    with rasterio.open("scene.tif") as dataset:
        assert equals_the_fields(segment(dataset, model="threshold").polygons)
        assert not dataset.closed


def test_a_numpy_array_is_told_what_to_write_instead():
    with pytest.raises(UsageError) as error:
        segment(np.zeros((3, 100, 100), np.uint8))
    assert "array" in one_sentence(error)
    assert "GeoTIFF" in one_sentence(error)


def test_a_geodataframe_in_another_crs_gives_one_object_a_feature():
    points = gpd.GeoDataFrame(
        {"name": ["a", "b", "c"]}, geometry=gpd.points_from_xy(*zip(*centres("EPSG:4326"), strict=True)), crs=4326
    )
    result = segment("scene.tif", points, model="threshold")
    assert result.polygons["name"].tolist() == ["a", "c", "b"] or set(result.polygons["name"]) == {"a", "b", "c"}
    assert len(result) == 3
    assert equals_the_fields(result.polygons)


def test_a_file_of_prompts_gives_one_object_a_feature():
    gpd.GeoDataFrame(geometry=gpd.points_from_xy(*zip(*centres(), strict=True)), crs=CRS).to_file("points.geojson")
    assert equals_the_fields(segment("scene.tif", "points.geojson", model="threshold").polygons)


def test_a_list_of_points_gives_one_object_a_point():
    result = segment("scene.tif", centres(), model="threshold")
    assert len(result) == 3
    assert equals_the_fields(result.polygons)


def test_one_box_gives_one_object():
    result = segment("scene.tif", tuple(truth().geometry[1].buffer(1).bounds), model="threshold")
    assert len(result) == 1
    assert shapely.equals(result.polygons.geometry[0], truth().geometry[1])


def test_a_prompt_takes_lists_and_the_name_of_a_crs():
    prompt = Prompt(1, crs="EPSG:4326", points_xy=[list(centres("EPSG:4326")[0])], labels=[1])
    assert shapely.equals(segment("scene.tif", prompt, model="threshold").polygons.geometry[0], truth().geometry[0])


def test_prompts_are_made_of_a_point_a_box_or_a_polygon():
    field = truth().geometry[2]
    prompts = [
        Prompt.point(*centres()[0], crs=CRS, id="point"),
        Prompt.box(*truth().geometry[1].bounds, crs=CRS, id="box"),
        Prompt.polygon(field, crs=CRS, id="polygon"),
    ]
    result = segment("scene.tif", prompts, model="threshold")
    assert set(result.polygons["prompt_id"]) == {"point", "box", "polygon"}
    assert equals_the_fields(result.polygons)


def test_a_scene_is_a_context_manager():
    with open_scene("scene.tif") as opened:
        assert equals_the_fields(segment(opened, model="threshold").polygons)
        assert equals_the_fields(segment(opened, model="threshold").polygons)


def test_an_open_scene_takes_no_options_about_opening():
    with open_scene("scene.tif") as opened, pytest.raises(UsageError) as error:
        segment(opened, bands=[1])
    assert "bands" in one_sentence(error)
    assert "open_scene" in one_sentence(error)


def test_a_scene_says_where_it_lies_and_shows_itself():
    with open_scene("scene.tif") as opened:
        assert opened.crs == CRS
        assert opened.bounds == (500000, 4650000 - 220, 500000 + 260, 4650000)
        assert opened.shape == (110, 130)
        assert opened.resolution == pytest.approx((2, 2), rel=1e-2)
        if find_spec("matplotlib"):
            assert opened.plot() is not None
        else:
            with pytest.raises(UsageError, match="matplotlib"):
                opened.plot()


def test_a_draft_needs_no_arguments():
    assert len(repr(Draft())) < 200
    assert not Draft().selects


def test_a_click_in_degrees_finds_the_object():
    lon, lat = centres("EPSG:4326")[1]
    with geosam.session("scene.tif", "threshold") as session:
        assert shapely.equals(session.click(lon, lat, crs="EPSG:4326"), truth().geometry[1])
        session.accept(kind="field")
        assert session.polygon is None
        assert session.polygons["kind"].tolist() == ["field"]
        assert session.polygons.crs == CRS


def test_a_session_takes_boxes_exclusions_and_undo():
    with geosam.session("scene.tif", "threshold") as session:
        first = session.click(*centres()[0])
        both = session.click(*centres()[1])
        assert both.area > first.area
        assert shapely.equals(session.exclude(*centres()[1]), first)
        assert shapely.equals(session.undo(), both)
        assert shapely.equals(session.redo(), first)
        session.clear()
        assert shapely.equals(session.box(*truth().geometry[2].bounds), truth().geometry[2])


def test_a_click_outside_the_scene_is_refused_and_forgotten():
    with geosam.session("scene.tif", "threshold") as session:
        session.click(*centres()[0])
        with pytest.raises(PromptError):
            session.click(0, 0)
        assert len(session.draft.steps) == 1
        assert not session.redo() or len(session.draft.steps) == 1
    with geosam.session("scene.tif", "threshold") as session, pytest.raises(PromptError) as error:
        session.accept()
    assert "click" in one_sentence(error)


def test_progress_true_draws_a_bar_and_a_function_is_called():
    with redirect_stderr(io.StringIO()):
        segment("scene.tif", model="threshold", progress=True)
    calls = []
    segment("scene.tif", model="threshold", tile_size=64, overlap=16, progress=lambda *counts: calls.append(counts))
    assert calls[0][0] == 0
    assert calls[-1][0] == calls[-1][1] > 1


def test_a_file_of_weights_serves_as_a_model():
    from geosam.segmenters.lite.weights import shipped_path

    shutil.copy(shipped_path(), "tuned.safetensors")
    result = segment("scene.tif", centres(), model="tuned.safetensors")
    assert set(result.polygons["model"]) == {"geosam_lite/tuned"}


def test_a_result_is_evaluated_against_a_file():
    result = segment("scene.tif", centres(), model="threshold")
    scores = geosam.evaluate(result, "truth.gpkg")
    assert (scores.precision, scores.recall) == (1, 1)
    assert geosam.evaluate(result.polygons, truth()).mean_iou_matched == 1


def test_help_shows_examples_first():
    text = pydoc.plain(pydoc.render_doc(geosam.segment))
    assert text.index("Examples:") < text.index("Args:")
    assert 'geosam.segment("scene.tif")' in text


def test_everything_prints_on_a_screen():
    result = segment("scene.tif", centres(), model="threshold")
    prompt = Prompt.point(*centres()[0], crs=CRS)
    with open_scene("scene.tif") as opened, geosam.session("scene.tif", "threshold") as session:
        session.click(*centres()[0])
        values = [result, result.summary, opened, session, session.answer, Draft(), prompt, geosam.models()]
        values += [geosam.evaluate(result, "truth.gpkg"), opened.geobox, opened.region, session.draft]
        for value in values:
            lines = repr(value).splitlines()
            assert len(lines) <= 40, type(value)
            assert max(map(len, lines)) <= 600, (type(value), repr(value))


def test_a_result_shows_itself_in_a_notebook():
    page = segment("scene.tif", centres(), model="threshold")._repr_html_()
    assert "data:image/png;base64," in page
    assert "<table" in page
    with open_scene("scene.tif") as opened:
        assert "data:image/png;base64," in opened._repr_html_()


def test_a_preview_is_a_picture_and_a_file():
    result = segment("scene.tif", centres(), model="threshold")
    picture = geosam.preview("scene.tif", result, "picture.png", size=300)
    assert max(picture.size) >= 260
    assert Path("picture.png").stat().st_size > 0


def test_models_are_listed_with_what_they_are():
    models = geosam.models()
    assert next(iter(models)) == "geosam_lite"
    assert models["sam_vit_b"].licence
    assert "geosam_lite" in repr(models)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: segment("scene.tif", tilesize=512), "tile_size"),
        (lambda: segment("scene.tif", tree=1), "help(geosam.segment)"),
        (lambda: segment(3), "path"),
        (lambda: segment("scene.tif", 3.5), "points"),
        (lambda: geosam.evaluate(3, "truth.gpkg"), "predicted"),
        (lambda: geosam.segment("scene.tif", model=3), "model"),
        (lambda: segment("scene.tif", centres(), model="threshold", spacing=8), "prompts"),
        (lambda: segment("scene.tif", cache_size=5, model="threshold"), "cache"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(call, part):
    with pytest.raises(GeosamError) as error:
        call()
    assert part in one_sentence(error)


def test_importing_geosam_imports_none_of_its_rooms():
    rooms = {"torch", "numpy", "rasterio", "shapely", "geopandas"}
    code = f"import sys, geosam; print({rooms} & {{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_run_with_an_output_makes_no_temporary_folder(monkeypatch):
    monkeypatch.setattr("geosam.api.TemporaryDirectory", lambda **_: pytest.fail("a temporary folder is made"))
    segment("scene.tif", centres(), model="threshold", out="x.gpkg")
