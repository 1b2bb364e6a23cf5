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
    """Return the intersection over union of two masks of one shape, between 0 and 1."""
    union = np.count_nonzero(mask | other)
    return float(np.count_nonzero(mask & other) / union) if union else if_both_empty


def on_pixels(points_xy: Floats, mask: BoolArray) -> BoolArray:
    """Test for each of the points (K, 2), in corner-based pixels x, y, if it lies on a pixel of a mask (H, W).

    A point on the edge between two pixels lies on the right or lower one. Points outside of the mask lie on none.
    """
    height, width = mask.shape
    # `astype` alone would round -0.5 up to column 0.
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
    """Return the part (4,) of a box in a window whose valid pixels are (H, W).

    Return None if the box is missing (NaN) or has no valid pixel in it.
    """
    if np.isnan(box_xyxy).any():
        return None
    height, width = valid.shape
    x0, y0, x1, y1 = np.clip(box_xyxy, 0, [width, height, width, height])
    inside = valid[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
    return np.array([x0, y0, x1, y1]) if inside.any() else None
