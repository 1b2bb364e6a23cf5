"""The stitcher against the exact answer: connected components of the whole picture."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geosam.geometry import corners
from geosam.geometry.geobox import Window
from geosam.geometry.polygons import polygonize
from geosam.geometry.tiles import TileGrid
from geosam.objects.stitcher import Stitcher
from geosam.segmenters.masks import MaskSet


def components(picture):
    """Label map of the 4-connected components of equal value."""
    labels = np.zeros(picture.shape, np.int32)
    top = 0
    for value in np.unique(picture):
        found, count = ndimage.label(picture == value)
        labels[found > 0] = found[found > 0] + top
        top += count
    return labels


def exact(picture):
    """The right answer: one polygon for each component."""
    labels = components(picture)
    forms = [corners.corners_of(labels == value, 0, 0) for value in range(1, labels.max() + 1)]
    return sorted(shapely.to_wkb(polygon) for polygon in polygonize(forms))


def tile_masks(picture, window):
    return MaskSet.from_labels(components(picture[window.slices_rc]))


def stitched(picture, tile_size, overlap, order=None, **options):
    height, width = picture.shape
    grid = TileGrid.over(Window(0, 0, width, height), tile_size, overlap)
    stitcher = Stitcher(grid, **options)
    objects = []
    for index in order(range(len(grid))) if order else range(len(grid)):
        objects += stitcher.feed(index, tile_masks(picture, grid.window(index)))
    stitcher.finish()
    return objects


def wkb(objects):
    return sorted(shapely.to_wkb(polygon) for polygon in polygonize([found.corners for found in objects]))


@st.composite
def pictures(draw):
    """Noise of few colours in blocks, crossed by 1-px bars: many objects, many seams, thin links."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.sampled_from([1, 2, 5]))
    picture = rng.integers(0, draw(st.sampled_from([2, 3])), (height, width)).repeat(block, 0).repeat(block, 1)
    picture = picture[:height, :width]
    for _ in range(draw(st.integers(0, 6))):
        row, col = rng.integers(height), rng.integers(width)
        picture[row, col : col + rng.integers(1, 30)] = 7
        picture[row : row + rng.integers(1, 30), col] = 7
    return picture


@pytest.mark.fault("Q6")
@given(pictures(), st.integers(3, 20), st.data())
def test_objects_do_not_depend_on_tile_size_and_overlap(picture, tile_size, data):
    overlap = data.draw(st.integers(2, tile_size - 1))
    assert wkb(stitched(picture, tile_size, overlap)) == exact(picture)


@pytest.mark.fault("Q7")
@given(pictures(), st.randoms(use_true_random=False))
def test_objects_and_columns_do_not_depend_on_the_order_of_tiles(picture, random):
    def key(found):
        return found.corners.tobytes(), found.n_tiles, found.touches_edge, found.truncated, found.score

    ordered = stitched(picture, 9, 3)
    shuffled = stitched(picture, 9, 3, order=lambda tiles: random.sample(tiles, len(tiles)))
    assert sorted(map(key, ordered)) == sorted(map(key, shuffled))


@given(pictures())
def test_outlines_on_disk_give_the_same_objects(picture):
    assert wkb(stitched(picture, 8, 2, outlines_in_memory=100)) == exact(picture)


def test_exact_objects_are_never_marked_truncated():
    picture = np.zeros((60, 60), int)
    picture[3:57, 30] = 1
    assert not any(found.truncated for found in stitched(picture, 16, 4))


def test_an_object_across_fifty_tiles_and_the_background_are_one_polygon_each():
    picture = np.zeros((40, 50 * 12), int)
    picture[7, :] = 1
    picture[7:30, ::24] = 1
    objects = stitched(picture, 16, 4)
    assert wkb(objects) == exact(picture)
    assert max(found.n_tiles for found in objects) >= 50


def test_objects_are_released_as_soon_as_no_later_tile_can_change_them():
    picture = np.arange(64 * 64).reshape(64, 64) // (64 * 8)
    grid = TileGrid.over(Window(0, 0, 64, 64), 16, 4)
    stitcher = Stitcher(grid)
    released = 0
    per_row = len(grid.cols.starts)
    for index in range(per_row * 3):
        released += len(stitcher.feed(index, tile_masks(picture, grid.window(index))))
    assert released >= 2
    with pytest.raises(RuntimeError, match="tiles were not stitched"):
        stitcher.finish()


