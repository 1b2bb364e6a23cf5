"""Simulated clicks and boxes: laws that hold for every mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geosam.training.data.clicks import (
    Click,
    corrective_click,
    innermost,
    jittered_box,
    negative_click,
    random_click,
)

SEEDS = st.integers(0, 2**32 - 1)


def mask_of(seed, share=0.5, shape=(18, 23)):
    """A random mask with at least one pixel."""
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > np.quantile(rng.normal(size=400), share) / 4
    mask[tuple(rng.integers(0, shape))] = True
    return mask


def at(array, point):
    return array[int(point[1]), int(point[0])]


@given(SEEDS)
def test_the_innermost_point_has_the_greatest_euclidean_depth(seed):
    mask = mask_of(seed)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    x, y = innermost(mask)
    assert at(depth, (x, y)) == depth.max()
    first = int(np.argmax(depth))
    assert (x, y) == (first % 23 + 0.5, first // 23 + 0.5)


@given(SEEDS)
def test_turning_a_mask_turns_its_innermost_depth(seed):
    mask = mask_of(seed)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    x, y = innermost(mask[::-1, ::-1])
    assert at(depth[::-1, ::-1], (x, y)) == depth.max()


@given(SEEDS, SEEDS)
def test_a_random_click_lies_on_the_mask(seed, draw):
    mask = mask_of(seed)
    x, y = random_click(mask, np.random.default_rng(draw))
    assert 0 <= x < 23
    assert 0 <= y < 18
    assert at(mask, (x, y))


@given(SEEDS, SEEDS)
def test_pixels_around_a_mask_do_not_change_its_clicks(seed, draw):
    mask = mask_of(seed)
    x, y = random_click(mask, np.random.default_rng(draw))
    wide_x, wide_y = random_click(np.pad(mask, ((4, 9), (7, 2))), np.random.default_rng(draw))
    assert (wide_x, wide_y) == pytest.approx((x + 7, y + 4))


@given(SEEDS, SEEDS)
def test_a_corrective_click_is_wrong_where_it_points(seed, other):
    target, predicted = mask_of(seed), mask_of(other)
    click = corrective_click(target, predicted)
    if click is None:
        assert np.array_equal(target, predicted)
        return
    assert isinstance(click, Click)
    assert at(target, click) == bool(click.label)
    assert at(predicted, click) != bool(click.label)


@given(SEEDS, SEEDS)
def test_a_corrective_click_lies_in_a_largest_wrong_part(seed, other):
    target, predicted = mask_of(seed), mask_of(other)
    click = corrective_click(target, predicted)
    if click is None:
        return
    sizes = []
    for kind in (target & ~predicted, predicted & ~target):
        labels, count = ndimage.label(kind)
        sizes += [((labels == piece).sum(), labels == piece) for piece in range(1, count + 1)]
    most = max(size for size, _ in sizes)
    assert any(at(part, click) for size, part in sizes if size == most)


@given(SEEDS, SEEDS)
def test_target_and_prediction_exchanged_give_the_other_label(seed, other):
    one, two = mask_of(seed), mask_of(other)
    there, back = corrective_click(one, two), corrective_click(two, one)
    if there is not None and (there.x, there.y) == (back.x, back.y):
        assert there.label == 1 - back.label


@given(SEEDS, SEEDS, SEEDS)
def test_a_drawn_correction_lies_in_the_same_part_as_the_exact_one(seed, other, draw):
    target, predicted = mask_of(seed), mask_of(other)
    exact = corrective_click(target, predicted)
    drawn = corrective_click(target, predicted, np.random.default_rng(draw))
    if exact is None:
        assert drawn is None
        return
    labels, _ = ndimage.label((target != predicted) & (target == exact.label))
    assert at(labels, drawn) == at(labels, exact)


@given(SEEDS, SEEDS)
def test_what_is_ignored_gets_no_click(seed, other):
    target, predicted, ignore = mask_of(seed), mask_of(other), mask_of(seed ^ other)
    click = corrective_click(target, predicted, ignore=ignore)
    if click is None:
        assert not ((target != predicted) & ~ignore).any()
    else:
        assert not at(ignore, click)


@given(SEEDS, SEEDS, st.floats(0, 0.49))
def test_a_drawn_box_is_a_box_in_the_array_and_near_the_tight_one(seed, draw, amount):
    mask = mask_of(seed)
    box = jittered_box(mask, np.random.default_rng(draw), amount)
    rows, cols = np.nonzero(mask)
    tight = np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1])
    size = np.tile(tight[2:] - tight[:2], 2)
    assert (box >= 0).all()
    assert (box <= (23, 18, 23, 18)).all()
    assert (box[:2] < box[2:]).all()
    assert (np.abs(box - tight) <= 2 * amount * size + 1e-9).all()


@given(SEEDS, SEEDS)
def test_an_excluding_click_is_beside_the_object_and_not_far(seed, draw):
    rng = np.random.default_rng(seed)
    instances = np.zeros((40, 40), np.int32)
    for number in range(1, 5):
        row, col = rng.integers(0, 32, 2)
        instances[row : row + rng.integers(3, 12), col : col + rng.integers(3, 12)] = number
    number = int(rng.choice(np.unique(instances[instances > 0])))
    point = negative_click(instances, number, np.random.default_rng(draw))
    distance = ndimage.distance_transform_cdt(instances != number, "chessboard")
    rows, cols = np.nonzero(instances == number)
    reach = max(5, round(0.5 * max(np.ptp(rows) + 1, np.ptp(cols) + 1)))
    if point is None:
        assert not ((distance > 2) & (distance <= max(5, round(0.15 * 12)))).any()
    else:
        assert at(instances, point) != number
        assert 2 < at(distance, point) <= reach


def test_a_lone_pixel_is_its_own_innermost_point_and_click():
    mask = np.zeros((5, 7), bool)
    mask[3, 6] = True
    assert innermost(mask) == (6.5, 3.5)
    x, y = random_click(mask, np.random.default_rng(0))
    assert (int(x), int(y)) == (6, 3)
    assert corrective_click(mask, np.zeros_like(mask)) == (6.5, 3.5, 1)
