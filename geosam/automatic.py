"""All masks of one tile: what the segmenter proposes, or what a grid of points prompts out of it.

The point grid is SAM's automatic mask generator (segment_anything/automatic_mask_generator.py) with one change:
points are anchored to scene pixels, so that neighbouring tiles ask at the same places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from geosam.masks import MaskSet
from geosam.prompts import PixelPrompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geosam.corners import BoolArray
    from geosam.geobox import Window
    from geosam.segmenter import Embedding, KeepRule, Segmenter

#: Prompts decoded at once.
_BATCH = 64


def segment_tile(
    segmenter: Segmenter,
    embedding: Embedding,
    window: Window,
    valid: BoolArray,
    keep: KeepRule,
    *,
    spacing_px: int = 32,
) -> MaskSet:
    """Masks of the tile at `window`, without duplicates, in an order that depends on nothing but the masks.

    Args:
        segmenter: made the embedding.
        embedding: of the tile.
        window: where the tile lies, scene pixels.
        valid: (H, W) pixels that may be prompted.
        keep: what is worth keeping.
        spacing_px: distance of the grid's points in scene pixels.
    """
    proposed = segmenter.propose(embedding, keep)
    if proposed is not None:
        return proposed
    points = _grid_points(window, valid, spacing_px)
    decoded = [
        segmenter.decode(embedding, _single_points(batch), multimask=True, keep=keep) for batch in _batches(points)
    ]
    masks = MaskSet.concatenate(valid.shape, decoded)
    good = (masks.predicted_iou >= keep.min_predicted_iou) & (masks.stability_score >= keep.min_stability)
    return _without_duplicates(masks.select(good), keep.max_duplicate_iou)


def _grid_points(window: Window, valid: BoolArray, spacing: int) -> NDArray[np.float64]:
    """(N, 2) corner-based window pixels of the scene-wide lattice that lie on valid pixels."""
    x = _lattice(window.col_off, window.width, spacing)
    y = _lattice(window.row_off, window.height, spacing)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    cols, rows = points.astype(np.intp).T
    return points[valid[rows, cols]]


def _lattice(begin: int, length: int, spacing: int) -> NDArray[np.float64]:
    first = -(-(begin - spacing // 2) // spacing) * spacing + spacing // 2
    return np.arange(first, begin + length, spacing, dtype=np.float64) - begin + 0.5


def _batches(points: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(points), _BATCH):
        yield points[start : start + _BATCH]


def _single_points(points: NDArray[np.float64]) -> PixelPrompts:
    count = len(points)
    one = np.ones(1, np.int8)
    return PixelPrompts(tuple(points[:, None]), (one,) * count, np.full((count, 4), np.nan), (None,) * count)


def _without_duplicates(masks: MaskSet, max_iou: float) -> MaskSet:
    """The best of every set of masks whose boxes agree; ties go to the first box, then the larger mask.

    Equal masks are one mask at any `max_iou`; different ones may share a box when it is 1.
    """
    boxes = masks.boxes_xyxy.astype(np.float64)
    order = np.lexsort((-masks.areas_px, *boxes.T[[2, 3, 0, 1]], -masks.predicted_iou.astype(np.float64)))
    tree = shapely.STRtree(shapely.box(*boxes.T))
    dropped = np.zeros(len(masks), bool)
    kept: dict[tuple[bytes, bytes], int] = {}
    for row in order:
        mask = boxes[row].tobytes(), masks.masks[row].tobytes()
        if dropped[row] or mask in kept:
            continue
        kept[mask] = row
        near = tree.query(tree.geometries[row])
        dropped[near[_box_iou(boxes[row], boxes[near]) > max_iou]] = True
    return masks.select(np.array(list(kept.values()), np.intp))


def _box_iou(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return np.asarray(shared / (areas + (box[2:] - box[:2]).prod() - shared))
