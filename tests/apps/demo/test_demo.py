import subprocess
import sys

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import CRS
from rasterio.features import rasterize
from scipy import ndimage

from geosam.apps.demo import render_scene
from geosam.apps.demo.render import PIXEL_M, SIZE_PX
from geosam.apps.demo.village import CLASSES
from geosam.errors import ExportError, UsageError
from geosam.scene import open_scene
from geosam.vector.polygons import read_polygons

SMALL = 256


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "made"
    done = run_module(folder)
    assert (done.returncode, done.stderr) == (0, "")
    *paths, note = done.stdout.splitlines()
    assert paths == [str(folder / name) for name in ("scene.tif", "truth.gpkg")]
    assert "learnt from pictures of the same painter" in note
    return folder


def run_module(folder):
    command = [sys.executable, "-m", "geosam.apps.demo", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def picture(rendered):
    with rasterio.open(rendered / "scene.tif") as file:
        return file.read().astype(int), file.transform


@pytest.fixture(scope="module")
def truth(rendered):
    return gpd.read_file(rendered / "truth.gpkg")


def pixels(xy, transform):
    """Map coordinates (N, 2) in corner-based pixels, x right and y down."""
    return (np.asarray(xy) - (transform.c, transform.f)) / (transform.a, transform.e)


def burnt(shapes, transform, shape_hw):
    return rasterize(shapes, shape_hw, transform=transform, dtype="u1") > 0


def test_the_picture_is_a_tiled_geotiff_in_utm(rendered):
    with rasterio.open(rendered / "scene.tif") as file:
        assert (file.width, file.height, file.count, file.dtypes[0]) == (SIZE_PX, SIZE_PX, 3, "uint8")
        assert CRS(file.crs.to_wkt()).to_epsg() == 32632
        assert file.transform[:6] == (PIXEL_M, 0, file.transform.c, 0, -PIXEL_M, file.transform.f)
        assert file.profile["tiled"]
        assert [color.name for color in file.colorinterp] == ["red", "green", "blue"]


def test_the_scene_opens_and_its_empty_corner_is_no_picture(rendered, picture):
    tile = open_scene(rendered / "scene.tif").read(open_scene(rendered / "scene.tif").geobox.window)
    assert (tile.valid == (picture[0] > 0).any(axis=0)).all()
    assert 0.001 < (~tile.valid).mean() < 0.02
    assert not tile.valid[0, -1]


def test_the_truth_has_every_class_and_does_not_overlap(truth):
    assert set(truth["class"]) == set(CLASSES)
    assert truth.is_valid.all()
    assert sorted(truth["id"]) == list(range(1, len(truth) + 1))
    assert (truth["class"].value_counts()[["building", "tree", "field", "car"]] >= [50, 100, 10, 10]).all()
    assert shapely.union_all(truth.geometry.array).area == pytest.approx(truth.area.sum(), rel=1e-9)


def test_the_truth_lies_on_the_pixels_of_the_picture(truth, picture):
    rgb, transform = picture
    vertices = pixels(shapely.get_coordinates(truth.geometry.array), transform)
    assert np.abs(vertices - np.rint(vertices)).max() < 1e-4
    assert np.min(vertices) + 1e-4 >= 0
    assert np.max(vertices) <= SIZE_PX + 1e-4
    empty = (rgb == 0).all(axis=0)
    assert not (empty & burnt(truth.geometry, transform, empty.shape)).any()


def test_the_layer_can_be_evaluated_against(rendered):
    layer = read_polygons(rendered / "truth.gpkg")
    assert layer.notes == ()
    assert set(layer.classes) == set(CLASSES)


def test_buildings_stand_out_from_the_ground_around_them(truth, picture):
    """A model can find them: a roof has colours of its own, other ones than its surroundings."""
    rgb, transform = picture
    roofs = [roof for roof in truth[truth["class"] == "building"].geometry if roof.area > 50]
    taken = burnt(truth.geometry, transform, rgb.shape[1:])
    distances = []
    for roof in roofs:
        inside = burnt([roof.buffer(-0.6)], transform, rgb.shape[1:])
        near = burnt([roof.buffer(2)], transform, rgb.shape[1:])
        outside = np.median(rgb[:, near & ~taken], axis=1)
        distances.append(np.abs(np.median(rgb[:, inside], axis=1) - outside).max())
    assert len(roofs) >= 25
    assert np.mean(np.array(distances) > 15) > 0.9


def test_trees_are_green_and_water_is_not_red(truth, picture):
    rgb, transform = picture
    colours = {}
    for name in ("water", "tree"):
        shapes = truth[truth["class"] == name].geometry.buffer(-1)
        colours[name] = np.median(rgb[:, burnt(shapes[~shapes.is_empty], transform, rgb.shape[1:])], axis=1)
    assert np.argmax(colours["tree"]) == 1
    assert np.argmin(colours["water"]) == 0


def test_shadows_lie_away_from_the_sun(truth, picture):
    rgb, transform = picture
    light = ndimage.gaussian_filter(rgb.mean(axis=0), 2)
    houses = truth[(truth["class"] == "building") & (truth.area > 80)].geometry.centroid
    column, row = pixels(np.stack([houses.x, houses.y], axis=1), transform).astype(int).T
    reach = int(9 / PIXEL_M)  # from the middle of a roof to the middle of its shadow
    seen = (column > reach) & (row > reach) & (column < SIZE_PX - reach) & (row < SIZE_PX - reach)
    column, row = column[seen], row[seen]
    step_x, step_y = int(0.64 * reach), int(0.77 * reach)
    assert np.median(light[row - step_y, column + step_x]) < 0.8 * np.median(light[row + step_y, column - step_x])


def test_the_same_seed_gives_the_same_files_and_another_one_another_village(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        render_scene(tmp_path / f"{name}.tif", tmp_path / f"{name}.gpkg", size=SMALL, seed=seed)
    pictures = [(tmp_path / f"{name}.tif").read_bytes() for name in "abc"]
    layers = [read_polygons(tmp_path / f"{name}.gpkg") for name in "abc"]
    assert pictures[0] == pictures[1] != pictures[2]
    assert (layers[0].polygons == layers[1].polygons).all()
    assert layers[0].classes == layers[1].classes


@pytest.mark.parametrize("size", [SMALL, 301, 500])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_size_is_drawn(tmp_path, size, seed):
    render_scene(tmp_path / "s.tif", tmp_path / "t.gpkg", size=size, seed=seed)
    with rasterio.open(tmp_path / "s.tif") as file:
        assert (file.width, file.height) == (size, size)
    assert len(read_polygons(tmp_path / "t.gpkg")) > 0


def test_too_small_a_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="`size` is too small: found 255 px, expected at least 256") as refused:
        render_scene(tmp_path / "s.tif", tmp_path / "t.gpkg", size=255)
    assert refused.value.code == "demo-size-too-small"
    assert not list(tmp_path.iterdir())


@pytest.mark.fault("O21")
def test_a_missing_folder_is_refused(tmp_path):
    for picture, truth in (("none/s.tif", "t.gpkg"), ("s.tif", "none/t.gpkg")):
        with pytest.raises(ExportError, match="none"):
            render_scene(tmp_path / picture, tmp_path / truth)
    assert not list(tmp_path.iterdir())


def test_existing_files_are_replaced_and_nothing_else_is_left(tmp_path):
    for _ in range(2):
        render_scene(tmp_path / "s.tif", tmp_path / "t.gpkg", size=SMALL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.tif", "t.gpkg"]


def test_the_module_says_in_one_line_why_it_cannot_write(tmp_path):
    (tmp_path / "out").write_text("")
    done = run_module(tmp_path / "out")
    assert done.returncode == 1
    assert "out" in done.stderr
    assert "Traceback" not in done.stderr
