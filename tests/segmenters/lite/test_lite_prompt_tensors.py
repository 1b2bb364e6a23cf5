import numpy as np
import pytest
import torch

from geosam.segmenters.lite.prompt_tensors import as_tensors, clip_to_tile
from geosam.segmenters.pixel_prompts import PixelPrompts

HW = (24, 40)
VALID = np.zeros((90, 150), bool)
VALID[:80, 10:150] = True


def see(points=(), labels=(), box=None, mask=None, logits=None):
    prompts = PixelPrompts(
        (np.array(points, float).reshape(-1, 2),),
        (np.array(labels, np.int8),),
        np.array([[np.nan] * 4 if box is None else box], float),
        (mask,),
        () if logits is None else (logits,),
    )
    return clip_to_tile(prompts, 0, VALID, HW)


def test_points_off_valid_pixels_and_off_the_tile_are_not_seen():
    seen = see([(5, 5), (20, 20), (200, 20), (-1, 3), (149.9, 79.9), (20, 85)], [1, 1, 1, 1, 0, 1])
    assert seen.points.tolist() == [[20, 20], [149.9, 79.9]]
    assert seen.labels.tolist() == [1, 0]
    assert seen.logits is None
    assert seen.box_xyxy is None


def test_what_includes_nothing_that_can_be_seen_is_no_prompt():
    assert see([(20, 20)], [0]) is None
    assert see([(5, 5)], [1]) is None
    assert see(box=(0, 0, 9, 80)) is None
    assert see(mask=np.zeros((90, 150), bool)) is None
    assert see([(20, 20)], [0], logits=np.full(HW, -1, np.float32)) is None


def test_a_box_ends_at_the_tile():
    assert see(box=(-30, 10, 400, 500)).box_xyxy.tolist() == [0, 10, 150, 90]


def test_a_drawn_mask_becomes_logits_and_a_box_unless_something_else_includes():
    mask = np.zeros((90, 150), bool)
    mask[8:18, 0:32] = True
    alone = see(mask=mask)
    assert alone.box_xyxy.tolist() == [10, 8, 32, 18]
    assert alone.logits.shape == HW
    assert alone.logits[2:4, 3:8].tolist() == [[8.0] * 5] * 2
    assert alone.logits[2, 2] == 0, "half of the cell is valid"
    assert alone.logits[4, 4] == 0, "half of the cell is drawn"
    assert alone.logits[6, 4] == -8
    assert see([(20, 10)], [1], mask=mask).box_xyxy is None
    assert see([(20, 10)], [0], mask=mask).box_xyxy.tolist() == [10, 8, 32, 18]


def test_logits_of_an_answer_are_taken_as_they_are_and_must_fit():
    logits = np.random.default_rng(0).normal(size=HW).astype(np.float32)
    assert see([(20, 20)], [1], logits=logits).logits is logits
    box = see([(20, 20)], [0], logits=logits).box_xyxy
    assert (box[2:] - box[:2]).tolist() == [160, 96]
    with pytest.raises(ValueError, match=r"found shape \(3, 3\), expected \(24, 40\)"):
        see([(20, 20)], [1], logits=np.zeros((3, 3), np.float32))


def test_the_extent_holds_all_that_was_said():
    logits = np.full(HW, -1, np.float32)
    logits[20, 30] = 1
    assert see([(20, 20), (50, 9)], [1, 0]).extent_xyxy == (20, 9, 50, 20)
    assert see([(20, 20)], [1], box=(30, 30, 40, 70)).extent_xyxy == (20, 20, 40, 70)
    assert see([(20, 20)], [1], logits=logits).extent_xyxy == (20, 20, 124, 84)


def test_tensors_are_padded_with_points_that_count_as_none():
    batch = [see([(20, 20), (30, 30), (40, 20)], [1, 0, 1]), see(box=(20, 20, 40, 40))]
    tensors = as_tensors(batch, HW, torch.device("cpu"))
    assert tensors.labels.tolist() == [[1, 0, 1], [-1, -1, -1]]
    assert tensors.points.shape == (2, 3, 2)
    assert tensors.boxes.isfinite().all(dim=1).tolist() == [False, True]
    assert tensors.has_prior.tolist() == [False, False]
    assert tensors.prior.shape == (2, 1, *HW)
    assert as_tensors(batch[1:], HW, torch.device("cpu")).points.shape == (1, 1, 2)
