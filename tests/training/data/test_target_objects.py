"""Target objects: masks against an own rasterisation, clicks, boxes and IoU."""

from contextlib import closing

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize
from scenes import SCENES, picture, write_scene

from geosam.geometry.geobox import Window
from geosam.scene import open_scene
from geosam.training.data.target_objects import (
    MIN_AREA_PX,
    TargetObject,
    outlines,
    polygon_mask,
    targets_of_picture,
    targets_of_scene,
)
from geosam.training.samples import LabelledPicture
from geosam.vector.polygons import read_polygons

SEEDS = st.integers(0, 2**32 - 1)


def blob(seed, shape=(12, 15)):
    """A random mask that fills its box."""
    mask = np.random.default_rng(seed).random(shape) < 0.6
    mask[0] = mask[-1] = True
    return mask


def target_of(seed, col=7, row=3):
    mask = blob(seed)
    return TargetObject(Window(col, row, mask.shape[1], mask.shape[0]), mask)


def labelled(instances):
    everywhere = np.ones(instances.shape, bool)
    rgb = np.zeros((3, *instances.shape), np.uint8)
    return LabelledPicture("numbers", rgb, everywhere, instances.astype(np.int32), everywhere, 1.0)


def layer_of(tmp_path, scene, shapes, crs=None):
    """A layer of shapes in scene pixels."""
    placed = [shapely.transform(shape, scene.geobox.to_map) for shape in shapes]
    frame = geopandas.GeoDataFrame(geometry=placed, crs=scene.geobox.crs)
    (frame if crs is None else frame.to_crs(crs)).to_file(tmp_path / "layer.gpkg")
    return read_polygons(tmp_path / "layer.gpkg")


@pytest.fixture
def scene(tmp_path):
    with closing(open_scene(write_scene(tmp_path / "scene.tif", picture(120, 100), photometric="rgb"))) as opened:
        yield opened


@given(SEEDS, st.integers(-50, 50), st.integers(-50, 50))
def test_the_first_click_lies_in_the_object_and_moves_with_it(seed, col, row):
    here, there = target_of(seed, 0, 0).first_click(), target_of(seed, col, row).first_click()
    assert there == (here.x + col, here.y + row, 1)
    assert target_of(seed).mask[int(here.y), int(here.x)]


@given(SEEDS)
def test_a_prompt_by_click_says_no_more_than_the_click(seed):
    target = target_of(seed)
    prompt = target.click_prompt(4)
    x, y, _ = target.first_click()
    assert prompt.index == 4
    assert prompt.points_xy.tolist() == [[x, y]]
    assert prompt.labels.tolist() == [1]
    assert prompt.box_xyxy is None
    assert prompt.bounds_xyxy == (x, y, x, y)


@given(SEEDS)
def test_a_prompt_by_box_is_the_tight_box(seed):
    target = target_of(seed)
    prompt = target.box_prompt(2)
    rows, cols = np.nonzero(target.mask)
    tight = (7 + cols.min(), 3 + rows.min(), 7 + cols.max() + 1, 3 + rows.max() + 1)
    assert (prompt.index, prompt.box_xyxy, prompt.bounds_xyxy) == (2, target.bounds_xyxy, target.bounds_xyxy)
    assert (target.bounds_xyxy[1], target.bounds_xyxy[3]) == (tight[1], tight[3])
    assert len(prompt.points_xy) == len(prompt.labels) == 0


@given(SEEDS, SEEDS)
def test_the_iou_is_that_of_whole_masks(seed, other):
    target = target_of(seed)
    whole, predicted = np.zeros((40, 40), bool), np.random.default_rng(other).random((40, 40)) < 0.4
    whole[target.window.slices_rc] = target.mask
    expected = (whole & predicted).sum() / (whole | predicted).sum()
    assert target.iou(predicted[target.window.slices_rc], predicted.sum()) == pytest.approx(expected)


def test_an_object_agrees_with_itself_and_not_with_nothing():
    target = target_of(0)
    assert target.iou(target.mask, target.mask.sum()) == 1
    assert target.iou(np.zeros_like(target.mask), 0) == 0
    assert target.iou(target.mask, 2 * target.mask.sum()) == 0.5


@given(SEEDS)
def test_the_next_click_is_placed_in_the_scene(seed):
    target = target_of(seed, 100, 200)
    window = Window(90, 190, 60, 60)
    predicted = np.random.default_rng(seed).random((60, 60)) < 0.3
    click = target.next_click(predicted, window)
    whole = np.zeros((60, 60), bool)
    whole[target.window.relative_to(window).slices_rc] = target.mask
    col, row = int(click.x - 90), int(click.y - 190)
    assert whole[row, col] != predicted[row, col]
    assert click.label == int(whole[row, col])


def test_a_right_answer_needs_no_next_click():
    target = target_of(1)
    assert target.next_click(target.mask, target.window) is None


@given(SEEDS)
def test_objects_of_a_picture_are_found_by_their_numbers(seed):
    rng = np.random.default_rng(seed)
    instances = np.zeros((60, 60), np.int32)
    for number in range(1, 6):
        row, col = rng.integers(0, 50, 2)
        height, width = rng.integers(2, 12, 2)
        instances[row : row + height, col : col + width] = number
    targets = targets_of_picture(labelled(instances))
    expected = [number for number in range(1, 6) if (instances == number).sum() >= MIN_AREA_PX]
    assert len(targets) == len(expected)
    for target, number in zip(targets, expected, strict=True):
        again = np.zeros_like(instances, dtype=bool)
        again[target.window.slices_rc] = target.mask
        assert np.array_equal(again, instances == number)


