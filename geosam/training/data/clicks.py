"""Prompts as users give them, made up from masks: first, corrective and excluding clicks, and boxes.

Points are (x, y) and boxes (x0, y0, x1, y1) in corner-based pixels of the crop that the masks are of; a pixel is *deep*
when the mask's edge is far, and the crop's border counts as an edge. Where a generator draws the point, depth is taken
in the chessboard metric, which costs a fifth of the Euclidean one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from geosam.geometry.pixel_sets import box_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    BoolArray = NDArray[np.bool_]
    Pixels = tuple[slice, slice]

#: How first clicks divide: at the deepest pixel, among the deep ones; the others anywhere in the object.
_DEEPEST, _DEEP = 0.3, 0.45
#: Least depth of deep pixels as a share of the greatest.
_DEEP_SHARE = 0.5
#: Sides of drawn boxes move outwards by this on average, in units of the noise, and by at most one inwards, two out.
_OUTWARDS = 0.5
#: Excluding clicks keep this distance (pixels) from the object, whose outline may be a pixel or two off.
_CLEARANCE = 2
#: How far from the object excluding clicks fall, as a share of its longer side: on its neighbours, elsewhere.
_NEIGHBOURHOOD, _RIM = 0.5, 0.15
#: The least reach of excluding clicks, pixels.
_LEAST_REACH = 5


class Click(NamedTuple):
    """A point and what it says."""

    x: float
    """To the right."""
    y: float
    """Down."""
    label: int
    """1 includes, 0 excludes."""


def innermost(mask: BoolArray) -> tuple[float, float]:
    """The centre of the pixel of a mask (H, W) that is farthest from its edge; of equal ones the first counts.

    Raises:
        ValueError: the mask is empty.
    """
    pixels = _bounds(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask[pixels], 1))[1:-1, 1:-1]
    x, y = _corner(int(np.argmax(depth)), pixels)
    return x + 0.5, y + 0.5


def random_click(mask: BoolArray, rng: np.random.Generator) -> tuple[float, float]:
    """A point in a mask (H, W), mostly well inside: at the deepest pixel, among the deep ones, or anywhere.

    Raises:
        ValueError: the mask is empty.
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
    """The click that mends most: in the largest 4-connected part that a prediction misses or has too much.

    Args:
        target: (H, W) the object.
        predicted: (H, W) what was found.
        rng: draws a deep pixel of that part; None takes the innermost.
        ignore: (H, W) pixels where any answer is right.

    Returns:
        The click, including where the object was missed; None where nothing is wrong.
    """
    wrong = target != predicted if ignore is None else (target != predicted) & ~ignore
    if not wrong.any():
        return None
    pixels = _bounds(wrong)
    missed = wrong[pixels] & target[pixels]
    found = [(_largest(part), label) for part, label in ((missed, 1), (wrong[pixels] & ~missed, 0))]
    (_, part), label = max(found, key=lambda item: item[0][0])
    inner = _bounds(part)
    here = _shifted(inner, pixels)
    if rng is None:
        x, y = innermost(part[inner])
        return Click(x + here[1].start, y + here[0].start, label)
    depth = _depth(part[inner])
    return Click(*_drawn(depth >= _DEEP_SHARE * depth.max(), here, rng), label)


def jittered_box(mask: BoolArray, rng: np.random.Generator, amount: float) -> NDArray[np.float64]:
    """The box (4,) of a mask (H, W) as a user draws it, rather too large than too small, within the crop.

    Each side moves by noise of `amount` (at least 0, less than 0.5) times the box's width or height.

    Raises:
        ValueError: the mask is empty, or `amount` is out of range.
    """
    if not 0 <= amount < 0.5:
        raise ValueError(f"amount in [0, 0.5) expected, got {amount}")
    rows, cols = _bounds(mask)
    tight = np.array([cols.start, rows.start, cols.stop, rows.stop], np.float64)
    size = np.tile(tight[2:] - tight[:2], 2)
    outwards = np.clip(rng.normal(_OUTWARDS, 1, 4), -1, 2) * amount * size
    return np.clip(tight + outwards * (-1, -1, 1, 1), 0, np.tile(mask.shape[::-1], 2))


def negative_click(instances: NDArray[np.int32], number: int, rng: np.random.Generator) -> tuple[float, float] | None:
    """A point that is not on an object: on one of its neighbours, or just outside of it; None where there is no room.

    Args:
        instances: (H, W) the number of the object each pixel belongs to, 0 for none.
        number: of the object; it has pixels.
        rng: draws.

    Raises:
        ValueError: the object has no pixel.
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
    """The rows and columns of a mask (H, W) that have a pixel in them."""
    box = box_around(mask)
    if box is None:
        raise ValueError("a mask with a pixel in it expected, got an empty one")
    return box.slices_rc


def _shifted(inner: Pixels, outer: Pixels) -> Pixels:
    """Rows and columns of a part of `outer`, counted as those of `outer` are."""
    rows, cols = (
        slice(part.start + whole.start, part.stop + whole.start) for part, whole in zip(inner, outer, strict=True)
    )
    return rows, cols


def _depth(crop: BoolArray) -> NDArray[np.int32]:
    """(H, W) chessboard distance to the nearest pixel outside of a mask (H, W)."""
    depth: NDArray[np.int32] = ndimage.distance_transform_cdt(np.pad(crop, 1), "chessboard")[1:-1, 1:-1]
    return depth


def _largest(mask: BoolArray) -> tuple[int, BoolArray]:
    """The largest 4-connected component of a mask (H, W), after its number of pixels; of equal ones the first."""
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel(), minlength=2)[1:]
    value = int(np.argmax(areas)) + 1
    return int(areas[value - 1]), mask if count < 2 else labels == value


def _reach(distance: float) -> int:
    return max(_LEAST_REACH, round(distance))


def _drawn(mask: BoolArray, pixels: Pixels, rng: np.random.Generator) -> tuple[float, float]:
    """A point anywhere in a mask (H, W), which shows the rows and columns `pixels` of the crop."""
    inside = np.flatnonzero(mask)
    x, y = _corner(int(inside[rng.integers(len(inside))]), pixels)
    return x + rng.random(), y + rng.random()


def _corner(flat: int, pixels: Pixels) -> tuple[int, int]:
    """The upper left corner (x, y) of the pixel with this index in the raveled part `pixels` of the crop."""
    rows, cols = pixels
    row, col = divmod(flat, cols.stop - cols.start)
    return cols.start + col, rows.start + row
