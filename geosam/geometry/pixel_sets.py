"""Sets of pixels: the box of a mask, the agreement of two masks, points on pixels, boxes clipped to a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geosam.geometry.geobox import Window

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Floats, Labels


def box_around(mask: BoolArray) -> Window | None:
    """Return the smallest window around the pixels of a mask (H, W), or None if the mask is empty."""
    # Two reductions of the mask are faster than the coordinates of all its pixels.
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    col, row = int(cols[0]), int(rows[0])
    return Window(col, row, int(cols[-1]) + 1 - col, int(rows[-1]) + 1 - row)


def mask_iou(mask: BoolArray, other: BoolArray, *, if_both_empty: float = 0.0) -> float:
    """Return the intersection over union of two masks (H, W) of one shape, in 0 .. 1.

    Args:
        mask: a mask.
        other: the other mask.
        if_both_empty: result for two masks without a pixel.
    """
    union = np.count_nonzero(mask | other)
    return float(np.count_nonzero(mask & other) / union) if union else if_both_empty


def on_pixels(points_xy: Floats, mask: BoolArray) -> BoolArray:
    """Test which points (K, 2) lie on a pixel of a mask (H, W); return (K,).

    Points are corner-based pixels x, y. A point on the edge between two pixels belongs to the right or lower one. A
    point outside the array lies on no pixel.
    """
    height, width = mask.shape
    # `floor` is needed: `astype` alone would turn -0.5 into column 0.
    cols, rows = np.floor(points_xy).astype(np.int64).T
    inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
    inside[inside] = mask[rows[inside], cols[inside]]
    return np.asarray(inside)


def labels_at(labels: Labels, points_xy: Floats) -> Labels:
    """Return the labels (k,) of a map (H, W) under points (K, 2), in their order; points outside are left out."""
    height, width = labels.shape
    cols, rows = np.floor(points_xy).astype(np.int64).T
    inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
    return np.asarray(labels[rows[inside], cols[inside]])


def pixels_in_box(box_xyxy: Floats) -> tuple[slice, slice]:
    """Return the rows and columns that a box (4,) touches, without those before the first of the window."""
    x0, y0 = np.maximum(np.floor(box_xyxy[:2]), 0).astype(int).tolist()
    x1, y1 = np.maximum(np.ceil(box_xyxy[2:]), 0).astype(int).tolist()
    return slice(y0, y1), slice(x0, x1)


def clip_box(box_xyxy: Floats, valid: BoolArray) -> Floats | None:
    """Clip a box to its window.

    Args:
        box_xyxy: x0, y0, x1, y1 in corner-based pixels of the window; NaN if there is no box.
        valid: valid pixels (H, W) of the window.

    Returns:
        The clipped box (4,); None if there is no box, or no valid pixel in it.
    """
    if np.isnan(box_xyxy).any():
        return None
    height, width = valid.shape
    x0, y0, x1, y1 = np.clip(box_xyxy, 0, [width, height, width, height])
    inside = valid[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
    return np.array([x0, y0, x1, y1]) if inside.any() else None
