"""Prompts clipped to valid pixels, against loops over single pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.segmenters.clipped_prompt import LOGITS_STRIDE, ClippedPrompt, clip_prompt
from geosam.segmenters.pixel_prompts import PixelPrompts

HEIGHT, WIDTH = 16, 24
LOGITS_HW = (4, 6)
SURE = 8.0
EVERYWHERE = np.ones((HEIGHT, WIDTH), bool)


def clip(points=(), labels=(), *, box=None, mask=None, logits=None, valid=EVERYWHERE, logits_hw=LOGITS_HW):
    prompts = PixelPrompts(
        (np.array(points, float).reshape(-1, 2),),
        (np.array(labels, np.int8),),
        np.array([[np.nan] * 4 if box is None else box], float),
        (mask,),
        () if logits is None else (logits,),
    )
    return clip_prompt(prompts, 0, valid, logits_hw, sure=SURE)


coordinates = st.floats(-8, 32).map(lambda value: round(value, 2))
points = st.lists(st.tuples(coordinates, coordinates, st.integers(0, 1)), max_size=5)
valid_pixels = st.integers(0, 2**24 - 1).map(
    lambda bits: np.kron(
        np.array([(bits >> place) & 1 for place in range(24)], bool).reshape(4, 6), np.ones((4, 4), bool)
    )
)


def on_valid(x, y, valid):
    """Test whether a point lies on a valid pixel, one pixel after the other."""
    return any(
        valid[row, col] and col <= x < col + 1 and row <= y < row + 1 for row in range(HEIGHT) for col in range(WIDTH)
    )


@given(points, valid_pixels)
def test_points_stay_in_their_order_if_they_lie_on_valid_pixels(drawn, valid):
    expected = [(x, y, label) for x, y, label in drawn if on_valid(x, y, valid)]
    clipped = clip([dot[:2] for dot in drawn], [dot[2] for dot in drawn], valid=valid)
    if not any(label for *_, label in expected):
        assert clipped is None
    else:
        assert [
            (*place, label) for place, label in zip(clipped.points.tolist(), clipped.labels, strict=True)
        ] == expected
        assert clipped.box_xyxy is None
        assert clipped.logits is None


@given(st.tuples(coordinates, coordinates, coordinates, coordinates), valid_pixels)
def test_a_box_is_cut_at_the_window_and_needs_a_valid_pixel(corners, valid):
    x0, x1 = sorted((corners[0], corners[2] + 0.5))
    y0, y1 = sorted((corners[1], corners[3] + 0.5))
    clipped = clip(box=(x0, y0, x1, y1), valid=valid)
    inside = [
        (row, col)
        for row in range(HEIGHT)
        for col in range(WIDTH)
        if valid[row, col] and col < x1 and col + 1 > x0 and row < y1 and row + 1 > y0
    ]
    if not inside:
        assert clipped is None
    else:
        assert clipped.box_xyxy.tolist() == [max(x0, 0), max(y0, 0), min(x1, WIDTH), min(y1, HEIGHT)]


@given(valid_pixels, st.tuples(*[st.integers(0, 24)] * 4))
def test_a_drawn_mask_becomes_the_box_and_the_logits_of_its_valid_pixels(valid, corners):
    rows, cols = sorted(corners[:2]), sorted(corners[2:])
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[slice(*rows), slice(*cols)] = True
    clipped = clip(mask=mask, valid=valid)
    pixels = np.argwhere(mask & valid)
    if not len(pixels):
        assert clipped is None
        return
    (top, left), (bottom, right) = pixels.min(axis=0).tolist(), (pixels.max(axis=0) + 1).tolist()
    assert clipped.box_xyxy.tolist() == [left, top, right, bottom]
    for row in range(LOGITS_HW[0]):
        for col in range(LOGITS_HW[1]):
            inside = sum(row == r // LOGITS_STRIDE and col == c // LOGITS_STRIDE for r, c in pixels)
            assert clipped.logits[row, col] == np.float32(SURE * (2 * inside / 16 - 1))


def test_logits_of_a_mask_reach_over_a_window_whose_sides_are_no_multiples():
    mask = np.ones((10, 13), bool)
    clipped = clip(mask=mask, valid=np.ones((10, 13), bool), logits_hw=(8, 8))
    assert clipped.box_xyxy.tolist() == [0, 0, 13, 10]
    assert (clipped.logits[:2, :3] == SURE).all()
    assert (clipped.logits[2, :3] == 0).all()
    assert (clipped.logits[:2, 3] == -SURE / 2).all()
    assert (clipped.logits[3:] == -SURE).all()


def test_a_mask_without_the_invalid_rows_and_columns_of_its_window_is_padded():
    valid = EVERYWHERE.copy()
    valid[10:] = valid[:, 13:] = False
    small, padded = clip(mask=np.ones((10, 13), bool), valid=valid), clip(mask=EVERYWHERE, valid=valid)
    assert small.box_xyxy.tolist() == padded.box_xyxy.tolist() == [0, 0, 13, 10]
    assert np.array_equal(small.logits, padded.logits)


@pytest.mark.parametrize("extra", [{"points": [(5, 5)], "labels": [1]}, {"box": (1, 2, 9, 8)}])
@pytest.mark.parametrize("kind", ["mask", "logits"])
def test_a_box_around_a_mask_is_made_only_if_nothing_else_includes(extra, kind):
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    drawn[4:8, 8:16] = True
    logits = np.where(drawn[::4, ::4], 2, -2).astype(np.float32)
    masks = {"mask": {"mask": drawn}, "logits": {"logits": logits}}[kind]
    assert clip(**masks).box_xyxy.tolist() == [8, 4, 16, 8]
    assert clip(points=[(5, 5)], labels=[0], **masks).box_xyxy.tolist() == [8, 4, 16, 8]
    clipped = clip(**extra, **masks)
    assert clipped.logits is not None
    assert (clipped.box_xyxy is None) == ("points" in extra)
    assert clipped.box_xyxy is None or clipped.box_xyxy.tolist() == [1, 2, 9, 8]


def test_logits_are_passed_on_unchanged_and_may_be_negative_beside_a_click():
    logits = np.full(LOGITS_HW, -3, np.float32)
    assert clip(logits=logits) is None
    assert clip([(5, 5)], [1], logits=logits).logits is logits


def test_prompts_of_one_call_are_clipped_each_by_its_own_row():
    prompts = PixelPrompts(
        (np.array([[1.0, 1.0]]), np.zeros((0, 2)), np.array([[50.0, 1.0]])),
        (np.ones(1, np.int8), np.zeros(0, np.int8), np.ones(1, np.int8)),
        np.array([[np.nan] * 4, [2, 2, 5, 5], [np.nan] * 4]),
        (None, None, None),
    )
    first, second, third = (clip_prompt(prompts, row, EVERYWHERE, LOGITS_HW, sure=SURE) for row in range(3))
    assert (first.points.tolist(), first.box_xyxy) == ([[1, 1]], None)
    assert (len(second.points), second.box_xyxy.tolist()) == (0, [2, 2, 5, 5])
    assert third is None


@given(points.filter(bool), st.none() | st.tuples(*[st.floats(0, 20)] * 2), st.booleans())
def test_the_extent_is_the_smallest_that_holds_points_box_and_positive_logits(dots, corner, has_logits):
    places = np.array([dot[:2] for dot in dots])
    box = None if corner is None else np.array([*corner, corner[0] + 3, corner[1] + 2])
    logits = np.full(LOGITS_HW, -1, np.float32)
    logits[1, 2] = 1
    prompt = ClippedPrompt(places, np.ones(len(dots), np.int8), box, logits if has_logits else None)
    xs, ys = places[:, 0].tolist(), places[:, 1].tolist()
    if box is not None:
        xs, ys = [*xs, box[0], box[2]], [*ys, box[1], box[3]]
    if has_logits:
        xs, ys = [*xs, 8, 12], [*ys, 4, 8]
    assert prompt.extent_xyxy == (min(xs), min(ys), max(xs), max(ys))
