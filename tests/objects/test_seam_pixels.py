"""Relations of two tiles with any masks, against counting pixels of the whole picture."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geosam.geometry import corners
from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid
from geosam.objects.seams import SeamRule, TileMasks, compare
from geosam.segmenters.masks import MaskSet

REGION = Window(0, 0, 44, 14)
GRID = TileGrid.over(REGION, 28, 12)
STRIP = GRID.window(0).intersection(GRID.window(1))


@st.composite
def views(draw):
    """Masks (N, H, W) of the region that each tile sees, as unions of rectangles; mostly the same for both tiles."""
    places = st.tuples(st.integers(0, 40), st.integers(0, 12), st.integers(1, 30), st.integers(1, 9))
    tiles = []
    shared = draw(st.lists(places, max_size=4))
    for index in range(2):
        window = GRID.window(index)
        own = draw(st.lists(places, max_size=2))
        masks = []
        for x, y, width, height in [*shared, *own]:
            full = np.zeros(REGION.shape_hw, bool)
            full[y : y + height, x : x + width] = True
            if full[window.slices_rc].any():
                masks.append(full[window.slices_rc])
        tiles.append(tile(index, masks))
    return tiles


def tile(index, masks):
    window = GRID.window(index)
    full = np.array(masks).reshape(-1, *window.shape_hw)
    return TileMasks(
        index, window, GRID.core(index), GRID.inner_edges(index), MaskSet.from_full(list(full), window.shape_hw)
    )


def in_scene(tile, row):
    """One mask of a tile as a mask of the region."""
    full = np.zeros(REGION.shape_hw, bool)
    full[tile.window.slices_rc] = tile.masks.full(row)
    return full


def core_of(tile):
    inside = np.zeros(REGION.shape_hw, bool)
    inside[tile.core.slices_rc] = True
    return inside


def covered_by(tile):
    union = np.zeros(REGION.shape_hw, bool)
    for row in range(len(tile.masks)):
        union |= in_scene(tile, row)
    return union


def iou(a, b):
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def sorted_relations(found):
    strays = sorted((name, other, form.tolist()) for name, other, form in found.strays)
    return (
        sorted(found.joins),
        sorted(found.duplicates),
        sorted(found.covers),
        sorted(found.loose),
        strays,
        sorted(found.conflicts),
    )


@given(views())
def test_the_order_of_two_tiles_does_not_matter(tiles):
    a, b = tiles
    assert sorted_relations(compare(a, b, SeamRule())) == sorted_relations(compare(b, a, SeamRule()))


@given(views())
def test_a_mask_is_whole_if_it_ends_before_the_inner_edge(tiles):
    a, b = tiles
    assert a.whole.tolist() == [not in_scene(a, row)[:, a.window.col_end - 1].any() for row in range(len(a.masks))]
    assert b.whole.tolist() == [not in_scene(b, row)[:, b.window.col_off].any() for row in range(len(b.masks))]


@given(views())
def test_duplicates_are_the_whole_views_that_agree(tiles):
    a, b = tiles
    found = compare(a, b, SeamRule())
    expected = [
        ((0, i), (1, j))
        for i in np.flatnonzero(a.whole).tolist()
        for j in np.flatnonzero(b.whole).tolist()
        if iou(in_scene(a, i), in_scene(b, j)) >= SeamRule().duplicate_iou
    ]
    assert sorted(found.duplicates) == expected


@given(views())
def test_strays_are_the_pixels_of_pieces_in_the_other_core_that_no_mask_there_covers(tiles):
    found = compare(*tiles, SeamRule())
    strays = {name: corners.mask_of(form, REGION) for name, _, form in found.strays}
    for one, other in (tiles, tiles[::-1]):
        for row in range(len(one.masks)):
            expected = in_scene(one, row) & core_of(other) & ~covered_by(other)
            if one.whole[row] or not expected.any():
                assert (one.index, row) not in strays
            else:
                np.testing.assert_array_equal(strays.pop((one.index, row)), expected)
    assert strays == {}


@given(views())
def test_conflicts_count_pixels_that_the_other_core_gives_to_other_objects(tiles):
    found = compare(*tiles, SeamRule())
    same = {(p, q) for pair in found.duplicates for p, q in (pair, pair[::-1])}
    same |= {(cover.whole, cover.piece) for cover in found.covers}
    expected = {}
    for one, other in (tiles, tiles[::-1]):
        for row in np.flatnonzero(one.whole).tolist():
            disputed = in_scene(one, row) & core_of(other) & covered_by(other)
            for number in range(len(other.masks)):
                if ((one.index, row), (other.index, number)) in same:
                    disputed &= ~in_scene(other, number)
            if disputed.any():
                expected[one.index, row] = np.count_nonzero(disputed)
    assert dict(found.conflicts) == expected


@given(views())
def test_joined_pieces_have_components_in_the_strip_that_agree(tiles):
    a, b = tiles
    found = compare(a, b, SeamRule())
    for (_, i), (_, j) in found.joins:
        assert not a.whole[i]
        assert not b.whole[j]
        parts = [_components(in_scene(one, row)[STRIP.slices_rc]) for one, row in ((a, i), (b, j))]
        assert max(iou(p, q) for p in parts[0] for q in parts[1]) >= SeamRule().join_iou


def _components(mask):
    labels, count = ndimage.label(mask)
    return [labels == value for value in range(1, count + 1)]


@given(views())
def test_covers_are_pieces_inside_whole_views_with_the_pixels_they_share(tiles):
    found = compare(*tiles, SeamRule())
    for (piece_tile, piece), (whole_tile, whole), shared_px in found.covers:
        inner, outer = in_scene(tiles[piece_tile], piece), in_scene(tiles[whole_tile], whole)
        assert tiles[whole_tile].whole[whole]
        assert not tiles[piece_tile].whole[piece]
        assert shared_px == np.count_nonzero(inner & outer) >= SeamRule().covered * np.count_nonzero(inner)


def test_tiles_without_a_common_pixel_have_no_relations():
    grid = TileGrid.over(Window(0, 0, 300, 14), 28, 12)
    ends = [
        TileMasks(index, grid.window(index), grid.core(index), grid.inner_edges(index), MaskSet.empty((14, 28)))
        for index in (0, len(grid) - 1)
    ]
    assert sorted_relations(compare(*ends, SeamRule())) == ([], [], [], [], [], [])
