"""Two overlapping tiles and what they say about each other's masks, by class."""

import numpy as np
import pytest

from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid
from geosam.objects.seams import SeamRule, TileMasks, compare
from geosam.segmenters.masks import MaskSet

GRID = TileGrid.over(Window(0, 0, 100, 60), 60, 20)


def tile(index, objects):
    """A tile that sees rectangles (x0, y0, x1, y1, class) of scene pixels, as far as they lie in its window."""
    window = GRID.window(index)
    full = np.zeros((len(objects), *window.shape_hw), bool)
    for mask, (x0, y0, x1, y1, _) in zip(full, objects, strict=True):
        mask[y0 - window.row_off : y1 - window.row_off, max(x0 - window.col_off, 0) : max(x1 - window.col_off, 0)] = (
            True
        )
    classes = np.array([item[4] for item in objects], np.int32)
    masks = MaskSet.from_full(full, window.shape_hw, class_id=classes)
    return TileMasks(index, window, GRID.core(index), GRID.inner_edges(index), masks)


@pytest.mark.parametrize(("left", "right", "count"), [(1, 1, 1), (1, 2, 0), (-1, -1, 1)])
def test_whole_views_are_duplicates_if_their_classes_are_equal(left, right, count):
    found = compare(tile(0, [(44, 10, 56, 30, left)]), tile(1, [(44, 10, 56, 30, right)]), SeamRule())
    assert len(found.duplicates) == count
    assert not found.joins
    assert not found.covers


@pytest.mark.parametrize(("left", "right", "count"), [(1, 1, 1), (1, 2, 0), (-1, -1, 1)])
def test_pieces_are_joined_if_their_classes_are_equal(left, right, count):
    found = compare(tile(0, [(10, 10, 90, 30, left)]), tile(1, [(10, 10, 90, 30, right)]), SeamRule())
    assert len(found.joins) == count
    assert len(found.loose) == 2 * (1 - count)


@pytest.mark.parametrize(("left", "right", "count"), [(1, 1, 1), (1, 2, 0), (-1, -1, 1)])
def test_a_piece_is_covered_by_a_whole_view_if_their_classes_are_equal(left, right, count):
    found = compare(tile(0, [(50, 10, 60, 30, left)]), tile(1, [(50, 10, 64, 30, right)]), SeamRule())
    assert len(found.covers) == count


def test_a_piece_joins_the_partner_of_its_class_among_several_at_one_place():
    place = (10, 10, 90, 30)
    found = compare(tile(0, [(*place, 1), (*place, 2)]), tile(1, [(*place, 2), (*place, 1)]), SeamRule())
    assert sorted(found.joins) == [((0, 0), (1, 1)), ((0, 1), (1, 0))]


def test_a_whole_view_is_in_conflict_with_another_class_at_its_place():
    found = compare(tile(0, [(52, 10, 58, 30, 1)]), tile(1, [(52, 10, 58, 30, 2)]), SeamRule())
    assert dict(found.conflicts) == {(0, 0): 6 * 20}
