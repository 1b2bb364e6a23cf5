"""Masks of a tile from the logits of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from geosam.geometry.pixel_sets import mask_iou
from geosam.segmenters.clipped_prompt import LOGITS_STRIDE
from geosam.segmenters.lite.prompt_tensors import SURE
from geosam.segmenters.lite.refinement import CELL
from geosam.segmenters.masks import Granularity, MaskSet
from geosam.segmenters.sam.upsampling import masks_from_logits

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Indexes, Singles
    from geosam.segmenters.lite.refinement import PromptMasks
    from geosam.segmenters.segmenter import KeepRule

#: Largest logit that the next click receives, as in training.
_LIMIT = 16.0
#: Largest IoU of two masks of one prompt. Above it, only the mask of higher predicted IoU stays.
_SAME = 0.95


def mask_set(
    answer: PromptMasks,
    row: int,
    valid: BoolArray,
    logits_hw: tuple[int, int],
    *,
    multimask: bool,
    keep: KeepRule | None,
) -> MaskSet:
    """Return the masks of one prompt that have a valid pixel.

    Args:
        answer: logits and scores of the network.
        row: number of the prompt; -1 for a proposal.
        valid: (H, W) pixels of the tile that may belong to objects.
        logits_hw: size of the tile's logits. They reach over the tile if its sides are no multiples of 32.
        multimask: return up to three different masks; otherwise the mask of highest predicted IoU.
        keep: thresholds for the masks. None keeps all, and adds the logits for the next click.
    """
    # The network does not order its masks: part, whole and group follow from their areas.
    by_area = np.argsort(np.count_nonzero(answer.logits > 0, axis=(1, 2)), kind="stable")
    iou = np.clip(answer.iou[by_area], 0, 1)
    levels = _distinct(answer.logits[by_area] > 0, iou) if multimask else np.array([iou.argmax()])
    alone = len(levels) == 1
    if keep is not None:
        levels = levels[iou[levels] >= keep.min_predicted_iou]
    logits = np.full((len(levels), *logits_hw), -SURE, np.float32)
    logits[:, *_slices_rc(answer)] = np.clip(answer.logits[by_area[levels]], -_LIMIT, _LIMIT)
    shape_hw = (valid.shape[0], valid.shape[1])
    min_stability = None if keep is None else keep.min_stability
    masks = masks_from_logits(torch.from_numpy(logits), shape_hw, valid, min_stability=min_stability)
    return MaskSet.of(
        shape_hw,
        masks.masks,
        masks.boxes_xyxy,
        predicted_iou=iou[levels][masks.rows],
        stability_score=masks.stability,
        prompt_index=[row] * len(masks.rows),
        granularity=[Granularity.WHOLE] * len(masks.rows) if alone else levels[masks.rows],
        logits=None if keep is not None else logits[masks.rows],
    )


def _distinct(masks: BoolArray, iou: Singles) -> Indexes:
    """Return the numbers of the masks (3, h, w) that agree with no mask of higher predicted IoU."""
    kept: list[int] = []
    for number in np.argsort(-iou, kind="stable").tolist():
        if all(mask_iou(masks[number], masks[other], if_both_empty=1.0) <= _SAME for other in kept):
            kept.append(number)
    return np.array(sorted(kept), np.intp)


def _slices_rc(answer: PromptMasks) -> tuple[slice, slice]:
    """Return (rows, columns) of the region in the logits of the tile."""
    top, left, height, width = (side * CELL // LOGITS_STRIDE for side in answer.region)
    return slice(top, top + height), slice(left, left + width)
