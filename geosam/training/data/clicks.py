"""Simulated clicks and boxes, drawn from masks as users would give them: first, corrective and excluding.

Points are (x, y) and boxes (x0, y0, x1, y1) in corner-based pixels of the masks. The *depth* of a pixel is its distance
to the edge of the mask; the border of the array counts as an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from geosam.geometry.pixel_sets import box_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats

    #: Rows and columns.
    Pixels = tuple[slice, slice]

#: Shares of first clicks at the deepest pixel and among the deep pixels; the rest is anywhere in the object.
_DEEPEST, _DEEP = 0.3, 0.45
#: Least depth of a deep pixel, as a share of the greatest depth.
_DEEP_SHARE = 0.5
#: Mean distance by which the sides of a simulated box move outwards, in units of the noise.
_OUTWARDS = 0.5
#: Least distance of an excluding click from the object in pixels: labelled outlines may be a pixel or two off.
_CLEARANCE = 2
#: Greatest distance of an excluding click, as a share of the object's longer side: on a neighbour, and elsewhere.
_NEIGHBOURHOOD, _RIM = 0.5, 0.15
#: These distances are at least this many pixels.
_LEAST_REACH = 5


class Click(NamedTuple):
    """A point and its label."""

    x: float
    """Pixels to the right."""
    y: float
    """Pixels down."""
    label: int
    """1 includes, 0 excludes."""


def innermost(mask: BoolArray) -> tuple[float, float]:
    """Find the centre (x, y) of the deepest pixel of a mask (H, W), the first of several.

    Raises:
        ValueError: The mask is empty.
    """
    pixels = _bounds(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask[pixels], 1))[1:-1, 1:-1]
    x, y = _corner(int(np.argmax(depth)), pixels)
    return x + 0.5, y + 0.5


def random_click(mask: BoolArray, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a point (x, y) in a mask (H, W): at the deepest pixel, among the deep pixels, or anywhere.

    Raises:
        ValueError: The mask is empty.
    """
    pixels = _bounds(mask)
    kind = rng.random()
    if kind >= _DEEPEST + _DEEP:
        return _drawn(mask[pixels], pixels, rng)
    depth = _depth(mask[pixels])
    return _drawn(depth >= depth.max() * (1.0 if kind < _DEEPEST else _DEEP_SHARE), pixels, rng)


def corrective_click(
    target: BoolArray, predicted: BoolArray, rng: np.random.Generator | None = None, ignore: BoolArray | None = None
) -> Click | None:
    """Click into the largest 4-connected part that a prediction misses or has too much.

    Args:
        target: (H, W) mask of the object.
        predicted: (H, W) predicted mask.
        rng: Draws a deep pixel of the part; None takes the innermost.
        ignore: (H, W) pixels where any prediction is right.

    Returns:
        A click that includes where the object is missed and excludes elsewhere; None if nothing is wrong.
    """
    wrong = target != predicted if ignore is None else (target != predicted) & ~ignore
    if not wrong.any():
        return None
    pixels = _bounds(wrong)
    missed = wrong[pixels] & target[pixels]
    parts = [(_largest(part), label) for part, label in ((missed, 1), (wrong[pixels] & ~missed, 0))]
    (_, part), label = max(parts, key=lambda item: item[0][0])
    inner = _bounds(part)
    here = _shifted(inner, pixels)
    if rng is None:
        x, y = innermost(part[inner])
        return Click(x + here[1].start, y + here[0].start, label)
    depth = _depth(part[inner])
    return Click(*_drawn(depth >= _DEEP_SHARE * depth.max(), here, rng), label)


