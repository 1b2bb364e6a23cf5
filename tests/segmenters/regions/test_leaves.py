"""Leaves of a tile, against pictures of which the answer is known and against slow counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_answers import flat_scene
from scipy import ndimage

from geosam.segmenters.regions.leaves import LEAF_PX, cut, find_leaves


def tile(seed, side=60):
    """A picture of flat shapes with noise, and some invalid pixels."""
    rng = np.random.default_rng(seed)
    rgb = flat_scene(rng, side, side, 9)
    noisy = np.clip(rgb + rng.normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)
    valid = np.ones((side, side), bool)
    x, y = rng.integers(0, side - 15, 2)
    valid[y : y + 15, x : x + 12] = False
    return noisy, valid


@pytest.fixture(params=range(4))
def found(request):
    rgb, valid = tile(request.param)
    return rgb, valid, find_leaves(rgb, valid)


def borders(labels):
    """(pair of labels -> number of pixel sides between them), counted one by one; 0 is outside the window."""
    padded = np.pad(labels, 1)
    sides = {}
    for (y, x), label in np.ndenumerate(padded):
        for other in (padded[y + 1, x] if y + 1 < len(padded) else 0, padded[y, x + 1] if x + 1 < len(padded) else 0):
            if label != other:
                pair = (min(label, other), max(label, other))
                sides[pair] = sides.get(pair, 0) + 1
    return sides


def test_leaves_cover_exactly_the_valid_pixels(found):
    _, valid, leaves = found
    assert np.array_equal(leaves.labels > 0, valid)
    assert leaves.areas.sum() == valid.sum()
    assert np.array_equal(np.unique(leaves.labels[valid]), np.arange(1, len(leaves.areas) + 1))


def test_every_leaf_is_one_4_connected_piece(found):
    _, _, leaves = found
    for label in range(1, len(leaves.areas) + 1):
        assert ndimage.label(leaves.labels == label)[1] == 1


def test_leaves_are_numbered_by_their_first_pixel(found):
    _, _, leaves = found
    seen = leaves.labels[leaves.labels > 0]
    _, first = np.unique(seen, return_index=True)
    assert (np.diff(first) > 0).all()


def test_areas_and_centres_are_those_of_the_pixels(found):
    _, _, leaves = found
    for number, (area, (x, y)) in enumerate(zip(leaves.areas, leaves.centres_xy, strict=True), start=1):
        rows, cols = np.nonzero(leaves.labels == number)
        assert area == len(rows)
        assert (x, y) == pytest.approx((cols.mean() + 0.5, rows.mean() + 0.5), rel=1e-5)


def test_borders_have_the_length_of_their_pixel_sides(found):
    _, _, leaves = found
    sides = borders(leaves.labels)
    inner = {(int(a) + 1, int(b) + 1): length for (a, b), length in zip(leaves.edges, leaves.lengths, strict=True)}
    assert inner == {pair: length for pair, length in sides.items() if pair[0] > 0}
    outer = {pair[1]: length for pair, length in sides.items() if pair[0] == 0}
    assert {number + 1: int(length) for number, length in enumerate(leaves.outer) if length} == outer


def test_contrasts_and_gradients_are_in_units_of_their_means(found):
    _, _, leaves = found
    weights = leaves.lengths / leaves.lengths.sum()
    assert (weights * leaves.contrasts).sum() == pytest.approx(1)
    assert (weights * leaves.gradients).sum() == pytest.approx(1)
    one, two = leaves.edges.T
    distances = np.linalg.norm(leaves.colours[one] - leaves.colours[two], axis=1)
    assert leaves.contrasts == pytest.approx(distances)


def test_leaves_have_their_mean_size_at_most_where_ground_is_textured():
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 255, (3, 80, 80), dtype=np.uint8)
    leaves = find_leaves(rgb, np.ones((80, 80), bool))
    # basins are merged down to this number; pieces of one basin that are not connected count separately
    assert len(leaves.areas) >= np.ceil(80 * 80 / LEAF_PX)
    assert np.mean(leaves.areas) <= LEAF_PX


def test_no_leaf_crosses_the_contour_of_a_flat_rectangle():
    rgb = np.full((3, 50, 50), 60, np.uint8)
    rgb[:, 10:30, 15:40] = 200
    leaves = find_leaves(rgb, np.ones((50, 50), bool))
    inside = rgb[0] == 200
    for number in range(1, len(leaves.areas) + 1):
        share = inside[leaves.labels == number].mean()
        assert min(share, 1 - share) < 0.1, "the watershed may differ by a pixel along the contour"


def test_invalid_pixels_make_no_contour():
    rgb, _ = tile(2)
    valid = np.ones(rgb.shape[1:], bool)
    valid[20:30, 20:30] = False
    black, white = rgb.copy(), rgb.copy()
    black[:, ~valid], white[:, ~valid] = 0, 255
    assert np.array_equal(find_leaves(black, valid).labels, find_leaves(white, valid).labels)


def test_a_tile_without_valid_pixels_has_no_leaves():
    leaves = find_leaves(np.zeros((3, 9, 7), np.uint8), np.zeros((9, 7), bool))
    assert len(leaves.areas) == len(leaves.edges) == 0
    assert not leaves.labels.any()


@given(st.data(), st.integers(1, 12))
def test_cutting_a_hierarchy_gives_the_highest_ancestor_before_the_limit(data, leaves):
    """The hierarchy is random: each merge takes two roots."""
    parents, roots = list(range(2 * leaves - 1)), list(range(leaves))
    for node in range(leaves, 2 * leaves - 1):
        for _ in range(2):
            child = roots.pop(data.draw(st.integers(0, len(roots) - 1)))
            parents[child] = node
        roots.append(node)
    limit = data.draw(st.integers(leaves, 2 * leaves))
    highest = cut(np.array(parents), limit)
    for node in range(min(limit, len(parents))):
        ancestor = node
        while parents[ancestor] != ancestor and parents[ancestor] < limit:
            ancestor = parents[ancestor]
        assert highest[node] == ancestor
