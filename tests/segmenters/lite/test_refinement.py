"""Masks in windows around objects, with a decoder that knows the objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ideal_decoder import IdealDecoder, features_of

from geosam.segmenters.clipped_prompt import ClippedPrompt
from geosam.segmenters.lite.refinement import outlines

SIDE = 1024


def click(x, y):
    return ClippedPrompt(np.array([[x, y]], float), np.ones(1, np.int8), None, None)


def decode(objects, *batch, cells=1, min_iou=None):
    decoder = IdealDecoder()
    return outlines(decoder, features_of(objects), list(batch), cells=cells, min_iou=min_iou), decoder.calls


def drawn(answer, shape_hw, mask=0):
    """A mask of an answer in pixels of the tile."""
    full = np.zeros((shape_hw[0] // 4, shape_hw[1] // 4), bool)
    row, col, height, width = (4 * side for side in answer.region)
    full[row : row + height, col : col + width] = answer.logits[mask] > 0
    return np.kron(full, np.ones((4, 4), bool))


def tile(*boxes, shape_hw=(SIDE, SIDE)):
    objects = np.zeros(shape_hw, int)
    for number, (x0, y0, x1, y1) in enumerate(boxes, start=1):
        objects[y0:y1, x0:x1] = number
    return objects


def test_a_small_object_takes_two_calls_on_small_windows():
    objects = tile((400, 400, 440, 424), (480, 400, 900, 800))
    (answer,), calls = decode(objects, click(420, 410))
    assert np.array_equal(drawn(answer, objects.shape), objects == 1)
    assert [call.level for call in calls] == ["locate", "outline"]
    assert calls[0].cells_hw == (24, 24)
    assert max(calls[1].cells_hw) <= 12


@pytest.mark.parametrize(
    "box", [(0, 500, 1024, 520), (500, 0, 508, 1024), (0, 0, 1024, 1024), (300, 300, 860, 900), (0, 0, 4, 4)]
)
def test_an_object_is_found_whole_however_long_it_is(box):
    objects = tile(box)
    (answer,), _ = decode(objects, click(box[0] + 2, box[1] + 2))
    assert np.array_equal(drawn(answer, objects.shape), objects == 1)


def test_an_object_that_winds_through_the_tile_is_followed_to_its_end():
    objects = tile((40, 40, 980, 52), (968, 40, 980, 980), (40, 968, 980, 980))
    objects[objects > 0] = 1
    (answer,), calls = decode(objects, click(45, 45))
    assert np.array_equal(drawn(answer, objects.shape), objects == 1)
    assert len(calls) <= 8


def test_only_the_best_mask_is_followed_where_no_other_counts_and_only_if_its_iou_is_high_enough():
    objects = tile((100, 100, 1000, 108))
    expected = objects == 1
    assert np.array_equal(drawn(decode(objects, click(102, 102), min_iou=0.5)[0][0], objects.shape), expected)
    assert np.array_equal(drawn(decode(objects, click(102, 102), min_iou=0.95)[0][0], objects.shape), expected)


def test_a_tile_smaller_than_a_window_is_decoded_whole():
    objects = tile((8, 8, 40, 28), shape_hw=(32, 64))
    box = ClippedPrompt(np.zeros((0, 2)), np.zeros(0, np.int8), np.array([8.0, 8, 40, 28]), None)
    (answer,), calls = decode(objects, box)
    assert np.array_equal(drawn(answer, objects.shape), objects == 1)
    assert calls[0].cells_hw == (2, 4)


def test_the_region_contains_all_points_of_a_prompt():
    objects = tile((40, 40, 80, 80))
    far = ClippedPrompt(np.array([[60, 60], [1000, 1010]]), np.array([1, 0], np.int8), None, None)
    (answer,), _ = decode(objects, far)
    row, col, height, width = answer.region
    assert row <= 60 // 16
    assert (row + height, col + width) == (64, 64)


def test_the_region_contains_the_prior_of_a_prompt():
    objects = tile((40, 40, 80, 80))
    prior = np.full((256, 256), -8, np.float32)
    prior[200, 100] = 8
    (answer,), _ = decode(objects, click(60, 60)._replace(logits=prior))
    row, col, height, width = answer.region
    assert row + height > 50
    assert col + width > 25


@given(
    st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63), st.integers(1, 40), st.integers(1, 40)), max_size=12),
    st.sampled_from([1, 2000, 10**6]),
)
def test_answers_are_the_same_one_by_one_and_together(boxes, cells):
    shape = (512, 768)
    objects = tile(*((8 * x, 8 * y, 8 * (x + w), 8 * (y + h)) for x, y, w, h in boxes), shape_hw=shape)
    numbers = [number for number in np.unique(objects) if number]
    places = [np.argwhere(objects == number)[0] for number in numbers]
    batch = [click(col + 2, row + 2) for row, col in places]
    together, _ = decode(objects, *batch, cells=cells)
    for number, one, answer in zip(numbers, batch, together, strict=True):
        (alone,), _ = decode(objects, one)
        assert alone.region == answer.region
        assert np.array_equal(alone.logits, answer.logits)
        labels = drawn(answer, shape)
        assert not (labels & (objects != number)).any()


def test_a_mask_that_is_not_followed_to_its_end_says_so():
    class Wider(IdealDecoder):
        """The masks fill every window."""

        def outline(self, features, state, prompts, region):
            answer = super().outline(features, state, prompts, region)
            return answer._replace(logits=answer.logits.abs())

    objects = tile((400, 400, 440, 424))
    batch, features = [click(420, 410)], features_of(objects)
    (cut,) = outlines(Wider(), features, batch, cells=1, min_iou=0.95)
    assert cut.cut
    assert max(cut.region[2:]) < 24
    (whole,) = outlines(Wider(), features, batch, cells=1, min_iou=0.85)
    assert not whole.cut
    assert whole.region == (0, 0, 64, 64)
