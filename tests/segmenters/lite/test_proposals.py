"""All objects of a tile, with a decoder that knows the objects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ideal_decoder import IdealDecoder, features_of
from scipy import ndimage

from geosam.segmenters.lite.proposals import peaks, proposals
from geosam.segmenters.segmenter import KeepRule

KEEP = KeepRule(0.5, 0.5, 0.5)
HW = (512, 640)


def grid_of(boxes, hw=HW):
    objects = np.zeros(hw, int)
    for number, (x0, y0, x1, y1) in enumerate(boxes, start=1):
        objects[y0:y1, x0:x1] = number
    return objects


def innerness_of(objects):
    """1 at the innermost point of each object, 0 at its edge, at stride 4."""
    numbers = objects[::4, ::4]
    found = np.zeros(numbers.shape, np.float32)
    for number in np.unique(numbers[numbers > 0]):
        depth = ndimage.distance_transform_edt(np.pad(numbers == number, 1))[1:-1, 1:-1]
        found = np.maximum(found, (depth / depth.max()).astype(np.float32))
    return found


def propose(objects, valid=None, keep=KEEP, innerness=None):
    decoder = IdealDecoder()
    valid = np.ones(objects.shape, bool) if valid is None else valid
    innerness = innerness_of(objects) if innerness is None else innerness
    return proposals(decoder, features_of(objects), innerness, valid, keep), decoder.calls


def shown(masks):
    """The pixels of each mask."""
    return {masks.full(row).tobytes() for row in range(len(masks))}


CELLS = st.tuples(st.integers(0, 9), st.integers(0, 7))


@settings(max_examples=15)
@given(st.dictionaries(CELLS, st.tuples(st.integers(3, 15), st.integers(3, 15)), max_size=20))
def test_every_object_is_found_once_and_nothing_else(boxes):
    objects = grid_of([(64 * c, 64 * r, 64 * c + 4 * w, 64 * r + 4 * h) for (c, r), (w, h) in boxes.items()])
    masks, _ = propose(objects)
    assert len(masks) == len(boxes)
    for row in range(len(masks)):
        (number,) = np.unique(objects[masks.full(row)])
        expected = objects == number
        assert np.count_nonzero(masks.full(row) & expected) > 0.95 * np.count_nonzero(expected)
    assert set(masks.prompt_index) == {-1} or not boxes


def test_an_object_with_many_peaks_gets_few_clicks():
    objects = grid_of([(0, 0, 640, 512)])
    innerness = np.full((128, 160), 0.35, np.float32)
    innerness[64, 80] = 1
    for row in range(4, 128, 16):
        innerness[row, 8::16] = 0.8
    masks, calls = propose(objects, innerness=innerness)
    assert len(masks) == 1
    assert sum(call.prompts for call in calls if call.level == "locate") < 40


def test_of_objects_in_a_larger_mask_that_is_better_nothing_is_left_and_worse_masks_are_left_out():
    objects = grid_of([(40, 40, 200, 200)])
    assert len(propose(objects, keep=KeepRule(0.95, 0.5, 0.5))[0]) == 0
    assert len(propose(objects, keep=KeepRule(0.9, 0.5, 0.5))[0]) == 1


def test_invalid_pixels_get_no_clicks():
    objects = grid_of([(40, 40, 200, 200), (300, 300, 400, 400)])
    valid = np.ones(HW, bool)
    valid[:250] = False
    masks, _ = propose(objects, valid)
    assert len(masks) == 1
    assert not any((masks.full(row) & ~valid).any() for row in range(len(masks)))
    assert propose(objects, np.zeros(HW, bool))[1] == []


def test_the_order_is_by_score_and_then_by_place_and_the_same_for_a_turned_tile():
    boxes = [(64 * c, 64 * r, 64 * c + 40, 64 * r + 24) for c in range(10) for r in range(8)]
    masks, _ = propose(grid_of(boxes))
    places = [tuple(box[1::-1]) for box in masks.boxes_xyxy.tolist()]
    assert places == sorted(places)
    turned, _ = propose(np.ascontiguousarray(grid_of(boxes)[::-1, ::-1]))
    assert len(turned) == len(masks)


def test_peaks_are_the_innermost_places_deepest_first():
    innerness = np.zeros((40, 40), np.float32)
    innerness[5:12, 5:12] = 0.5
    innerness[7:10, 7:10] = 0.7
    innerness[8, 8] = 1
    innerness[20:31, 20:31] = 0.9
    innerness[36, 3] = 0.9
    found = peaks(innerness, np.ones((160, 160), bool)).tolist()
    assert found[0] == [21, 21], "a plateau is one place, its first"
    assert found[1] == [8, 8]
    assert len(found) == 2, "what is one cell wide is smoothed away"


@pytest.mark.parametrize("hw", [(128, 128), (130, 131)])
def test_peaks_are_bounded_by_the_size_of_the_tile(hw):
    innerness = np.zeros((40, 40), np.float32)
    innerness[::6, ::6] = 1
    innerness = ndimage.maximum_filter(innerness, 3)
    found = peaks(innerness, np.ones(hw, bool))
    assert len(found) == round(500 * hw[0] * hw[1] / 1024**2)
    assert (found < 33).all(), "cells beyond the tile are no places"
