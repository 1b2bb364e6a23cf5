"""The corner form of a set of pixels: its boundary, sparse, exact and additive.

At every lattice vertex the mixed second difference of the mask ``m`` is taken::

    w(x, y) = m[y, x] - m[y - 1, x] - m[y, x - 1] + m[y - 1, x - 1]

It is zero except where the outline turns, so a mask becomes the short list of its corners, without a vertex that a
tile border or a straight edge would leave. The form is linear: the corners of two disjoint pixel sets added vertex
by vertex are the corners of their union, and edges that two tiles share cancel. Summing twice gives the mask back.

An array of corners is ``(K, 3)`` int32 with columns x, y, w; in canonical order, by (y, x), and without zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geosam.geobox import Window

BoolArray = NDArray[np.bool_]
Corners = NDArray[np.int32]

NO_CORNERS: Corners = np.zeros((0, 3), np.int32)


def corners_of(mask: BoolArray, col_off: int, row_off: int) -> Corners:
    """Corners of a mask (H, W) whose first pixel is scene pixel (`col_off`, `row_off`)."""
    height, width = mask.shape
    framed = np.zeros((height + 2, width + 2), np.int8)
    framed[1:-1, 1:-1] = mask
    rows = framed[1:] - framed[:-1]
    weights = rows[:, 1:] - rows[:, :-1]
    found = np.flatnonzero(weights != 0)
    y, x = np.divmod(found, width + 1)
    corners = np.empty((len(found), 3), np.int32)
    corners[:, 0], corners[:, 1], corners[:, 2] = x + col_off, y + row_off, weights.ravel()[found]
    return corners


def add(parts: Sequence[Corners]) -> Corners:
    """Corners of the union of disjoint pixel sets, in canonical order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NO_CORNERS
    corners = np.concatenate(parts)
    corners = corners[np.lexsort((corners[:, 0], corners[:, 1]))]
    first = np.ones(len(corners), bool)
    first[1:] = (corners[1:, :2] != corners[:-1, :2]).any(axis=1)
    starts = np.flatnonzero(first)
    merged: Corners = corners[starts]
    merged[:, 2] = np.add.reduceat(corners[:, 2], starts) if len(starts) else 0
    nonzero: Corners = merged[merged[:, 2] != 0]
    return nonzero


def unite(parts: Sequence[Corners]) -> Corners:
    """Corners of the union of pixel sets that may overlap; their common box is rasterized, so it must be small."""
    total = add([part for part in parts if len(part)])
    if len(parts) < 2 or not len(total):
        return total
    window = bounds(total)
    times_covered = _summed(total, window)
    if times_covered.max() == 1:
        return total
    return corners_of(times_covered > 0, window.col_off, window.row_off)


def mask_of(corners: Corners, window: Window) -> BoolArray:
    """The pixels (H, W) of `window` that the corners enclose; all corners must lie in the window."""
    return np.asarray(_summed(corners, window) > 0)


def bounds(corners: Corners) -> Window:
    """The smallest window around at least one pixel."""
    x0, y0 = corners[:, :2].min(axis=0).tolist()
    x1, y1 = corners[:, :2].max(axis=0).tolist()
    return Window(x0, y0, x1 - x0, y1 - y0)


def area(corners: Corners) -> int:
    """Number of pixels enclosed."""
    wide = corners.astype(np.int64)
    return int((wide[:, 0] * wide[:, 1] * wide[:, 2]).sum())


@dataclass(frozen=True, eq=False)
class Rings:
    """Closed outlines of many objects, in integer scene pixels."""

    xy: NDArray[np.int32]
    """(V, 2) vertices, ring after ring, the first of each ring not repeated."""
    starts: NDArray[np.int64]
    """(R,) first vertex of each ring; a ring starts at its first vertex by (y, x)."""
    owner: NDArray[np.int64]
    """(R,) which object a ring belongs to, not decreasing."""
    is_hole: NDArray[np.bool_]
    """(R,) whether the ring bounds a hole."""


