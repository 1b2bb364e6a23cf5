"""From the network's answer to the masks of a tile: which of the three, how fine they are, and their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from geosam.geometry.pixel_sets import mask_iou
from geosam.segmenters.lite.prompt_tensors import STRIDE, SURE
from geosam.segmenters.lite.refinement import CELL
from geosam.segmenters.masks import Granularity, MaskSet
from geosam.segmenters.sam.upsampling import masks_from_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.segmenters.lite.refinement import Outlined
    from geosam.segmenters.segmenter import KeepRule

#: Logits that are handed on to the next click end here, as they did when the network learnt.
_LIMIT = 16.0
#: Of two masks of one prompt that agree more than this, the one of higher predicted IoU stays.
_SAME = 0.95


def mask_set(
    answer: Outlined, row: int, valid: BoolArray, logits_hw: tuple[int, int], *, multimask: bool, keep: KeepRule | None
) -> MaskSet:
    """The masks that answer one prompt; those without a valid pixel are left out.

    Args:
        answer: the network's.
        row: number of the prompt, -1 for a proposal.
        valid: (H, W) pixels of the tile that may belong to objects.
        logits_hw: size of the tile's logits, which reach over it where its sides are no multiples of 32.
        multimask: up to three masks, which differ; else the one of highest predicted IoU.
        keep: worse masks are left out. Logits for the next click come with masks that no rule has filtered.
    """
    by_area = np.argsort(np.count_nonzero(answer.logits > 0, axis=(1, 2)), kind="stable")
    iou = np.clip(answer.iou[by_area], 0, 1)
    levels = _different(answer.logits[by_area] > 0, iou) if multimask else np.array([iou.argmax()])
    alone = len(levels) == 1
    if keep is not None:
        levels = levels[iou[levels] >= keep.min_predicted_iou]
    logits = np.full((len(levels), *logits_hw), -SURE, np.float32)
    logits[:, *_places(answer)] = np.clip(answer.logits[by_area[levels]], -_LIMIT, _LIMIT)
    shape_hw = (valid.shape[0], valid.shape[1])
    least = None if keep is None else keep.min_stability
    masks = masks_from_logits(torch.from_numpy(logits), shape_hw, valid, min_stability=least)
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


def _different(masks: BoolArray, iou: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of the masks (3, h, w) are left when each drops those of lower expected IoU that are nearly the same."""
    kept: list[int] = []
    for number in np.argsort(-iou, kind="stable").tolist():
        if all(mask_iou(masks[number], masks[other], if_both_empty=1.0) <= _SAME for other in kept):
            kept.append(number)
    return np.array(sorted(kept), np.intp)


def _places(answer: Outlined) -> tuple[slice, slice]:
    """(rows, columns) of an answer in the logits of the tile."""
    top, left, height, width = (side * CELL // STRIDE for side in answer.region)
    return slice(top, top + height), slice(left, left + width)
