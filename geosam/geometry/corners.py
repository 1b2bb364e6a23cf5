"""Corners: the boundary of a set of pixels in a form that is sparse, exact and additive.

At every lattice vertex the mixed second difference of the mask ``m`` is taken::

    w(x, y) = m[y, x] - m[y - 1, x] - m[y, x - 1] + m[y - 1, x - 1]

It is zero except where the outline turns, so a mask becomes the short list of its corners. No vertex is left on a
straight edge or a tile border. The form is linear: the corners of two disjoint pixel sets, added vertex by vertex,
are the corners of their union, and edges that two tiles share cancel. Summing along both axes gives the mask back.

An array of corners is ``(K, 3)`` int32 with columns x, y, w; in canonical order, by (y, x), and without zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geosam.geometry.geobox import Window

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Integers

Corners: TypeAlias = NDArray[np.int32]
"""Corners (K, 3) with columns x, y, w."""

#: Corners of no pixel.
NO_CORNERS: Corners = np.zeros((0, 3), np.int32)


def corners_of(mask: BoolArray, col_off: int, row_off: int) -> Corners:
    """Return the corners of a mask (H, W) whose first pixel is scene pixel (`col_off`, `row_off`)."""
    height, width = mask.shape
    framed = np.zeros((height + 2, width + 2), np.int8)  # so that outlines along the rim have corners, too
    framed[1:-1, 1:-1] = mask
    rows = framed[1:] - framed[:-1]
    weights = rows[:, 1:] - rows[:, :-1]
    turns = np.flatnonzero(weights != 0)
    y, x = np.divmod(turns, width + 1)
    corners = np.empty((len(turns), 3), np.int32)
    corners[:, 0], corners[:, 1], corners[:, 2] = x + col_off, y + row_off, weights.ravel()[turns]
    return corners


def add(parts: Sequence[Corners]) -> Corners:
    """Return the corners of the union of disjoint pixel sets, in canonical order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NO_CORNERS
    corners = np.concatenate(parts)
    corners = corners[np.lexsort((corners[:, 0], corners[:, 1]))]  # by y, then x: the last key counts first
    first = np.ones(len(corners), bool)
    first[1:] = (corners[1:, :2] != corners[:-1, :2]).any(axis=1)
    starts = np.flatnonzero(first)
    merged: Corners = corners[starts]
    merged[:, 2] = np.add.reduceat(corners[:, 2], starts) if len(starts) else 0
    nonzero: Corners = merged[merged[:, 2] != 0]
    return nonzero


def unite(parts: Sequence[Corners]) -> Corners:
    """Return the corners of the union of pixel sets that may overlap.

    Their common box is rasterized, so it must be small.
    """
    total = add([part for part in parts if len(part)])
    if len(parts) < 2 or not len(total):
        return total
    window = bounds(total)
    times_covered = _summed(total, window)
    if times_covered.max() == 1:  # disjoint after all: the sum is the union
        return total
    return corners_of(times_covered > 0, window.col_off, window.row_off)


def mask_of(corners: Corners, window: Window) -> BoolArray:
    """Return the pixels (H, W) of `window` that the corners enclose; all corners must lie in the window."""
    return np.asarray(_summed(corners, window) > 0)


def bounds(corners: Corners) -> Window:
    """Return the smallest window around a set of at least one pixel, given by its canonical corners."""
    x, y = corners[:, 0], corners[:, 1]
    x0, y0 = int(x.min()), int(y[0])
    return Window(x0, y0, int(x.max()) - x0, int(y[-1]) - y0)


def area(corners: Corners) -> int:
    """Count the pixels that corners enclose."""
    x, y, weight = corners.astype(np.int64).T
    # A corner at (x, y) switches all pixels right of it and below it. Up to a far vertex (X, Y) these are
    # (X - x) * (Y - y) pixels; all terms with X or Y cancel, because the weights sum to 0 in every row and column.
    return int(np.dot(x * y, weight))


@dataclass(frozen=True, eq=False)
class Rings:
    """Closed outlines of many objects, in integer scene pixels."""

    xy: NDArray[np.int32]
    """Vertices (V, 2), ring after ring, the first of each ring not repeated."""
    starts: Integers
    """First vertex of each ring (R,); a ring starts at its first vertex by (y, x)."""
    owner: Integers
    """Number of the object of each ring (R,), not decreasing."""
    is_hole: BoolArray
    """True for rings that bound a hole (R,)."""


def trace(objects: Sequence[Corners]) -> Rings:
    """Trace the outlines of objects given by their canonical corners.

    Interiors are 4-connected: where two pixels meet only at a vertex, two rings pass it. No ring visits a vertex
    twice, as OGC simple features demand. Shells run clockwise on the screen (y down), holes counter-clockwise.
    """
    counts = [len(corners) for corners in objects]
    corners = np.concatenate(objects) if objects else NO_CORNERS
    owner = np.repeat(np.arange(len(counts)), counts)
    nodes = _Nodes.of(corners)
    order, starts = _cycles(nodes.following(corners, owner))
    vertices = nodes.corner[order]
    vertices, starts = _without_touches(vertices, starts, corners[:, 2])
    xy = corners[vertices, :2]
    return Rings(xy, starts, owner[vertices[starts]], _signed_area(xy, starts) < 0)


def _summed(corners: Corners, window: Window) -> NDArray[np.int32]:
    """Count how often each pixel (H, W) of the window is enclosed."""
    weights = np.zeros((window.height + 1, window.width + 1), np.int32)
    weights[corners[:, 1] - window.row_off, corners[:, 0] - window.col_off] = corners[:, 2]
    inside: NDArray[np.int32] = weights.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    return inside[:-1, :-1]


