import math

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from shapely import LineString, box

from geosam.apps.demo import render, render_scene, village
from geosam.apps.demo.village import CLASSES, Village, paint_village
from geosam.training.synthetic.canvas import Canvas
from geosam.training.synthetic.palette import TEMPERATE, land_of
from geosam.training.synthetic.pictures import LEAST_PIXELS

GSD, SIZE = 0.32, 700
LAND = land_of(TEMPERATE)


def canvas_of(seed, size=SIZE, gsd=GSD):
    return Canvas(size, gsd, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def painted():
    canvas = canvas_of(5)
    return canvas, paint_village(canvas, LAND)


def shares(canvas, classes, line, half_m):
    """Share of a band around a line that each class covers."""
    band = rasterize([line.buffer(half_m / canvas.gsd)], canvas.instances.shape, dtype="u1") > 0
    names = np.array(["", *classes])[canvas.instances[band]]
    return {name: float((names == name).mean()) for name in ("", *CLASSES)}


def test_every_object_has_one_of_the_classes(painted):
    canvas, classes = painted
    assert len(classes) == canvas.count
    assert set(classes) == set(CLASSES)
    assert canvas.instances.max() <= canvas.count


def test_the_whole_canvas_is_painted(painted):
    canvas, _ = painted
    assert (canvas.rgb.min(axis=2) > 0).mean() > 0.99


def test_objects_of_a_class_are_as_large_as_such_things_are(painted):
    canvas, classes = painted
    sizes_m2 = np.bincount(canvas.instances.ravel(), minlength=len(classes) + 1)[1:] * canvas.gsd**2
    names = np.array(classes)
    for name, least, most in (("building", 30, 170), ("car", 4, 40), ("tree", 8, 60), ("field", 400, 9000)):
        assert least < np.median(sizes_m2[(names == name) & (sizes_m2 > 0)]) < most, name


def test_streets_are_no_objects_and_little_hides_them(painted):
    canvas, classes = painted
    main = village._wave(SIZE, (0.60, -0.08, 0.025, 1.0, 0.5))
    assert shares(canvas, classes, main, 2.0)[""] > 0.97


def test_the_stream_is_water_with_crowns_over_it(painted):
    canvas, classes = painted
    stream = village._wave(SIZE, (0.90, 0.02, 0.035, 1.2, 0.75))
    covered = shares(canvas, classes, stream, 2.0)
    assert covered["water"] > 0.9
    assert covered["water"] + covered["tree"] > 0.99


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_plots_overlap_neither_each_other_nor_ground_that_is_taken(seed):
    site = Village(canvas_of(seed, 256), LAND)
    road = LineString([(-20, 400), (400, 380), (720, 420)])
    site.ground = street = road.buffer(5 * site.metre)
    plots = [
        frame.box(0, depth / 2, width / 2, depth / 2)
        for frame, is_farm in village._plots(site, road, 3.5)
        for width, depth in [np.array(village._FARM if is_farm else village._PLOT) * site.metre]
    ]
    assert len(plots) > 4
    total = sum(plot.area for plot in plots)
    assert shapely.union_all(plots).area > 0.97 * total  # neighbours may overlap by half a metre
    assert max(plot.intersection(street).area for plot in plots) < 0.06 * total / len(plots)


def test_there_is_one_farm_on_the_main_street_and_none_on_the_other():
    road = LineString([(-20, 400), (720, 400)])
    for half_width, farms in ((village._MAIN / 2, 1), (village._SIDE / 2, 0)):
        site = Village(canvas_of(1, 256), LAND)
        assert sum(is_farm for _, is_farm in village._plots(site, road, half_width)) == farms


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, -1.1])
def test_axes_beside_a_street_follow_it(angle):
    site = Village(canvas_of(0, 256), LAND)
    line = LineString([(100, 100), (100 + 200 * math.cos(angle), 100 + 200 * math.sin(angle))])
    frame = site.frame(line, 50, 7)
    assert frame.angle == pytest.approx(angle)
    assert line.distance(shapely.Point(frame.x, frame.y)) == pytest.approx(7)
    assert line.project(shapely.Point(frame.x, frame.y)) == pytest.approx(50)
    across = (frame.x - 100) * -math.sin(angle) + (frame.y - 100) * math.cos(angle)
    assert across == pytest.approx(7)  # to the right, as y points down


def test_ground_is_claimed_once():
    site = Village(canvas_of(0, 256), LAND)
    assert site.claim(box(0, 0, 50, 50))
    assert not site.claim(box(40, 40, 90, 90))
    assert site.claim(box(50, 0, 90, 50))
    assert site.ground.equals(box(0, 0, 90, 50))


def test_closing_a_class_names_the_objects_since_the_last_one():
    site = Village(canvas_of(0, 64), LAND)
    site.canvas.number()
    site.close("tree")
    site.close("car")
    site.canvas.number()
    site.canvas.number()
    site.close("water")
    assert site.classes == ["tree", "water", "water"]


@settings(max_examples=20, deadline=None)
@given(st.floats(0, math.pi), st.floats(2, 5), st.floats(5, 40))
def test_the_long_axis_of_a_rectangle_is_its_own(angle, ratio, half):
    ring = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half * ratio, half)
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    axis = village._long_axis(shapely.Polygon(ring @ turn))
    assert abs(math.sin(axis - angle)) < 1e-6


def test_a_rounded_line_keeps_its_ends_and_has_no_sharp_corner():
    line = village._rounded([(0, 0), (100, 0), (100, 100)])
    xy = shapely.get_coordinates(line)
    assert tuple(xy[0]) == (0, 0)
    assert tuple(xy[-1]) == (100, 100)
    steps = np.diff(xy, axis=0)
    turns = np.abs(np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))))
    assert turns.max() < 0.2


def test_the_truth_is_the_visible_part_of_every_object(tmp_path):
    """The polygons, burnt into a raster again, give back the pixels of each object on the canvas."""
    render_scene(tmp_path / "s.tif", tmp_path / "t.gpkg", size=400, seed=3)
    truth = gpd.read_file(tmp_path / "t.gpkg")
    canvas = Canvas(400, render.PIXEL_M, np.random.default_rng(3))
    canvas.sun, canvas.lean = render._SUN, np.zeros(2)
    classes = paint_village(canvas, LAND)
    visible = np.where(render._valid(400), canvas.instances, 0)
    numbers, sizes = np.unique(visible[visible > 0], return_counts=True)
    numbers = numbers[sizes >= LEAST_PIXELS]
    assert truth["class"].tolist() == [classes[number - 1] for number in numbers]
    transform = Affine(render.PIXEL_M, 0, render._ORIGIN[0], 0, -render.PIXEL_M, render._ORIGIN[1])
    burnt = rasterize(zip(truth.geometry, truth["id"], strict=True), (400, 400), transform=transform, dtype="int32")
    rows = np.zeros(canvas.count + 1, int)
    rows[numbers] = np.arange(1, len(numbers) + 1)
    assert np.array_equal(burnt, rows[visible])