def test_a_tile_fed_twice_is_refused():
    stitcher = Stitcher(TileGrid.over(Window(0, 0, 20, 8), 12, 4))
    stitcher.feed(0, MaskSet.empty((8, 12)))
    with pytest.raises(ValueError, match="fed twice"):
        stitcher.feed(0, MaskSet.empty((8, 12)))


def inexact(grid, masks_by_tile):
    """Stitch hand-made masks: tile -> list of full-window masks with scores."""
    stitcher = Stitcher(grid)
    objects = []
    for index in range(len(grid)):
        window = grid.window(index)
        rows = masks_by_tile.get(index, [])
        masks = [mask[window.slices_rc] for mask, _ in rows]
        objects += stitcher.feed(
            index, MaskSet.from_full(masks, window.shape_hw, predicted_iou=[score for _, score in rows])
        )
    stitcher.finish()
    return objects


GRID = TileGrid.over(Window(0, 0, 30, 16), 20, 10)  # windows 0..20 and 10..30, cores 0..15 and 15..30


def rectangle(x0, y0, x1, y1):
    mask = np.zeros((16, 30), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def areas(found):
    return sorted(corners.area(item.corners) for item in found)


def test_two_whole_views_of_one_object_leave_the_better_one():
    better = rectangle(11, 4, 19, 12)
    (found,) = inexact(GRID, {0: [(rectangle(11, 4, 19, 11), 0.8)], 1: [(better, 0.9)]})
    assert found.score == pytest.approx(0.9)
    assert corners.area(found.corners) == better.sum()


def test_a_whole_view_beats_the_fragment_another_tile_sees():
    whole = rectangle(11, 4, 24, 12)
    (found,) = inexact(GRID, {0: [(whole, 0.99)], 1: [(whole, 0.7)]})
    assert found.score == pytest.approx(0.7)
    assert corners.area(found.corners) == whole.sum()
    assert not found.truncated


def test_a_nested_object_at_the_edge_is_no_fragment_of_what_surrounds_it():
    lot, car = rectangle(11, 2, 28, 14), rectangle(11, 5, 15, 10) | rectangle(15, 7, 20, 8)
    assert areas(inexact(GRID, {0: [(lot, 0.9), (car, 0.9)], 1: [(lot, 0.9)]})) == [20, lot.sum()]
    # Without a view of the lot in its own tile, the car is taken for a fragment of it.
    assert areas(inexact(GRID, {0: [(car, 0.9)], 1: [(lot, 0.9)]})) == [lot.sum()]


def test_pieces_that_disagree_in_the_strip_stay_apart_and_are_marked():
    found = inexact(GRID, {0: [(rectangle(2, 2, 30, 5), 0.9)], 1: [(rectangle(0, 9, 26, 12), 0.9)]})
    assert [item.truncated for item in found] == [True, True]


def test_a_piece_the_neighbour_missed_keeps_all_its_pixels():
    (found,) = inexact(GRID, {0: [(rectangle(2, 2, 30, 6), 0.9)]})
    assert corners.area(found.corners) == rectangle(2, 2, 20, 6).sum()
    assert found.truncated


def test_a_piece_where_the_neighbour_sees_another_object_ends_at_the_core():
    found = inexact(GRID, {0: [(rectangle(2, 2, 30, 6), 0.9)], 1: [(rectangle(11, 0, 26, 16), 0.9)]})
    assert areas(found) == sorted([(15 - 2) * 4, (26 - 11) * 16])


def test_each_strip_component_joins_its_best_partner_only():
    part, group = rectangle(4, 4, 26, 8), rectangle(4, 2, 26, 12)
    found = inexact(GRID, {0: [(part, 0.9), (group, 0.9)], 1: [(group, 0.9), (part, 0.9)]})
    assert areas(found) == [part.sum(), group.sum()]
    assert not any(item.truncated for item in found)


def test_a_whole_view_mostly_where_a_better_placed_tile_sees_other_objects_is_dropped():
    both = rectangle(14, 2, 19, 12)  # in the core of the second tile but for one column
    upper, lower = rectangle(14, 2, 19, 7), rectangle(14, 7, 19, 12)
    assert areas(inexact(GRID, {0: [(both, 0.99)], 1: [(upper, 0.5), (lower, 0.5)]})) == [25, 25]
    assert areas(inexact(GRID, {0: [(both, 0.99)], 1: [(both, 0.5)]})) == [50]
    assert areas(inexact(GRID, {0: [(both, 0.99)]})) == [50]
