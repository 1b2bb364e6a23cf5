"""All objects of a tile: a click at the innermost point of each, duplicates removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy import ndimage

from geosam.segmenters.clipped_prompt import LOGITS_STRIDE, ClippedPrompt
from geosam.segmenters.lite.mask_set import mask_set
from geosam.segmenters.lite.refinement import outlines
from geosam.segmenters.masks import MaskSet

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Indexes, Singles
    from geosam.segmenters.lite.decoder import Decoder, LevelFeatures
    from geosam.segmenters.segmenter import KeepRule

#: Least innerness of a place that gets a click.
LEAST_INNERNESS = 0.25
#: Side of the neighbourhood in which a place must be the innermost, in cells of stride 4.
_APART = 5
#: Most clicks in a tile of 1024 x 1024 pixels.
_MOST = 500
#: Number of clicks, and of cells, that are decoded together. The batches depend on the tile only, and so do the masks.
_AT_ONCE, _CELLS = 8, 1 << 13
#: Predicted IoU of a good mask. Places inside it get no click, and only good masks are followed beyond their window.
_GOOD = 0.5
#: A mask is dropped if another one covers more than this share of it and is better by this much. A mask inside one
#: that is about as good stays: it is an object in an object.
_COVERED, _BETTER = 0.8, 0.1


def proposals(
    decoder: Decoder, features: tuple[LevelFeatures, ...], innerness: Singles, valid: BoolArray, keep: KeepRule
) -> MaskSet:
    """Return masks of the objects of a tile, best first. Their order depends on the pixels only.

    Args:
        decoder: decoder with folded norms.
        features: features of the tile at strides 4, 8, 16.
        innerness: (h, w) at stride 4: 1 at the innermost point of an object, 0 at its edge and outside.
        valid: (H, W) pixels of the tile that may belong to objects.
        keep: thresholds for the masks. `max_duplicate_iou` compares masks here, not boxes.
    """
    places = peaks(innerness, valid)
    covered = np.zeros(innerness.shape, bool)
    parts: list[MaskSet] = []
    logits_hw = (innerness.shape[0], innerness.shape[1])
    while len(places):
        places = places[~covered[places[:, 0], places[:, 1]]]
        batch, places = places[:_AT_ONCE], places[_AT_ONCE:]
        for answer in outlines(decoder, features, [_click(place) for place in batch], cells=_CELLS, min_iou=_GOOD):
            if answer.cut:  # a bad mask that ends at its window, where no object ends
                continue
            masks = mask_set(answer, -1, valid, logits_hw, multimask=False, keep=keep)
            parts.append(masks)
            for row in np.flatnonzero(masks.predicted_iou >= _GOOD):
                _cover(covered, masks, int(row))
    masks = MaskSet.concatenate((valid.shape[0], valid.shape[1]), parts)
    return masks.select(_distinct(masks, keep.max_duplicate_iou))


def peaks(innerness: Singles, valid: BoolArray) -> Indexes:
    """Return rows and columns (N, 2) at stride 4 of the innermost places of objects, innermost first."""
    smooth = ndimage.uniform_filter(innerness.astype(np.float64), 3, mode="nearest")
    visible = np.zeros(innerness.shape, bool)
    centres = valid[LOGITS_STRIDE // 2 :: LOGITS_STRIDE, LOGITS_STRIDE // 2 :: LOGITS_STRIDE]
    visible[: centres.shape[0], : centres.shape[1]] = centres
    smooth[~visible] = 0
    highest = (smooth == ndimage.maximum_filter(smooth, _APART)) & (smooth > LEAST_INNERNESS)
    labels, count = ndimage.label(highest, np.ones((3, 3), bool))
    _, first = np.unique(labels, return_index=True)  # a plateau is one place
    places = np.argwhere(np.ones(labels.shape, bool))[first[-count:]] if count else np.zeros((0, 2), np.intp)
    heights = smooth[tuple(places.T)]
    order = np.lexsort((places[:, 1], places[:, 0], -heights))
    return places[order[: max(1, round(_MOST * valid.size / 1024**2))]]


def _click(place: Indexes) -> ClippedPrompt:
    """Return a click on the centre of a cell (row, column) of stride 4."""
    row, col = place.tolist()
    point = np.array([[(col + 0.5) * LOGITS_STRIDE, (row + 0.5) * LOGITS_STRIDE]])
    return ClippedPrompt(point, np.ones(1, np.int8), None, None)


def _cover(covered: BoolArray, masks: MaskSet, row: int) -> None:
    """Mark the cells (h, w) of stride 4 whose centres lie in a mask."""
    x0, y0 = masks.boxes_xyxy[row, :2].tolist()
    step, half = LOGITS_STRIDE, LOGITS_STRIDE // 2
    col, first = -(-(x0 - half) // step), -(-(y0 - half) // step)
    inside = masks.masks[row][first * step + half - y0 :: step, col * step + half - x0 :: step]
    covered[first : first + inside.shape[0], col : col + inside.shape[1]] |= inside


def _distinct(masks: MaskSet, max_iou: float) -> Indexes:
    """Return the rows, best first, that neither repeat nor lie inside a better row."""
    boxes, areas, iou = masks.boxes_xyxy.astype(np.float64), masks.areas_px, masks.predicted_iou.astype(np.float64)
    order = np.lexsort((-areas, *boxes.T[[2, 3, 0, 1]], -iou))
    tree = shapely.STRtree(shapely.box(*boxes.T))
    kept = np.zeros(len(masks), bool)
    for row in order.tolist():
        near = tree.query(tree.geometries[row])
        shared = {other: _shared(masks, row, other) for other in near[kept[near]].tolist()}
        kept[row] = all(
            common <= max_iou * (areas[row] + areas[other] - common)
            and (common <= _COVERED * areas[row] or iou[other] < iou[row] + _BETTER)
            for other, common in shared.items()
        )
    return order[kept[order]]


def _shared(masks: MaskSet, row: int, other: int) -> int:
    """Count the pixels that two masks have in common."""
    (left, top), (right, bottom) = (
        np.maximum(*masks.boxes_xyxy[[row, other], :2]).tolist(),
        np.minimum(*masks.boxes_xyxy[[row, other], 2:]).tolist(),
    )
    if left >= right or top >= bottom:
        return 0
    parts = []
    for number in (row, other):
        x0, y0 = masks.boxes_xyxy[number, :2].tolist()
        parts.append(masks.masks[number][top - y0 : bottom - y0, left - x0 : right - x0])
    return int(np.count_nonzero(parts[0] & parts[1]))