def test_a_picture_without_objects_has_no_targets():
    assert targets_of_picture(labelled(np.zeros((20, 20)))) == []


def test_pieces_with_one_number_are_one_target():
    instances = np.zeros((20, 40))
    instances[5:11, 2:8] = instances[5:11, 30:36] = 1
    (target,) = targets_of_picture(labelled(instances))
    assert target.window == Window(2, 5, 34, 6)
    assert target.mask.sum() == 72


@given(SEEDS)
def test_outlines_are_the_masks_again(seed):
    targets = [target_of(seed, 2, 4), target_of(seed + 1, 20, 18)]
    for target, outline in zip(targets, outlines(targets), strict=True):
        whole = np.zeros((40, 40), bool)
        whole[target.window.slices_rc] = target.mask
        assert outline.area == target.mask.sum()
        assert np.array_equal(rasterize([outline], (40, 40)) > 0, whole)


@given(st.lists(st.tuples(st.floats(-10, 50), st.floats(-10, 50)), min_size=3, max_size=7))
def test_the_mask_of_a_polygon_holds_the_pixels_whose_centres_it_holds(corners):
    polygon = shapely.MultiPoint(corners).convex_hull
    if polygon.geom_type != "Polygon":
        return
    window = Window(5, 3, 30, 25)
    mask = polygon_mask(polygon, window)
    x, y = np.meshgrid(np.arange(30) + 5.5, np.arange(25) + 3.5)
    expected = shapely.contains_xy(polygon, x, y)
    rows, cols = np.nonzero(mask != expected)
    assert shapely.distance(shapely.points(cols + 5.5, rows + 3.5), polygon.exterior).max(initial=0) < 1e-6


def test_no_polygon_is_an_empty_mask():
    assert not polygon_mask(None, Window(3, 4, 6, 5)).any()
    assert polygon_mask(None, Window(3, 4, 6, 5)).shape == (5, 6)


@pytest.mark.parametrize("kind", ["north_up", "south_up", "rotated", "geographic"])
def test_the_targets_of_a_scene_lie_where_its_polygons_do_on_every_grid(kind, tmp_path):
    with closing(open_scene(SCENES[kind](tmp_path, picture(120, 100)))) as opened:
        shapes = [shapely.box(20, 10, 40, 30), shapely.Point(70, 60).buffer(12)]
        targets, left_out = targets_of_scene(opened, layer_of(tmp_path, opened, shapes))
    assert left_out == 0
    for target, shape in zip(targets, shapes, strict=True):
        assert target.mask.sum() == pytest.approx(shape.area, rel=0.03)
        x0, y0, x1, y1 = shape.bounds
        assert target.bounds_xyxy == pytest.approx((x0, y0, x1, y1), abs=1)


def test_labels_in_degrees_are_the_same_targets(tmp_path, scene):
    shapes = [shapely.box(20, 10, 40, 30)]
    metres, _ = targets_of_scene(scene, layer_of(tmp_path, scene, shapes))
    degrees, _ = targets_of_scene(scene, layer_of(tmp_path, scene, shapes, "EPSG:4326"))
    assert metres[0].window == degrees[0].window
    assert np.array_equal(metres[0].mask, degrees[0].mask)


@pytest.mark.parametrize(
    ("shape", "is_target"),
    [
        (shapely.box(10, 10, 15, 15), True),
        (shapely.box(10, 10, 15, 14), False),
        (shapely.box(-10, 10, 10, 30), True),
        (shapely.box(-11, 10, 10, 30), False),
        (shapely.box(-50, 10, -20, 30), False),
        (shapely.box(200, 10, 230, 30), False),
    ],
    ids=["25 px", "20 px", "half inside", "less than half inside", "left of it", "right of it"],
)
def test_polygons_that_are_too_small_or_mostly_outside_are_left_out_and_counted(shape, is_target, tmp_path, scene):
    targets, left_out = targets_of_scene(scene, layer_of(tmp_path, scene, [shape, shapely.box(60, 60, 80, 80)]))
    assert len(targets) == 1 + is_target
    assert left_out == 1 - is_target


def test_a_region_cuts_its_targets(tmp_path, scene):
    whole = layer_of(tmp_path, scene, [shapely.box(20, 10, 60, 40)])
    bounds = shapely.transform(shapely.box(0, 0, 45, 100), scene.geobox.to_map).bounds
    with closing(open_scene(tmp_path / "scene.tif", window=bounds)) as part:
        (target,), _ = targets_of_scene(part, whole)
    assert target.window.width == 25
    assert target.mask.sum() == 25 * 30


def test_invalid_pixels_belong_to_no_target(tmp_path):
    values = picture(120, 100)
    values[:, :, 30:40] = 0
    path = write_scene(tmp_path / "holes.tif", values, nodata=0, photometric="rgb")
    with closing(open_scene(path)) as opened:
        (target,), _ = targets_of_scene(opened, layer_of(tmp_path, opened, [shapely.box(20, 10, 60, 40)]))
    assert target.mask.sum() == 30 * 30
    assert not target.mask[:, 10:20].any()


def test_the_order_is_that_of_the_layer(tmp_path, scene):
    shapes = [shapely.box(x, 10, x + 8, 18) for x in (80, 10, 50)]
    targets, _ = targets_of_scene(scene, layer_of(tmp_path, scene, shapes))
    assert [target.window.col_off for target in targets] == [80, 10, 50]
