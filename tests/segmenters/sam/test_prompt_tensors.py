"""From the prompts of a window to the tensors that the network is asked with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.sam.prompt_tensors import groups

SIDE, LOGITS = 64, 16
EVERYWHERE = np.ones((SIDE, SIDE), bool)
NO_BOX = (np.nan,) * 4


def prompt(points=(), labels=(), box=NO_BOX, mask=None, logits=None):
    return points, labels, box, mask, logits


def several(*given_prompts):
    points, labels, boxes, masks, logits = zip(*given_prompts, strict=True)
    return PixelPrompts(
        tuple(np.array(p, np.float64).reshape(-1, 2) for p in points),
        tuple(np.array(own, np.int8) for own in labels),
        np.array(boxes, np.float64),
        masks,
        logits if any(own is not None for own in logits) else (),
    )


def asked(*given_prompts, valid=EVERYWHERE, scale=1.0, pads_boxes=False):
    return list(groups(several(*given_prompts), valid, LOGITS, scale=scale, pads_boxes=pads_boxes))


def alone(given_prompt, **how):
    """(points, labels, logits or None) that the network sees of a prompt; None where it is not asked."""
    found = asked(given_prompt, **how)
    if not found:
        return None
    ((rows, tensors),) = found
    assert rows.tolist() == [0]
    masks = None if tensors.masks is None else tensors.masks.numpy()[0, 0]
    return tensors.points.numpy()[0].tolist(), tensors.labels.tolist()[0], masks


def test_points_are_index_coordinates_and_a_padding_point_follows():
    points, labels, masks = alone(prompt([(10.5, 20.5), (3.25, 0.5)], [1, 0]))
    assert points[:2] == [[10.0, 20.0], [2.75, 0.0]]
    assert labels == [1, 0, -1]
    assert masks is None


@pytest.mark.parametrize(("pads_boxes", "padding"), [(False, []), (True, [-1])], ids=["SAM", "SAM 2"])
def test_corners_of_a_box_follow_the_points_and_only_sam_2_pads_them(pads_boxes, padding):
    points, labels, _ = alone(prompt(box=(10, 20, 30, 50)), pads_boxes=pads_boxes)
    assert points[:2] == [[9.5, 19.5], [29.5, 49.5]]
    assert labels == [2, 3, *padding]
    _, labels, _ = alone(prompt([(12, 22), (13, 40)], [1, 0], (10, 20, 30, 50)), pads_boxes=pads_boxes)
    assert labels == [1, 0, 2, 3, *padding]


@pytest.mark.parametrize("scale", [1.0, 2.5, 4.0])
def test_an_enlarged_picture_is_asked_in_pixels_of_the_enlarged_one(scale):
    points, _, _ = alone(prompt([(10.5, 20.0)], [1], (1, 2, 30, 40)), scale=scale)
    assert points == [
        [10.5 * scale - 0.5, 20 * scale - 0.5],
        [scale - 0.5, 2 * scale - 0.5],
        [30 * scale - 0.5, 40 * scale - 0.5],
    ]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-5, -7, 20, 30), (0, 0, 20, 30)),
        ((40, 50, 90, 99), (40, 50, 64, 64)),
        ((-10, -10, 100, 100), (0, 0, 64, 64)),
        ((10.25, 10.5, 10.75, 10.75), (10.25, 10.5, 10.75, 10.75)),
    ],
)
def test_boxes_are_clipped_to_the_window(box, expected):
    points, _, _ = alone(prompt(box=box))
    assert np.add(points, 0.5).ravel().tolist() == list(expected)


@pytest.mark.parametrize("box", [(-9, -9, -1, -1), (70, 0, 80, 9), (0, 64, 9, 70), (64, 64, 65, 65), (-5, 3, 0, 9)])
def test_a_box_beside_the_window_is_none(box):
    assert alone(prompt(box=box)) is None
    _, labels, _ = alone(prompt([(5, 5)], [1], box))
    assert labels == [1, -1]


@pytest.mark.parametrize("point", [(-0.1, 5), (5, -0.1), (64, 5), (5, 64), (1e9, 5)])
def test_points_beside_the_window_are_none(point):
    assert alone(prompt([point], [1])) is None
    points, labels, _ = alone(prompt([point, (5, 5)], [1, 1]))
    assert points[0] == [4.5, 4.5]
    assert labels == [1, -1]


def test_points_on_the_rim_belong_to_the_window():
    points, labels, _ = alone(prompt([(0, 0), (63.9, 63.9)], [1, 1]))
    assert labels == [1, 1, -1]
    assert points[0] == [-0.5, -0.5]


def test_nodata_is_not_asked_about():
    valid = EVERYWHERE.copy()
    valid[:, 32:] = False
    assert alone(prompt([(40, 5)], [1]), valid=valid) is None
    assert alone(prompt(box=(33, 0, 60, 60)), valid=valid) is None
    _, labels, _ = alone(prompt([(40, 5), (5, 5), (50, 5)], [1, 1, 0]), valid=valid)
    assert labels == [1, -1]
    points, _, _ = alone(prompt(box=(20, 0, 60, 60)), valid=valid)
    assert points[1] == [59.5, 59.5]  # a box is not cut at nodata, whose outline may be ragged


def test_what_only_excludes_is_not_asked():
    assert alone(prompt([(5, 5)], [0])) is None
    assert alone(prompt([(70, 5), (5, 5)], [1, 0])) is None
    _, labels, _ = alone(prompt([(5, 5)], [0], (1, 1, 9, 9)))
    assert labels == [0, 2, 3]


def drawn(rows, cols, shape=(SIDE, SIDE)):
    mask = np.zeros(shape, bool)
    mask[slice(*rows), slice(*cols)] = True
    return mask


def test_a_drawn_mask_is_logits_and_a_box_around_it():
    points, labels, logits = alone(prompt(mask=drawn((8, 20), (16, 30))))
    assert np.add(points, 0.5).ravel().tolist() == [16, 8, 30, 20]
    assert labels == [2, 3]
    assert logits.shape == (LOGITS, LOGITS)
    block = SIDE // LOGITS
    assert logits[8 // block, 16 // block] == 10  # wholly inside
    assert logits[8 // block, 28 // block] == 0  # half of its pixels
    assert logits[0, 0] == -10


def test_a_mask_does_not_replace_what_is_given_with_it():
    mask = drawn((8, 20), (16, 30))
    points, labels, _ = alone(prompt([(20, 10)], [1], mask=mask))
    assert (points[0], labels) == ([19.5, 9.5], [1, -1])
    points, labels, _ = alone(prompt(box=(1, 2, 40, 41), mask=mask))
    assert (points, labels) == ([[0.5, 1.5], [39.5, 40.5]], [2, 3])


def test_a_mask_of_a_window_smaller_than_the_input_is_padded_and_ends_at_nodata():
    valid = EVERYWHERE.copy()
    valid[40:] = valid[:, 50:] = False
    points, _, logits = alone(prompt(mask=drawn((8, 40), (16, 50), (40, 50))), valid=valid)
    assert np.add(points, 0.5).ravel().tolist() == [16, 8, 50, 40]
    assert (logits[10:] == -10).all()
    valid[30:] = False
    points, _, _ = alone(prompt(mask=drawn((8, 40), (16, 50), (40, 50))), valid=valid)
    assert np.add(points, 0.5).ravel().tolist() == [16, 8, 50, 30]
    assert alone(prompt(mask=drawn((31, 40), (16, 50), (40, 50))), valid=valid) is None


def test_logits_alone_get_a_box_and_stay_what_they_are():
    former = np.full((LOGITS, LOGITS), -3, np.float32)
    former[2:5, 4:8] = 1.5
    points, labels, logits = alone(prompt(logits=former))
    assert np.add(points, 0.5).ravel().tolist() == [16, 8, 32, 20]
    assert labels == [2, 3]
    assert np.array_equal(logits, former)
    assert alone(prompt(logits=np.full((LOGITS, LOGITS), -3, np.float32))) is None
    points, labels, _ = alone(prompt([(6, 7)], [0], logits=former))
    assert labels == [0, 2, 3]


def test_an_enlarged_picture_takes_no_masks_whose_pixels_would_be_others():
    for given_prompt in (
        prompt(logits=np.ones((LOGITS, LOGITS), np.float32)),
        prompt(mask=drawn((0, 9), (0, 9), (20, 32))),
    ):
        with pytest.raises(ValueError, match="found masks or logits, expected points and boxes only"):
            alone(given_prompt, valid=np.ones((20, 32), bool), scale=2.0)


def test_prompts_that_look_alike_are_asked_together_and_others_apart():
    mask = drawn((8, 20), (16, 30))
    found = asked(
        prompt([(5, 5)], [1]),
        prompt(box=(1, 1, 9, 9)),
        prompt([(70, 5)], [1]),
        prompt([(6, 6), (7, 7)], [1, 0]),
        prompt([(8, 8), (90, 7)], [1, 1]),
        prompt([(9, 9)], [1], mask=mask),
    )
    assert sorted(rows.tolist() for rows, _ in found) == [[0, 1, 4], [3], [5]]
    for rows, tensors in found:
        assert len(tensors.points) == len(tensors.labels) == len(rows)
        assert (tensors.masks is not None) == (rows.tolist() == [5])


numbers = st.floats(-20, 84).map(lambda value: round(value, 2))
dots = st.lists(st.tuples(numbers, numbers, st.integers(0, 1)), max_size=4)
boxes = st.one_of(st.none(), st.tuples(numbers, numbers, numbers, numbers))


def tidy(dots, box, drawing):
    box = NO_BOX if box is None else (*np.minimum(box[:2], box[2:]), *(np.maximum(box[:2], box[2:]) + 1))
    return prompt([dot[:2] for dot in dots], [dot[2] for dot in dots], box, drawing)


drawings = st.sampled_from([None, drawn((0, 9), (0, 9))])
any_prompt = st.builds(tidy, dots, boxes, drawings)
any_valid = arrays(bool, (4, 4)).map(lambda small: np.kron(small, np.ones((SIDE // 4, SIDE // 4), bool)))


@given(st.lists(any_prompt, min_size=1, max_size=6), any_valid, st.booleans())
def test_a_prompt_never_depends_on_those_it_is_asked_with(many, valid, pads_boxes):
    how = {"valid": valid, "pads_boxes": pads_boxes}
    seen = set()
    for rows, tensors in asked(*many, **how):
        for place, row in enumerate(rows):
            points, labels, logits = alone(many[row], **how)
            assert tensors.points.numpy()[place].tolist() == points
            assert tensors.labels.tolist()[place] == labels
            assert (tensors.masks is None) == (logits is None)
            assert logits is None or np.array_equal(tensors.masks.numpy()[place, 0], logits)
            assert {1, 2} & set(labels)
            assert labels.count(-1) == (pads_boxes or 2 not in labels)
            assert np.isfinite(points).all()
            seen.add(int(row))
    for row in set(range(len(many))) - seen:
        assert alone(many[row], **how) is None
