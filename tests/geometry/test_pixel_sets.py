"""Boxes, agreement and points of pixel sets, against scipy, sets of pixels, and shapely."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy import ndimage

from geosam.geometry.geobox import Window
from geosam.geometry.pixel_sets import box_around, clip_box, labels_at, mask_iou, on_pixels, pixels_in_box

SHAPES = arrays_of.array_shapes(min_dims=2, max_dims=2, max_side=12)
MASKS = SHAPES.flatmap(lambda shape: arrays_of.arrays(bool, shape))
TWO_MASKS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays_of.arrays(bool, shape)] * 2))
COORDINATE = st.floats(-3, 15, width=32) | st.integers(-3, 15).map(float)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), max_size=20)


def pixels(mask):
    """Set of (column, row)."""
    return {(int(col), int(row)) for row, col in np.argwhere(mask)}


def squares(mask):
    """The pixels as one shapely geometry."""
    return shapely.union_all([shapely.box(col, row, col + 1, row + 1) for col, row in pixels(mask)])


@given(MASKS)
def test_the_box_around_a_mask_is_the_one_that_scipy_finds(mask):
    found = ndimage.find_objects(mask.astype(int))
    box = box_around(mask)
    if not mask.any():
        assert box is None
    else:
        assert box.slices_rc == found[0]


@given(MASKS)
def test_the_box_around_a_mask_has_the_bounds_of_its_pixels(mask):
    box = box_around(mask)
    if box is not None:
        assert box.bounds_xyxy == tuple(shapely.bounds(squares(mask)))
        assert Window(0, 0, mask.shape[1], mask.shape[0]).contains(box)
        assert mask[box.slices_rc].sum() == mask.sum()


@given(TWO_MASKS)
def test_iou_is_that_of_the_sets_of_pixels(masks):
    one, other = map(pixels, masks)
    expected = len(one & other) / len(one | other) if one | other else 0.0
    assert mask_iou(*masks) == expected
    assert mask_iou(*reversed(masks)) == expected


@given(TWO_MASKS)
def test_iou_is_that_of_the_areas_on_paper(masks):
    one, other = map(squares, masks)
    union = shapely.area(shapely.union(one, other))
    if union:
        assert mask_iou(*masks) == pytest.approx(shapely.area(shapely.intersection(one, other)) / union)


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_two_empty_masks_agree_as_the_caller_says(agreement):
    empty = np.zeros((3, 4), bool)
    assert mask_iou(empty, empty, if_both_empty=agreement) == agreement
    assert mask_iou(empty, ~empty, if_both_empty=agreement) == 0


@given(MASKS, POINTS)
def test_a_point_lies_on_the_pixel_whose_half_open_square_holds_it(mask, points):
    on = on_pixels(np.array(points, np.float64).reshape(-1, 2), mask)
    held = [any(col <= x < col + 1 and row <= y < row + 1 for col, row in pixels(mask)) for x, y in points]
    assert on.dtype == bool
    assert on.tolist() == held


@given(MASKS, POINTS)
def test_points_strictly_inside_the_outline_are_those_on_pixels(mask, points):
    xy = np.array(points, np.float64).reshape(-1, 2)
    outline = squares(mask)
    off_edges = (xy != np.floor(xy)).all(axis=1)
    inside = shapely.contains_xy(outline, xy[off_edges])
    assert on_pixels(xy[off_edges], mask).tolist() == np.asarray(inside).tolist()


@given(MASKS, st.tuples(*[COORDINATE] * 4))
def test_a_clipped_box_is_the_part_in_the_window_if_a_valid_pixel_is_in_it(valid, numbers):
    x0, x1 = sorted(numbers[:2])
    y0, y1 = sorted(numbers[2:])
    height, width = valid.shape
    clipped = clip_box(np.array([x0, y0, x1, y1]), valid)
    if clipped is None:
        touched = [
            col + 1 > max(x0, 0) and col < min(x1, width) and row + 1 > max(y0, 0) and row < min(y1, height)
            for col, row in pixels(valid)
        ]
        assert not any(touched) or x0 == x1 or y0 == y1
    else:
        expected = shapely.bounds(shapely.intersection(shapely.box(x0, y0, x1, y1), shapely.box(0, 0, width, height)))
        assert x0 == x1 or y0 == y1 or clipped.tolist() == pytest.approx(expected.tolist())


def test_a_box_that_is_missing_stays_missing():
    assert clip_box(np.full(4, np.nan), np.ones((4, 4), bool)) is None


def test_labels_keep_the_order_of_their_points_and_skip_points_outside():
    labels = np.arange(6, dtype=np.int32).reshape(2, 3)
    points_xy = np.array([[2.9, 1.0], [-0.1, 0.5], [0.0, 0.0], [3.0, 0.5], [1.5, 2.0], [1.0, 0.999]])
    assert labels_at(labels, points_xy).tolist() == [5, 0, 1]
    assert labels_at(labels, np.zeros((0, 2))).tolist() == []


@pytest.mark.parametrize(
    ("box_xyxy", "touched"),
    [
        ([0.2, 1.0, 2.0, 2.5], [[3, 4], [6, 7]]),  # every pixel that the box touches
        ([-4.0, -4.0, 1.0, 1.0], [[0]]),  # negative numbers must not count from the end
        ([-4.0, -4.0, -1.0, -1.0], []),
    ],
)
def test_a_box_holds_the_pixels_of_the_window_that_it_touches(box_xyxy, touched):
    labels = np.arange(9, dtype=np.int32).reshape(3, 3)
    assert labels[pixels_in_box(np.array(box_xyxy))].tolist() == touched
