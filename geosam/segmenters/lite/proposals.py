"""All objects of a tile: a click at every place that lies deepest inside of one, each mask once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy import ndimage

from geosam.segmenters.lite.mask_set import mask_set
from geosam.segmenters.lite.prompt_tensors import STRIDE, Asked
from geosam.segmenters.lite.refinement import outlines
from geosam.segmenters.masks import MaskSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.segmenters.lite.decoder import Decoder, Prepared
    from geosam.segmenters.segmenter import KeepRule

#: Least innerness of a place that is asked about.
LEAST_INNERNESS = 0.25
#: Side of the neighbourhood in which a place has to be the innermost, stride 4.
_APART = 5
#: Most places asked about in a tile of 1024 x 1024 pixels.
_MOST = 500
#: Places asked about together, and cells that are decoded together. Which ones these are depends on nothing but the
#: tile.
_AT_ONCE, _CELLS = 8, 1 << 13
#: A place is not asked about if it lies in a mask this good, and the end of a worse one is not looked for.
_GOOD = 0.5
#: A mask of which more than this lies in one that is better by so much shows nothing new. (One that is about as good is
#: an object in an object.)
_COVERED, _BETTER = 0.8, 0.1


def proposals(
    decoder: Decoder, known: tuple[Prepared, ...], innerness: NDArray[np.float32], valid: BoolArray, keep: KeepRule
) -> MaskSet:
    """Masks of the objects of a tile, best first, in an order that depends on nothing but pixels.

    Args:
        decoder: its norms are folded.
        known: what it has prepared of the tile.
        innerness: (h, w) at stride 4, 0 to 1: how far inside an object each place is.
        valid: (H, W) pixels of the tile that may belong to objects.
        keep: what is worth keeping; duplicates are told by their masks.
    """
    left = peaks(innerness, valid)
    settled = np.zeros(innerness.shape, bool)
    found: list[MaskSet] = []
    hw = (innerness.shape[0], innerness.shape[1])
    while len(left):
        left = left[~settled[left[:, 0], left[:, 1]]]
        now, left = left[:_AT_ONCE], left[_AT_ONCE:]
        for answer in outlines(decoder, known, [_click(place) for place in now], cells=_CELLS, worth=_GOOD):
            if answer.cut:
                continue
            masks = mask_set(answer, -1, valid, hw, multimask=False, keep=keep)
            found.append(masks)
            for row in np.flatnonzero(masks.predicted_iou >= _GOOD):
                _settle(settled, masks, int(row))
    masks = MaskSet.concatenate((valid.shape[0], valid.shape[1]), found)
    return masks.select(_different(masks, keep.max_duplicate_iou))


def peaks(innerness: NDArray[np.float32], valid: BoolArray) -> NDArray[np.intp]:
    """(N, 2) rows and columns at stride 4 of the places that lie deepest inside of something, deepest first."""
    smooth = ndimage.uniform_filter(innerness.astype(np.float64), 3, mode="nearest")
    seen = np.zeros(innerness.shape, bool)
    centres = valid[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    seen[: centres.shape[0], : centres.shape[1]] = centres
    smooth[~seen] = 0
    best = (smooth == ndimage.maximum_filter(smooth, _APART)) & (smooth > LEAST_INNERNESS)
    labels, count = ndimage.label(best, np.ones((3, 3), bool))
    _, first = np.unique(labels, return_index=True)  # a plateau is one place
    places = np.argwhere(np.ones(labels.shape, bool))[first[-count:]] if count else np.zeros((0, 2), np.intp)
    heights = smooth[tuple(places.T)]
    order = np.lexsort((places[:, 1], places[:, 0], -heights))
    return places[order[: max(1, round(_MOST * valid.size / 1024**2))]]


def _click(place: NDArray[np.intp]) -> Asked:
    """A click on the centre of a cell of stride 4."""
    row, col = place.tolist()
    point = np.array([[(col + 0.5) * STRIDE, (row + 0.5) * STRIDE]])
    return Asked(point, np.ones(1, np.int8), np.full(4, np.nan), None)


def _settle(settled: BoolArray, masks: MaskSet, row: int) -> None:
    """Mark the places whose centres lie in a mask."""
    x0, y0 = masks.boxes_xyxy[row, :2].tolist()
    half = STRIDE // 2
    col, first = -(-(x0 - half) // STRIDE), -(-(y0 - half) // STRIDE)
    inside = masks.masks[row][first * STRIDE + half - y0 :: STRIDE, col * STRIDE + half - x0 :: STRIDE]
    settled[first : first + inside.shape[0], col : col + inside.shape[1]] |= inside


def _different(masks: MaskSet, max_iou: float) -> NDArray[np.intp]:
    """The rows that are left, best first, when each drops all later ones that show the same, or hardly more."""
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


def _shared(masks: MaskSet, one: int, other: int) -> int:
    """Pixels that two masks have in common."""
    (left, top), (right, bottom) = (
        np.maximum(*masks.boxes_xyxy[[one, other], :2]).tolist(),
        np.minimum(*masks.boxes_xyxy[[one, other], 2:]).tolist(),
    )
    if left >= right or top >= bottom:
        return 0
    parts = []
    for row in (one, other):
        x0, y0 = masks.boxes_xyxy[row, :2].tolist()
        parts.append(masks.masks[row][top - y0 : bottom - y0, left - x0 : right - x0])
    return int(np.count_nonzero(parts[0] & parts[1]))
