import numpy as np
import pytest
import torch
from torch.nn import functional

from geosam.segmenters.lite.mask_set import mask_set
from geosam.segmenters.lite.prompt_maps import Region
from geosam.segmenters.lite.refinement import PromptMasks
from geosam.segmenters.masks import Granularity
from geosam.segmenters.segmenter import KeepRule

VALID = np.ones((128, 160), bool)
LOGITS_HW = (32, 40)
LOOSE = KeepRule(0.0, 0.0, 1.0)


def answer(*boxes, iou=(0.5, 0.6, 0.7), sure=6.0, region=(2, 1, 4, 6)):
    """Masks of an answer that are boxes in cells of stride 4, counted from the region's corner."""
    _, _, height, width = region
    logits = np.full((3, 4 * height, 4 * width), -sure, np.float32)
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        logits[number, y0:y1, x0:x1] = sure
    return PromptMasks(Region(*region), logits, np.array(iou, np.float32), cut=False)


THREE = (5, 3, 9, 9), (1, 1, 20, 15), (2, 2, 12, 12)


def made(found, *, multimask=True, keep=None, valid=VALID):
    return mask_set(found, 4, valid, LOGITS_HW, multimask=multimask, keep=keep)


def test_three_masks_are_part_whole_and_group_by_their_areas():
    masks = made(answer(*THREE))
    assert masks.granularity.tolist() == list(Granularity)
    assert np.all(np.diff(masks.areas_px) > 0)
    assert np.allclose(masks.predicted_iou, [0.5, 0.7, 0.6])
    assert masks.prompt_index.tolist() == [4] * 3


def test_a_mask_lies_where_its_logits_lie_four_pixels_for_one():
    masks = made(answer(*THREE))
    x0, y0 = 16 + 4 * 5, 32 + 4 * 3
    assert np.abs(masks.boxes_xyxy[0] - [x0, y0, x0 + 16, y0 + 24]).max() <= 1
    full = masks.full(0)
    assert full[y0 + 2 : y0 + 22, x0 + 2 : x0 + 14].all()


def test_one_mask_is_the_one_of_highest_expected_iou():
    masks = made(answer(*THREE), multimask=False)
    assert masks.granularity.tolist() == [Granularity.WHOLE]
    assert np.array_equal(masks.full(0), made(answer(*THREE)).full(1))


def test_expected_ious_end_at_0_and_1():
    assert made(answer(*THREE, iou=(-0.2, 0.5, 1.3))).predicted_iou.tolist() == [0, 1, 0.5]


def test_of_masks_that_are_nearly_the_same_the_better_stays_with_its_level():
    twins = (2, 2, 22, 15), (2, 2, 22, 15), (5, 3, 9, 9)
    masks = made(answer(*twins, iou=(0.4, 0.8, 0.5)))
    assert np.allclose(masks.predicted_iou, [0.5, 0.8])
    assert masks.granularity[0] == Granularity.PART
    alone = made(answer(*[(2, 2, 22, 15)] * 3, iou=(0.4, 0.8, 0.5)))
    assert alone.granularity.tolist() == [Granularity.WHOLE]
    assert np.allclose(alone.predicted_iou, 0.8)


def test_empty_masks_and_masks_on_invalid_pixels_give_no_row():
    assert len(made(answer())) == 0
    blind = VALID.copy()
    blind[:, :60] = False
    masks = made(answer(*THREE), valid=blind)
    assert len(masks) == 2
    assert not any((masks.full(row) & ~blind).any() for row in range(2))


def test_logits_for_the_next_click_are_those_of_the_answer_and_unlikely_elsewhere():
    masks = made(answer(*THREE, sure=40.0))
    inside = masks.logits[:, 8:24, 4:28]
    assert masks.logits.shape == (3, *LOGITS_HW)
    assert set(np.unique(inside)) == {-16, 16}
    assert np.count_nonzero(masks.logits == -8) == masks.logits.size - inside.size


def test_a_rule_leaves_out_worse_masks_and_all_logits():
    found = answer(*THREE, iou=(0.5, 0.6, 0.7))
    assert made(found, keep=LOOSE).logits is None
    assert np.allclose(made(found, keep=KeepRule(0.55, 0, 1)).predicted_iou, [0.7, 0.6])
    assert len(made(answer(*THREE, sure=0.8), keep=KeepRule(0, 0.5, 1))) == 0
    assert len(made(found, keep=KeepRule(0.9, 0, 1))) == 0


def test_stability_is_that_of_sam_on_the_enlarged_logits():
    ramp = np.tile(np.linspace(-4, 4, 24, dtype=np.float32), (16, 1))
    found = PromptMasks(Region(2, 1, 4, 6), np.stack([ramp] * 3), np.array([0.3, 0.2, 0.1], np.float32), cut=False)
    (score,) = made(found).stability_score
    whole = np.full((1, 1, *LOGITS_HW), -8, np.float32)
    whole[0, 0, 8:24, 4:28] = ramp
    pixels = functional.interpolate(torch.from_numpy(whole), VALID.shape, mode="bilinear", align_corners=False)
    assert score == pytest.approx(float((pixels > 1).sum() / (pixels > -1).sum()))
