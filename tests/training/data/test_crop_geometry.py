"""Crops against exact oracles: quarter turns by NumPy, bilinear interpolation by SciPy, boxes and points by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geosam.training.data import crops as module
from geosam.training.data.crops import MIN_OBJECT_PX, random_sample
from geosam.training.samples import LabelledPicture

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=25, deadline=None)


def picture(height=60, width=80, seed=0, **changes):
    """Smooth colours and random labels."""
    rng = np.random.default_rng(seed)
    rgb = ndimage.gaussian_filter(rng.uniform(0, 255, (3, height, width)), (0, 3, 3)) * 3 % 250 + 1
    instances = ndimage.zoom(rng.integers(0, 5, (height // 10, width // 10)), 10, order=0)
    everywhere = np.ones((height, width), bool)
    values = {
        "name": "noise",
        "rgb": rgb.astype(np.uint8),
        "valid": everywhere,
        "instances": instances.astype(np.int32),
        "complete": everywhere,
        "gsd": 1.0,
    }
    return LabelledPicture(**{**values, **changes})


PICTURE = picture()
WIDE = picture(200, 260, seed=3)


def placed(monkeypatch, centre, matrix):
    """Let every crop lie at a place."""
    placing = module._Placing(np.array(centre, float), np.array(matrix, float))
    monkeypatch.setattr(module, "_random_placing", lambda *_: placing)


def cut(source, size=32):
    return random_sample(source, size, np.random.default_rng(0))


TURNS = {
    "as it is": ((1, 0), (0, 1), lambda a: a),
    "quarter turn": ((0, -1), (1, 0), lambda a: np.rot90(a, 1, (-2, -1))),
    "half turn": ((-1, 0), (0, -1), lambda a: np.rot90(a, 2, (-2, -1))),
    "three quarters": ((0, 1), (-1, 0), lambda a: np.rot90(a, 3, (-2, -1))),
    "mirrored": ((-1, 0), (0, 1), lambda a: a[..., ::-1]),
    "upside down": ((1, 0), (0, -1), lambda a: a[..., ::-1, :]),
    "transposed": ((0, 1), (1, 0), lambda a: np.swapaxes(a, -2, -1)),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_turned_crop_at_scale_one_is_the_turned_picture(name, monkeypatch):
    first, second, turn = TURNS[name]
    placed(monkeypatch, (40, 30), (first, second))
    sample = cut(PICTURE)
    window = np.s_[14:46, 24:56]
    assert np.array_equal(sample.rgb, turn(PICTURE.rgb[(slice(None), *window)]))
    expected = turn(PICTURE.instances[window])
    for number in np.unique(expected):
        assert len(np.unique(sample.instances[expected == number])) == 1
    assert np.array_equal(sample.instances == 0, expected == 0)
    assert sample.valid.all()


@pytest.mark.parametrize("scale", [2, 4])
def test_an_enlarged_crop_repeats_the_labels(scale, monkeypatch):
    placed(monkeypatch, (40, 30), np.eye(2) / scale)
    sample = cut(PICTURE)
    half = 16 // scale
    window = PICTURE.instances[30 - half : 30 + half, 40 - half : 40 + half]
    expected = np.kron(window, np.ones((scale, scale), int))
    assert np.array_equal(sample.instances == 0, expected == 0)
    assert len(np.unique(sample.instances)) <= len(np.unique(expected))


@FEW
@given(st.floats(20, 60), st.floats(15, 45), st.floats(0, 6.3), st.floats(0.5, 1.2))
def test_colours_are_those_of_bilinear_interpolation(x, y, angle, step):
    cos, sin = step * math.cos(angle), step * math.sin(angle)
    placing = module._Placing(np.array((x, y)), np.array(((cos, -sin), (sin, cos))))
    xs, ys = module._places(8, placing)
    found = module._resampled(PICTURE, xs, ys, placing.step)
    for band in range(3):
        exact = ndimage.map_coordinates(PICTURE.rgb[band].astype(float), [ys - 0.5, xs - 0.5], order=1, mode="nearest")
        assert np.abs(found[band] - exact).max() <= 1.01


@given(st.floats(-50, 120), st.floats(-50, 100), st.floats(0, 6.3), st.floats(0.3, 3), SEEDS)
def test_crop_coordinates_are_the_inverse_of_places(x, y, angle, step, seed):
    cos, sin = step * math.cos(angle), step * math.sin(angle)
    placing = module._Placing(np.array((x, y)), np.array(((-cos, -sin), (-sin, cos))))
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 64, (5, 2))
    in_picture = placing.centre_xy + (xy - 32) @ placing.matrix.T
    assert np.allclose(module._to_crop(in_picture, 64, placing), xy, atol=1e-6)
    assert placing.step == pytest.approx(step)


@given(SEEDS)
def test_a_place_of_a_crop_is_that_of_its_formula(seed):
    rng = np.random.default_rng(seed)
    placing = module._Placing(rng.uniform(0, 50, 2), rng.normal(size=(2, 2)))
    xs, ys = module._places(16, placing)
    for row, col in ((0, 0), (3, 9), (15, 15)):
        expected = placing.centre_xy + placing.matrix @ (np.array((col, row)) + 0.5 - 8)
        assert (xs[row, col], ys[row, col]) == pytest.approx(expected, abs=1e-3)


@given(SEEDS)
def test_objects_are_renumbered_in_order_and_small_ones_become_unknown(seed):
    rng = np.random.default_rng(seed)
    numbers = rng.choice([0, 3, 4, 9, 12], (12, 12), p=[0.5, 0.3, 0.1, 0.06, 0.04]).astype(np.int32)
    complete = rng.random((12, 12)) < 0.8
    found, known = module._renumbered(numbers, complete)
    kept = [number for number in (3, 4, 9, 12) if (numbers == number).sum() >= MIN_OBJECT_PX]
    for new, old in enumerate(kept, start=1):
        assert np.array_equal(found == new, numbers == old)
    lost = (numbers > 0) & (found == 0)
    assert not known[lost].any()
    assert np.array_equal(known[~lost], complete[~lost])


def test_points_beside_the_crop_are_dropped():
    placing = module._Placing(np.array((50.0, 50.0)), np.eye(2))
    points = np.array([(50, 50), (34, 34), (66, 50), (65.9, 50), (33.9, 40)], np.float32)
    np.testing.assert_allclose(module._points(points, 32, placing), [(16, 16), (0, 0), (31.9, 16)], atol=1e-4)


def test_boxes_that_are_mostly_outside_are_dropped_and_others_clipped():
    placing = module._Placing(np.array((50.0, 50.0)), np.eye(2))
    boxes = np.array([(40, 40, 60, 60), (60, 40, 72, 50), (62, 40, 72, 50), (10, 10, 20, 20)], np.float32)
    assert module._boxes(boxes, 32, placing).tolist() == [[6, 6, 26, 26], [26, 6, 32, 16]]


def test_a_turned_box_is_a_box_with_its_corners_in_order():
    placing = module._Placing(np.array((50.0, 50.0)), np.array(((0.0, -1.0), (1.0, 0.0))))
    (box,) = module._boxes(np.array([(45, 48, 55, 51)], np.float32), 32, placing).tolist()
    assert box[0] < box[2]
    assert box[1] < box[3]
    assert (box[2] - box[0], box[3] - box[1]) == (3, 10)


@given(SEEDS, st.sampled_from([(0.4, 2.0), (0.9, 1.1), (0.1, 0.2)]))
def test_scales_stay_in_their_range_and_are_raised_where_a_crop_would_be_mostly_empty(seed, scales):
    placing = module._random_placing(PICTURE, 64, np.random.default_rng(seed), scales)
    least = 64 / (1.2 * math.sqrt(60 * 80))
    low = min(max(scales[0], least), scales[1])
    assert low - 1e-9 <= 1 / placing.step <= scales[1] + 1e-9
    determinant = abs(np.linalg.det(placing.matrix))
    assert determinant == pytest.approx(placing.step**2), "no shear"


@given(SEEDS)
def test_a_crop_reaches_over_the_edge_by_a_tenth_at_most(seed):
    placing = module._random_placing(WIDE, 64, np.random.default_rng(seed), (0.9, 1.2))
    half = 32 * placing.step
    assert (placing.centre_xy >= 0.8 * half - 1e-6).all()
    assert (placing.centre_xy <= np.array((260, 200)) - 0.8 * half + 1e-6).all()


@given(SEEDS)
def test_crops_of_pictures_with_boxes_are_turned_by_quarters(seed):
    boxed = picture(boxes=np.array([(10, 10, 30, 30)], np.float32))
    matrix = module._random_placing(boxed, 32, np.random.default_rng(seed), (1, 1)).matrix
    assert sorted(np.abs(matrix).ravel()) == pytest.approx([0, 0, 1, 1])


def test_other_crops_are_turned_by_any_angle_half_of_the_time_and_mirrored_half_of_the_time():
    rng = np.random.default_rng(0)
    matrices = [module._random_placing(PICTURE, 32, rng, (1, 1)).matrix for _ in range(400)]
    quarter = [min(abs(abs(m[0, 0]) - 1), abs(m[0, 0])) < 1e-9 for m in matrices]
    mirrored = [np.linalg.det(m) < 0 for m in matrices]
    assert np.mean(quarter) == pytest.approx(0.5, abs=0.1)
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.1)


def test_the_anchor_of_a_picture_with_points_is_mostly_one_of_them():
    points = np.array([(10, 20), (70, 50)], np.float32)
    source = picture(instances=np.zeros((60, 80), np.int32), points=points)
    rng = np.random.default_rng(0)
    anchors = np.array([module._anchor(source, rng) for _ in range(300)])
    at_points = [(np.abs(anchors - point).max(axis=1) < 1e-6).mean() for point in points]
    assert sum(at_points) == pytest.approx(0.9, abs=0.06)
    assert min(at_points) > 0.3


def test_the_anchor_does_not_favour_a_large_object():
    instances = np.zeros((60, 80), np.int32)
    instances[:, :60], instances[:, 66:76] = 1, 2
    rng = np.random.default_rng(0)
    source = picture(instances=instances)
    anchors = np.array([module._anchor(source, rng) for _ in range(300)]).astype(int)
    numbers = instances[anchors[:, 1], anchors[:, 0]]
    assert np.mean(numbers == 2) > 0.35, "10 of 80 columns, but an object as well"


@pytest.mark.parametrize("scale", [0.3, 0.5])
def test_a_reduced_crop_has_the_mean_of_the_picture(scale, monkeypatch):
    noise = np.random.default_rng(1).integers(0, 256, (3, 200, 260)).astype(np.uint8)
    placed(monkeypatch, (130, 100), np.eye(2) / scale)
    sample = cut(picture(200, 260, rgb=noise))
    assert sample.rgb.mean() == pytest.approx(127.5, abs=3)
    assert sample.rgb.std() < 40 < noise.std()


def test_only_the_part_under_the_crop_is_read(monkeypatch):
    left, top, right, bottom = module._reach(
        np.array([[10.2, 20.7]], np.float32), np.array([[5.5, 9.1]], np.float32), 1.0, (60, 80)
    )
    assert (left, top, right, bottom) == (7, 2, 24, 13)
    beyond = module._reach(np.array([[-500.0]], np.float32), np.array([[900.0]], np.float32), 1.0, (60, 80))
    assert beyond[0] < beyond[2]
    assert beyond[1] < beyond[3] == 60
    placed(monkeypatch, (-300, -300), np.eye(2))
    assert not cut(PICTURE).valid.any()
