"""Selection in a box, on pictures of which the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geosam.segmenters.regions.box import MOST_REGIONS, evidence, select_in_box, surroundings
from geosam.segmenters.regions.hierarchy import build_regions
from geosam.segmenters.regions.leaves import find_leaves

SIDE = 64
ROOF = (20, 16, 46, 40)


def picture(seed=0, roof=ROOF):
    """A roof on grass, both with noise."""
    rng = np.random.default_rng(seed)
    rgb = np.empty((3, SIDE, SIDE))
    rgb[:] = np.array([90, 130, 70])[:, None, None]
    x0, y0, x1, y1 = roof
    rgb[:, y0:y1, x0:x1] = np.array([170, 80, 60])[:, None, None]
    return np.clip(rgb + rng.normal(0, 5, rgb.shape), 0, 255).astype(np.uint8)


def regions_of(rgb, valid=None):
    return build_regions(find_leaves(rgb, np.ones(rgb.shape[1:], bool) if valid is None else valid))


@pytest.fixture(scope="module")
def regions():
    return regions_of(picture())


def inside(box=ROOF):
    mask = np.zeros((SIDE, SIDE), bool)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = True
    return mask


def iou(one, two):
    return (one & two).sum() / (one | two).sum()


@pytest.mark.parametrize("margin", [0, 2, 4])
def test_a_box_around_a_roof_selects_the_roof(regions, margin):
    box = np.array(ROOF, float) + margin * np.array([-1, -1, 1, 1])
    selection = select_in_box(regions, box, None)
    assert iou(selection.mask, inside()) > 0.85
    assert 0.5 < selection.iou <= 1
    assert 0 < selection.stability <= 1


@settings(max_examples=25)
@given(st.data())
def test_a_selection_lies_in_its_box_in_one_piece_without_holes(regions, data):
    x0, y0 = (data.draw(st.floats(-3, SIDE - 8)) for _ in range(2))
    width, height = (data.draw(st.floats(4, 40)) for _ in range(2))
    selection = select_in_box(regions, np.array([x0, y0, x0 + width, y0 + height]), None)
    rows, cols = np.nonzero(selection.mask)
    assert cols.min() >= np.floor(x0)
    assert rows.min() >= np.floor(y0)
    assert cols.max() < np.ceil(x0 + width)
    assert rows.max() < np.ceil(y0 + height)
    assert ndimage.label(selection.mask)[1] == 1
    assert np.array_equal(ndimage.binary_fill_holes(selection.mask), selection.mask)
    assert 0 <= selection.iou <= 1


def test_a_box_selects_valid_pixels_only():
    valid = np.ones((SIDE, SIDE), bool)
    valid[:, 30:33] = False
    regions = regions_of(picture(), valid)
    selection = select_in_box(regions, np.array(ROOF, float), None)
    assert selection.mask.any()
    assert not (selection.mask & ~valid).any()


def test_a_box_without_valid_pixels_selects_nothing():
    valid = np.ones((SIDE, SIDE), bool)
    valid[10:50, 10:50] = False
    regions = regions_of(picture(), valid)
    assert select_in_box(regions, np.array([12.0, 12, 40, 40]), None) is None


def test_an_outline_limits_the_selection(regions):
    outline = inside() & np.tri(SIDE, dtype=bool)[:, ::-1]
    selection = select_in_box(regions, np.array(ROOF, float), outline)
    assert selection.mask.any()
    assert not (selection.mask & ~outline).any()


@pytest.mark.parametrize("box", [(10, 20, 12.5, 50), (10, 20, 50, 23)])
def test_a_thin_box_is_filled(regions, box):
    selection = select_in_box(regions, np.array(box, float), None)
    x0, y0, x1, y1 = (int(v) for v in (*np.floor(box[:2]), *np.ceil(box[2:])))
    assert np.array_equal(selection.mask, inside((x0, y0, x1, y1)))


def test_the_regions_of_a_box_count_its_pixels_and_those_of_its_margin(regions):
    x0, y0, x1, y1 = ROOF
    around = surroundings(regions, np.array(ROOF, float), regions.labels[y0:y1, x0:x1], None)
    assert around.inside.sum() == (x1 - x0) * (y1 - y0)
    margin = 8
    assert around.outside.sum() == inside((x0 - margin, y0 - margin, x1 + margin, y1 + margin)).sum() - inside().sum()
    assert len(around.inside) == len(around.outside) == len(around.colours) == len(around.place)
    assert (around.edges[:, 0] < around.edges[:, 1]).all()
    assert set(around.leaf_region) <= {-1, *range(len(around.inside))}


def test_place_is_zero_in_the_middle_and_one_at_the_sides(regions):
    box = np.array(ROOF, float)
    around = surroundings(regions, box, regions.labels[16:40, 20:46], None)
    assert ((around.place >= 0) & (around.place <= 1)).all()
    outside = around.inside == 0
    assert around.place[outside].max() == 1


def test_evidence_has_a_constant_and_speaks_for_the_colour_of_the_middle(regions):
    around = surroundings(regions, np.array(ROOF, float) + np.array([-3, -3, 3, 3]), regions.labels[13:43, 17:49], None)
    columns = evidence(around)
    assert columns.shape == (len(around.inside), 4)
    assert (columns[:, 0] == 1).all()
    assert np.allclose(columns[:, 1], around.place**2)
    # the roof is redder (larger a) than the grass: regions with evidence for it are redder than the others
    red = around.colours[:, 1]
    assert red[columns[:, 2] > 0].mean() > red[columns[:, 2] < 0].mean()


def test_a_large_box_is_divided_into_a_bounded_number_of_regions():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (3, 500, 500), dtype=np.uint8)
    regions = regions_of(rgb)
    assert len(regions.colours) > MOST_REGIONS
    around = surroundings(regions, np.array([5.0, 5, 495, 495]), regions.labels[5:495, 5:495], None)
    assert len(around.inside) <= 1.1 * MOST_REGIONS
    assert around.inside.sum() == 490 * 490
