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
from shapely.geometry import Point, Polygon, box

from geosam.apps.demo import render_scene
from geosam.apps.demo.canvas import Canvas
from geosam.apps.demo.paint import paint
from geosam.apps.demo.render import PIXEL_M, visible
from geosam.apps.demo.scene import KINDS, Thing, compose
from geosam.errors import ExportError, UsageError
from geosam.scene import open_scene
from geosam.vector.polygons import read_polygons

CLASSES = {name for name in KINDS.values() if name}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "made"
    done = run_module(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(folder / name) for name in ("scene.tif", "truth.gpkg")]
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


def burnt(shapes, transform, shape_hw):
    return rasterize(shapes, shape_hw, transform=transform, dtype="u1") > 0


def test_the_picture_is_a_tiled_geotiff_in_utm(rendered):
    with rasterio.open(rendered / "scene.tif") as file:
        assert (file.width, file.height, file.count, file.dtypes[0]) == (2400, 1800, 3, "uint8")
        assert CRS(file.crs.to_wkt()).to_epsg() == 32632
        assert file.transform[:6] == (0.2, 0, file.transform.c, 0, -0.2, file.transform.f)
        assert file.profile["tiled"]
        assert [color.name for color in file.colorinterp] == ["red", "green", "blue"]


def test_the_scene_opens_and_its_empty_corner_is_no_picture(rendered, picture):
    tile = open_scene(rendered / "scene.tif").read(open_scene(rendered / "scene.tif").geobox.window)
    assert (tile.valid == (picture[0] > 0).any(axis=0)).all()
    assert 0.002 < (~tile.valid).mean() < 0.02
    assert not tile.valid[0, -1]


def test_the_truth_has_every_class_and_does_not_overlap(truth):
    assert set(truth["class"]) == CLASSES
    assert truth.is_valid.all()
    assert sorted(truth["id"]) == list(range(1, len(truth) + 1))
    assert (truth["class"].value_counts()[["building", "tree", "field"]] >= [60, 100, 15]).all()
    assert shapely.union_all(truth.geometry.array).area == pytest.approx(truth.area.sum(), rel=1e-9)


def test_the_truth_lies_within_the_picture(truth, picture):
    rgb, transform = picture
    xmin, ymin, xmax, ymax = truth.total_bounds
    assert (xmin, ymax) == pytest.approx((transform.c, transform.f))
    assert (xmax, ymin) <= (transform.c + 480 + 1e-6, transform.f)
    empty = (rgb == 0).all(axis=0)
    assert not (ndimage.binary_erosion(empty, iterations=2) & burnt(truth.geometry, transform, empty.shape)).any()


def test_the_layer_can_be_evaluated_against(rendered):
    layer = read_polygons(rendered / "truth.gpkg")
    assert layer.notes == ()
    assert set(layer.classes) == CLASSES


def test_buildings_stand_out_from_what_is_around_them(truth, picture):
    """A segmenter that merges regions can find them: a roof has one colour, and another than its surroundings."""
    rgb, transform = picture
    roofs = [g for g in truth[truth["class"] == "building"].geometry if g.area > 20]
    taken = burnt(truth.geometry, transform, rgb.shape[1:])
    distances = []
    for roof in roofs:
        inside = burnt([roof.buffer(-0.6)], transform, rgb.shape[1:])
        around = burnt([roof.buffer(2)], transform, rgb.shape[1:]) & ~burnt(
            [roof.buffer(0.4)], transform, rgb.shape[1:]
        )
        outside = np.median(rgb[:, around & ~taken], axis=1)
        spread = rgb[:, inside].std(axis=1).mean()
        distances.append(np.abs(np.median(rgb[:, inside], axis=1) - outside).max() / spread)
    assert np.mean(np.array(distances) > 2) > 0.9


def test_what_is_called_water_is_blue_and_what_is_called_tree_green(truth, picture):
    rgb, transform = picture
    for name, strongest in (("water", 2), ("tree", 1)):
        shapes = truth[truth["class"] == name].geometry.buffer(-1)
        red, green, blue = np.median(rgb[:, burnt(shapes[~shapes.is_empty], transform, rgb.shape[1:])], axis=1)
        assert np.argmax((red, green, blue)) == strongest


def test_the_same_seed_gives_the_same_files_and_another_one_another_village(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        render_scene(tmp_path / f"{name}.tif", tmp_path / f"{name}.gpkg", size=(400, 300), seed=seed)
    pictures = [(tmp_path / f"{name}.tif").read_bytes() for name in "abc"]
    layers = [read_polygons(tmp_path / f"{name}.gpkg") for name in "abc"]
    assert pictures[0] == pictures[1] != pictures[2]
    assert (layers[0].polygons == layers[1].polygons).all()
    assert layers[0].classes == layers[1].classes


@pytest.mark.parametrize("size", [(64, 64), (700, 200), (200, 700)])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_size_is_drawn(tmp_path, size, seed):
    render_scene(tmp_path / "s.tif", tmp_path / "t.gpkg", size=size, seed=seed)
    with rasterio.open(tmp_path / "s.tif") as file:
        assert (file.width, file.height) == size
    assert len(read_polygons(tmp_path / "t.gpkg")) > 0


def test_too_small_a_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="63 x 300"):
        render_scene(tmp_path / "s.tif", tmp_path / "t.gpkg", size=(63, 300))
    assert not list(tmp_path.iterdir())


