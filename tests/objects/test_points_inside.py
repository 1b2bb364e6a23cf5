"""Points inside a mask: deep, apart, at most three."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy import ndimage

from geosam.objects.growth import POINTS_INSIDE, points_inside


def depth_of(mask):
    """Distance of each pixel from the nearest pixel outside, by brute force."""
    outside = np.argwhere(~np.pad(mask, 1))
    rows, cols = np.indices(mask.shape)
    distances = np.hypot(rows[..., None] + 1 - outside[:, 0], cols[..., None] + 1 - outside[:, 1]).min(axis=-1)
    return np.where(mask, distances, 0)


masks = arrays_of.arrays(bool, arrays_of.array_shapes(min_dims=2, max_dims=2, max_side=14)).filter(np.any)


@given(masks)
def test_points_are_centres_of_pixels_of_the_mask(mask):
    points = points_inside(mask)
    assert points.shape == (len(points), 2)
    assert 1 <= len(points) <= POINTS_INSIDE
    assert (points % 1 == 0.5).all()
    cols, rows = points.astype(int).T
    assert mask[rows, cols].all()


@given(masks)
def test_the_first_point_is_the_deepest_and_the_others_are_half_as_deep_and_apart(mask):
    points, depth = points_inside(mask), depth_of(mask)
    cols, rows = points.astype(int).T
    depths = depth[rows, cols]
    assert depths[0] == pytest.approx(depth.max())
    assert (2 * depths >= depth.max() - 1e-9).all()
    for number, place in enumerate(points):
        assert all(np.hypot(*(place - earlier)) > 2 * depth.max() - 1e-9 for earlier in points[:number])


@given(masks, st.integers(0, 9), st.integers(0, 9))
def test_points_move_with_the_mask(mask, down, right):
    moved = np.pad(mask, ((down, 3), (right, 2)))
    np.testing.assert_array_equal(points_inside(moved), points_inside(mask) + np.array([right, down]))


@pytest.mark.parametrize(("length", "count"), [(5, 1), (12, 2), (40, 3)])
def test_longer_bars_have_more_points(length, count):
    assert len(points_inside(np.ones((5, length), bool))) == count


def test_a_disc_has_one_point_in_its_middle():
    rows, cols = np.indices((21, 21))
    disc = np.hypot(rows - 10, cols - 10) <= 9
    assert points_inside(disc).tolist() == [[10.5, 10.5]]


def test_two_parts_are_both_marked():
    mask = np.zeros((12, 40), bool)
    mask[2:10, 2:10] = mask[2:10, 30:38] = True
    labels, _ = ndimage.label(mask)
    cols, rows = points_inside(mask).astype(int).T
    assert set(labels[rows, cols]) == {1, 2}


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="no point inside"):
        points_inside(np.zeros((4, 4), bool))