def jittered_box(mask: BoolArray, rng: np.random.Generator, amount: float) -> Floats:
    """Draw the box (4,) of a mask (H, W) as a user would: more often too large than too small, within the array.

    Args:
        mask: (H, W) mask of the object.
        rng: Source of the noise.
        amount: Noise of each side as a share of the box's width or height; at least 0 and less than 0.5.

    Raises:
        ValueError: The mask is empty, or `amount` is out of range.
    """
    if not 0 <= amount < 0.5:
        raise ValueError(f"`amount` out of range: found {amount}, expected at least 0 and less than 0.5")
    rows, cols = _bounds(mask)
    tight = np.array([cols.start, rows.start, cols.stop, rows.stop], np.float64)
    size = np.tile(tight[2:] - tight[:2], 2)
    # At most one unit inwards: with less than half of the size on each side, a box is never empty.
    outwards = np.clip(rng.normal(_OUTWARDS, 1, 4), -1, 2) * amount * size
    return np.clip(tight + outwards * (-1, -1, 1, 1), 0, np.tile(mask.shape[::-1], 2))


def negative_click(instances: NDArray[np.int32], number: int, rng: np.random.Generator) -> tuple[float, float] | None:
    """Draw a point (x, y) beside an object: on one of its neighbours, or just outside; None if there is no room.

    Args:
        instances: (H, W) number of the object that each pixel belongs to, 0 for none.
        number: Number of the object.
        rng: Source of every random choice.

    Raises:
        ValueError: The object has no pixel.
    """
    rows, cols = _bounds(instances == number)
    side = max(rows.stop - rows.start, cols.stop - cols.start)
    near = _reach(side * _NEIGHBOURHOOD)
    around = tuple(slice(max(0, span.start - near), span.stop + near) for span in (rows, cols))
    shown = instances[around]
    pixels = _shifted((slice(0, shown.shape[0]), slice(0, shown.shape[1])), (around[0], around[1]))
    distance = ndimage.distance_transform_cdt(shown != number, "chessboard")
    outside = (distance > _CLEARANCE) & (distance <= near)
    neighbours = outside & (shown > 0)
    rim = outside & (distance <= _reach(side * _RIM))
    choices = [place for place in (neighbours, rim) if place.any()]
    return _drawn(choices[int(rng.integers(len(choices)))], pixels, rng) if choices else None


def _bounds(mask: BoolArray) -> Pixels:
    """Find the rows and columns of the tight box of a mask (H, W)."""
    box = box_around(mask)
    if box is None:
        raise ValueError("the mask is empty: found 0 pixels, expected at least one")
    return box.slices_rc


def _shifted(inner: Pixels, outer: Pixels) -> Pixels:
    """Convert rows and columns of a part of an array, relative to the part `outer`, to those of the whole array."""
    rows, cols = (
        slice(part.start + whole.start, part.stop + whole.start) for part, whole in zip(inner, outer, strict=True)
    )
    return rows, cols


def _depth(crop: BoolArray) -> NDArray[np.int32]:
    """Compute the chessboard distance (H, W) to the nearest pixel outside of a mask (H, W)."""
    # Random clicks need no exact depth, and the Euclidean distance takes five times as long.
    depth: NDArray[np.int32] = ndimage.distance_transform_cdt(np.pad(crop, 1), "chessboard")[1:-1, 1:-1]
    return depth


def _largest(mask: BoolArray) -> tuple[int, BoolArray]:
    """Find the largest 4-connected component of a mask (H, W), the first of several: its area and its mask."""
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel(), minlength=2)[1:]
    value = int(np.argmax(areas)) + 1
    return int(areas[value - 1]), mask if count < 2 else labels == value


def _reach(distance: float) -> int:
    return max(_LEAST_REACH, round(distance))


def _drawn(mask: BoolArray, pixels: Pixels, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a point (x, y) anywhere in a mask (H, W), which shows the rows and columns `pixels` of the crop."""
    inside = np.flatnonzero(mask)
    x, y = _corner(int(inside[rng.integers(len(inside))]), pixels)
    return x + rng.random(), y + rng.random()


def _corner(flat: int, pixels: Pixels) -> tuple[int, int]:
    """Find the upper left corner (x, y) of the pixel with this index in the raveled part `pixels` of the crop."""
    rows, cols = pixels
    row, col = divmod(flat, cols.stop - cols.start)
    return cols.start + col, rows.start + row