@pytest.mark.fault("O21")
def test_a_missing_folder_is_refused(tmp_path):
    for picture, truth in (("none/s.tif", "t.gpkg"), ("s.tif", "none/t.gpkg")):
        with pytest.raises(ExportError, match="none"):
            render_scene(tmp_path / picture, tmp_path / truth)
    assert not list(tmp_path.iterdir())


def test_existing_files_are_replaced_and_nothing_else_is_left(tmp_path):
    for _ in range(2):
        render_scene(tmp_path / "s.tif", tmp_path / "t.gpkg", size=(64, 64))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.tif", "t.gpkg"]


def test_the_module_says_what_is_wrong_in_one_line(tmp_path):
    (tmp_path / "out").write_text("")
    done = run_module(tmp_path / "out")
    assert done.returncode == 1
    assert "out" in done.stderr
    assert "Traceback" not in done.stderr


# ---- the parts ----


def test_things_come_in_drawing_order_and_every_kind_occurs():
    things = compose(480, 360, 7)
    order = [list(KINDS).index(thing.kind) for thing in things]
    assert order == sorted(order)
    assert {thing.kind for thing in things} == set(KINDS)


def test_houses_do_not_overlap_each_other_nor_the_street():
    things = compose(480, 360, 7)
    houses = [thing.shape for thing in things if thing.kind == "house"]
    road = next(thing.shape for thing in things if thing.kind == "road")
    assert shapely.union_all(houses).area == pytest.approx(sum(house.area for house in houses))
    assert not shapely.intersects(houses, road).any()


def test_what_is_hidden_is_cut_out_of_the_truth():
    field, house, tree = box(0, 0, 50, 50), box(10, 10, 20, 20), Point(20, 20).buffer(3)
    things = [Thing("field", field), Thing("lawn", box(30, 30, 40, 40)), Thing("house", house), Thing("tree", tree)]
    seen = dict(visible(things, box(0, 0, 45, 50)))
    assert set(seen) == {"field", "building", "tree"}
    assert seen["tree"].equals(tree)
    assert seen["building"].equals(house.difference(tree))
    covered = shapely.union_all([box(30, 30, 40, 40), house, tree])
    assert seen["field"].equals(box(0, 0, 45, 50).difference(covered))


def test_what_is_all_hidden_or_outside_is_not_in_the_truth():
    hidden = [Thing("car", box(0, 0, 1, 1)), Thing("field", box(0, 0, 5, 5)), Thing("house", box(-1, -1, 6, 6))]
    assert [name for name, _ in visible(hidden, box(-9, -9, 9, 9))] == ["building"]
    assert visible(hidden, box(20, 20, 30, 30)) == []


@pytest.mark.parametrize(
    "shape",
    [
        box(3.3, 2.7, 9.1, 8.05),
        Point(7, 6).buffer(3.3),
        box(2, 2, 10, 9).difference(box(4, 4, 7, 6)),
        box(-5, -5, 4, 3),
    ],
    ids=["box", "disc", "hole", "half_outside"],
)
def test_coverage_is_the_area_of_the_shape(shape):
    canvas = Canvas(60, 50, PIXEL_M, np.random.default_rng(0))
    patch = canvas.patch(shape)
    inside = shape.intersection(box(0, 0, 12, 10)).area
    assert patch.alpha.sum() * PIXEL_M**2 == pytest.approx(inside, rel=0.01)
    canvas.fill(shape, (100, 50, 200))
    assert canvas.rgb.reshape(-1, 3).sum(axis=0) == pytest.approx(
        np.array([100, 50, 200]) * patch.alpha.sum(dtype=float), rel=1e-3
    )


def test_shapes_outside_the_picture_are_not_drawn():
    canvas = Canvas(60, 50, PIXEL_M, np.random.default_rng(0))
    assert canvas.patch(box(20, 20, 30, 30)) is None
    assert canvas.patch(Polygon()) is None
    canvas.cast(box(20, 20, 30, 30))
    assert canvas.shadow.max() == 0


def test_raised_things_throw_their_shadow_away_from_the_sun():
    house = box(5, 6, 9, 9)
    pictures = []
    for height in (0.01, 6.0):
        canvas = Canvas(100, 80, PIXEL_M, np.random.default_rng(0))
        paint(canvas, [Thing("house", house, height=height, parts=(house,))])
        pictures.append(canvas.rgb.mean(axis=2))
    darker = pictures[1] < 0.8 * pictures[0]
    rows, cols = np.nonzero(darker)
    assert darker.any()
    assert cols.mean() * PIXEL_M > 7
    assert rows.mean() * PIXEL_M < 7.5
    assert not darker[: int(1 / PIXEL_M)].any()