def trace(objects: Sequence[Corners]) -> Rings:
    """Outlines of objects given by their canonical corners.

    Interiors are 4-connected: where two pixels meet at a vertex only, two rings pass it. No ring visits a vertex
    twice, as OGC simple features want it. Shells run clockwise on the screen (y down), holes against it.
    """
    counts = [len(corners) for corners in objects]
    corners = np.concatenate(objects) if objects else NO_CORNERS
    owner = np.repeat(np.arange(len(counts)), counts)
    following = _following(corners, owner)
    rings = [part for ring in _cycles(following) for part in _without_touches(ring, corners[:, 2])]
    rings.sort(key=lambda ring: ring[0])
    starts = np.cumsum([0, *(len(ring) for ring in rings)])[:-1]
    vertices = np.concatenate([np.asarray(ring, np.int64) for ring in rings]) if rings else np.zeros(0, np.int64)
    xy = corners[vertices, :2]
    return Rings(xy, starts, owner[vertices[starts]], _signed_area(xy, starts) < 0)


def _summed(corners: Corners, window: Window) -> NDArray[np.int32]:
    """How often each pixel (H, W) of the window is enclosed."""
    weights = np.zeros((window.height + 1, window.width + 1), np.int32)
    weights[corners[:, 1] - window.row_off, corners[:, 0] - window.col_off] = corners[:, 2]
    inside: NDArray[np.int32] = weights.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    return inside[:-1, :-1]


def _following(corners: Corners, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every node the node after it on its ring, the interior on the right hand (y down).

    A corner is one node, except where two pixels meet diagonally (weight +2 or -2): there each pixel has a node of
    its own, the lower one numbered `count` higher.
    """
    count = len(corners)
    x, y, weight = corners.T
    node = np.arange(count)
    lower = node + count
    to_left, to_right = np.where(weight == -2, lower, node), np.where(weight == 2, lower, node)
    down = np.where(np.abs(weight) == 2, lower, node)
    following = np.full(2 * count, -1, np.int64)

    side = np.cumsum(weight[:-1])  # +1: the pixels below the run are set, -1: those above
    here, after = node[:-1], node[1:]
    top, bottom = side == 1, side == -1
    following[to_right[here[top]]] = to_left[after[top]]
    following[to_left[after[bottom]]] = to_right[here[bottom]]

    order = np.lexsort((y, x, owner))
    side = np.cumsum(weight[order][:-1])  # +1: the pixels right of the run are set, -1: those left
    here, after = order[:-1], order[1:]
    left, right = side == 1, side == -1
    following[node[after[left]]] = down[here[left]]
    following[down[here[right]]] = node[after[right]]
    return following


def _cycles(following: NDArray[np.int64]) -> list[list[int]]:
    """The rings as lists of nodes, each from its first corner on."""
    count = len(following) // 2
    pointers = memoryview(following.data)
    seen = bytearray(len(following))
    rings = []
    for corner in range(count):
        for start in (corner, corner + count):
            if seen[start] or pointers[start] < 0:
                continue
            ring, node = [], start
            while not seen[node]:
                seen[node] = 1
                ring.append(node)
                node = pointers[node]
            rings.append(ring)
    return rings


def _without_touches(ring: list[int], weight: NDArray[np.int32]) -> list[list[int]]:
    """Cut a ring of nodes wherever it comes back to a vertex; returns rings of corners."""
    count = len(weight)
    if max(ring) < count:
        return [ring]
    finished: list[list[int]] = []
    path: list[int] = []
    position: dict[int, int] = {}
    for node in ring:
        corner = node % count
        if corner in position:
            cut = position[corner]
            loop, path = path[cut:], path[: cut + 1]
            for passed in loop[1:]:
                position.pop(passed, None)
            first = loop.index(min(loop))
            finished.append(loop[first:] + loop[:first])
            continue
        if abs(weight[corner]) == 2:
            position[corner] = len(path)
        path.append(corner)
    return [path, *finished]


def _signed_area(xy: NDArray[np.int32], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Twice the area of each ring, positive for shells."""
    if not len(starts):
        return np.zeros(0, np.int64)
    x, y = xy.astype(np.int64).T
    after = np.arange(1, len(xy) + 1)
    after[np.append(starts[1:], len(xy)) - 1] = starts
    return np.asarray(np.add.reduceat(x * y[after] - x[after] * y, starts))