@dataclass(frozen=True, eq=False)
class _Nodes:
    """Points that rings pass: a corner is one node, or two if two pixels meet diagonally there (weight +2 or -2).

    Then each pixel has a node of its own, and the node of the lower pixel follows the node of the upper one.
    """

    corner: Integers
    """Corner of each node (M,)."""
    upper: Integers
    """Node of each corner (K,), or of the upper pixel at it."""
    lower: Integers
    """Same node (K,), or the node of the lower pixel."""

    @classmethod
    def of(cls, corners: Corners) -> _Nodes:
        double = np.abs(corners[:, 2]) == 2  # two pixels that meet diagonally
        upper = np.arange(len(corners)) + np.cumsum(double) - double
        return cls(np.repeat(np.arange(len(corners)), 1 + double), upper, upper + double)

    def following(self, corners: Corners, owner: Integers) -> NDArray[np.int32]:
        """Return for every node (M,) the next one on its ring, with the interior on the right hand (y down)."""
        x, y, weight = corners.T
        to_left = np.where(weight == -2, self.lower, self.upper)
        to_right = np.where(weight == 2, self.lower, self.upper)
        following = np.empty(len(self.corner), np.int32)

        side = np.cumsum(weight[:-1])  # +1: the pixels below the run to the next corner are set, -1: those above
        top, bottom = np.flatnonzero(side == 1), np.flatnonzero(side == -1)
        following[to_right[top]] = to_left[top + 1]
        following[to_left[bottom + 1]] = to_right[bottom]

        order = np.argsort(_column_key(x, y, owner))
        side = np.cumsum(weight[order][:-1])  # +1: the pixels right of the run are set, -1: those left
        here, after = order[:-1], order[1:]
        left, right = side == 1, side == -1
        following[self.upper[after[left]]] = self.lower[here[left]]
        following[self.lower[here[right]]] = self.upper[after[right]]
        return following


def _column_key(x: NDArray[np.int32], y: NDArray[np.int32], owner: Integers) -> Integers:
    """Return numbers (K,) that sort corners by owner, then x, then y; one key sorts much faster than three."""
    if not len(x):
        return np.zeros(0, np.int64)
    x, y = x.astype(np.int64) - x.min(), y.astype(np.int64) - y.min()
    return np.asarray((owner * (int(x.max()) + 1) + x) * (int(y.max()) + 1) + y)


def _cycles(following: NDArray[np.int32]) -> tuple[Integers, Integers]:
    """Return the nodes (M,) ring by ring, and the start of each ring (R,).

    Rings begin at their first node, and are sorted by it. The method is pointer jumping (Wyllie 1979): after k rounds
    every node has seen the 2^k nodes that follow it, so a ring of M nodes takes log2(M) rounds and no Python loop.
    """
    count = len(following)
    nodes = np.arange(count, dtype=np.int32)
    first, ahead = nodes, following
    while True:
        earliest = np.minimum(first, first[ahead])
        if (earliest == first).all():
            break
        first, ahead = earliest, ahead[ahead]
    last = following == first  # the next node would be the ring's first again
    # `left` counts the steps from a node to the last one of its ring, which points at itself.
    left, ahead = np.where(last, 0, 1).astype(np.int32), np.where(last, nodes, following)
    while (step := left[ahead]).any():
        left, ahead = left + step, ahead[ahead]
    starts_at = np.flatnonzero(first == nodes)
    lengths = left[starts_at] + 1
    starts = np.cumsum(lengths) - lengths
    ring = np.searchsorted(starts_at, first)
    order = np.empty(count, np.int64)
    order[starts[ring] + lengths[ring] - 1 - left] = nodes
    return order, starts


def _without_touches(vertices: Integers, starts: Integers, weight: NDArray[np.int32]) -> tuple[Integers, Integers]:
    """Cut rings that pass a vertex twice into rings that do not; rings stay sorted by their first vertex."""
    ring = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(vertices))))
    at_double = np.abs(weight[vertices]) == 2
    passed = np.stack([vertices[at_double], ring[at_double]], axis=1)
    passed = passed[np.lexsort(passed.T)]
    touching = {int(number) for _, number in passed[1:][(passed[1:] == passed[:-1]).all(axis=1)]}
    if not touching:
        return vertices, starts
    rings: list[Any] = []
    for number, part in enumerate(np.split(vertices, starts[1:])):
        rings.extend(_cut(part.tolist()) if number in touching else [part])
    rings.sort(key=lambda part: int(part[0]))
    lengths = np.array([len(part) for part in rings])
    return np.concatenate([np.asarray(part, np.int64) for part in rings]), np.cumsum(lengths) - lengths


def _cut(ring: list[int]) -> list[list[int]]:
    """Cut one ring into rings without a repeated vertex."""
    finished: list[list[int]] = []
    path: list[int] = []
    position: dict[int, int] = {}
    for vertex in ring:
        if vertex not in position:
            position[vertex] = len(path)
            path.append(vertex)
            continue
        cut = position[vertex]
        loop, path = path[cut:], path[: cut + 1]
        for passed in loop[1:]:
            del position[passed]
        first = loop.index(min(loop))
        finished.append(loop[first:] + loop[:first])
    return [path, *finished]


def _signed_area(xy: NDArray[np.int32], starts: Integers) -> Integers:
    """Return twice the area of each ring, positive for shells."""
    if not len(starts):
        return np.zeros(0, np.int64)
    x, y = xy.astype(np.int64).T
    after = np.arange(1, len(xy) + 1)
    after[np.append(starts[1:], len(xy)) - 1] = starts
    return np.asarray(np.add.reduceat(x * y[after] - x[after] * y, starts))
