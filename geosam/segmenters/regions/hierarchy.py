"""The hierarchy of regions: leaves merged step by step, and a score of each node as an object.

Leaves are renumbered so that every node of the hierarchy is a range of leaves. So the mask of a node is two
comparisons, and a sum over it is a difference of a running sum.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import Floats, Labels
    from geosam.segmenters.regions.leaves import Leaves

    Border = tuple[float, ...]
    Region = tuple[float, ...]

#: Weights of a node's objectness: constant, log area (in 10,000 px) and its square, log shape, log contrast, faintness,
#: log of the strongest inner contour. Fitted on roofs and fields, to rank the nodes above a click by their IoU with the
#: labelled object.
OBJECTNESS = np.array([0.0, -2.0, -0.99, -10.62, 3.66, -12.35, -0.96])
#: Offset and slope of the logistic function that turns objectness into an expected IoU.
EXPECTED_IOU = (1.06, 0.123)
#: A border is stable if merging across it costs this many times as much as the merges inside.
PERSISTENCE = 1.2
#: Squared difference of colour below which two regions are equal.
FLAT = 0.01

_NO_BORDER = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Regions:
    """N leaves of a tile and the 2 N - 1 nodes of the hierarchy: leaves, then merges in order, the root last."""

    labels: Labels
    """(H, W) number of the leaf, 1 .. N; 0 on invalid pixels. Every node is a range of these numbers."""
    colours: NDArray[np.float32]
    """(N, 3) mean L, a, b in units of the mean contrast between leaves."""
    centres_xy: NDArray[np.float32]
    """(N, 2) centroids (x, y) in corner-based pixels."""
    edges: NDArray[np.int32]
    """(M, 2) pairs of leaves 0 .. N - 1 that share a border."""
    parents: NDArray[np.int32]
    """(2 N - 1,) parent of each node; the root is its own parent."""
    spans: NDArray[np.int32]
    """(2 N - 1, 2) first leaf of each node, and one after its last."""
    areas: NDArray[np.float32]
    """(2 N - 1,) areas in pixels."""
    objectness: NDArray[np.float32]
    """(2 N - 1,) log odds that the node is an object; -inf for a node that is not connected."""
    stability: NDArray[np.float32]
    """(2 N - 1,) 1 for a node with a stable border, otherwise its IoU with its parent."""


def build_regions(leaves: Leaves) -> Regions:
    """Merge leaves until one node is left, and score every node."""
    merges = _merge(leaves)
    count = len(leaves.areas)
    parents = np.arange(max(2 * count - 1, 0))
    parents[merges.pairs.ravel()] = np.repeat(parents[count:], 2)
    spans = _spans(merges.pairs, count)
    order = np.argsort(spans[:count, 0])
    areas = _sums(leaves.areas[order], spans)
    objectness = features(leaves, merges, order, spans) @ OBJECTNESS
    objectness[count:][merges.shared[:, 0] == 0] = -np.inf  # no common border: not connected
    # a merge may make a later one cheaper; the scale of a hierarchy must not decrease
    costs = np.concatenate([np.zeros(count), np.maximum.accumulate(merges.costs)])
    stability = np.where(costs[parents] >= PERSISTENCE * costs, 1.0, areas / areas[parents])
    position = np.zeros(count + 1, np.int32)
    position[order + 1] = np.arange(1, count + 1)
    nodes = np.concatenate([order, np.arange(count, len(parents))])
    return Regions(
        position[leaves.labels],
        leaves.colours[order].astype(np.float32),
        leaves.centres_xy[order].astype(np.float32),
        position[leaves.edges + 1] - 1,
        parents[nodes].astype(np.int32),
        spans[nodes].astype(np.int32),
        areas[nodes].astype(np.float32),
        objectness[nodes].astype(np.float32),
        stability[nodes].astype(np.float32),
    )


def expected_iou(objectness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the IoU, 0 .. 1, that is expected of nodes with the object of a click inside."""
    offset, slope = EXPECTED_IOU
    return np.asarray(1 / (1 + np.exp(-offset - slope * objectness)))


class _Merges(NamedTuple):
    """The N - 1 merges in order."""

    pairs: NDArray[np.int64]
    """(N - 1, 2) nodes that are merged."""
    costs: Floats
    """(N - 1,) costs; infinite for two nodes that do not touch."""
    shared: Floats
    """(N - 1, 4) facts about the border between the two, see :func:`_borders`."""


def _merge(leaves: Leaves) -> _Merges:
    """Merge the two neighbours with the lowest cost until one node is left. Nodes that do not touch are merged last."""
    regions, around = _start(leaves)
    heap = [(_cost(regions[one], regions[two], around[one][two]), one, two) for one, two in leaves.edges.tolist()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    costs, shared = [], []
    alive = dict.fromkeys(range(len(regions)))
    while len(alive) > 1:
        cost, one, two = heapq.heappop(heap) if heap else _last_resort(alive)
        if one not in alive or two not in alive:
            continue  # an entry of a node that was merged since; removing it from the heap would cost more
        new, border = len(regions), around[one].get(two, _NO_BORDER)
        del alive[one], alive[two]
        alive[new] = None
        merges.append((one, two))
        costs.append(cost)
        shared.append(border)
        regions.append(_union(regions[one], regions[two], border[0]))
        around.append(_neighbours(around, one, two, new))
        for other, met in around[new].items():
            heapq.heappush(heap, (_cost(regions[other], regions[new], met), other, new))
    return _Merges(np.array(merges, np.int64).reshape(-1, 2), np.array(costs), np.array(shared).reshape(-1, 4))


def _last_resort(alive: dict[int, None]) -> tuple[float, int, int]:
    """Return a merge of the first two nodes, which do not touch."""
    one, two = islice(alive, 2)
    return math.inf, one, two


def _start(leaves: Leaves) -> tuple[list[Region], list[dict[int, Border]]]:
    """Return the leaves as regions, and the borders of each by neighbour."""
    sides = np.bincount(leaves.edges.ravel(), np.repeat(leaves.lengths, 2), minlength=len(leaves.areas))
    regions = [tuple(row) for row in np.column_stack([leaves.areas, sides, leaves.colours]).tolist()]
    around: list[dict[int, Border]] = [{} for _ in regions]
    for (one, two), border in zip(leaves.edges.tolist(), _borders(leaves).tolist(), strict=True):
        around[one][two] = around[two][one] = tuple(border)
    return regions, around


def _borders(leaves: Leaves) -> Floats:
    """Return additive facts (M, 4) of each border: length, and length times gradient, contrast and faintness."""
    faint = leaves.gradients < 1
    facts = np.stack([np.ones_like(leaves.lengths), leaves.gradients, leaves.contrasts, faint], axis=1)
    return np.asarray(facts * leaves.lengths[:, None])


def _union(one: Region, two: Region, length: float) -> Region:
    """Merge two regions (area, perimeter, L, a, b) with a common border of this length."""
    (size, sides, a, b, c), (size2, sides2, d, e, f) = one, two
    share = size / (size + size2)
    rest = 1 - share
    colour = share * a + rest * d, share * b + rest * e, share * c + rest * f
    return size + size2, sides + sides2 - 2 * length, *colour


def _neighbours(around: list[dict[int, Border]], one: int, two: int, new: int) -> dict[int, Border]:
    """Return the borders of a merged node, and replace its parts in the borders of its neighbours."""
    union = around[one]
    for other, (a, b, c, d) in around[two].items():
        e, f, g, h = union.get(other, _NO_BORDER)
        union[other] = (a + e, b + f, c + g, d + h)
    union.pop(one, None)
    union.pop(two, None)
    for other, border in union.items():
        around[other].pop(one, None)
        around[other].pop(two, None)
        around[other][new] = border
    around[one] = around[two] = {}  # merged nodes need no borders: memory stays proportional to the leaves
    return union


def _cost(one: Region, two: Region, border: Border) -> float:
    """Return the cost of a merge: gradient on the border x sizes x difference of colour x loss of compactness."""
    (size, sides, a, b, c), (size2, sides2, d, e, f) = one, two
    both = size + size2
    distance = (a - d) ** 2 + (b - e) ** 2 + (c - f) ** 2 + FLAT
    shape = (sides + sides2 - 2 * border[0]) ** 2 / both / min(sides**2 / size, sides2**2 / size2)
    return float(border[1] / border[0] * math.sqrt(size * size2 / both) * math.sqrt(math.sqrt(distance)) * shape)


def _spans(merges: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the ranges (2 N - 1, 2) of leaf positions: leaves of the first child, then of the second."""
    sizes = [1] * count
    for one, two in merges.tolist():
        sizes.append(sizes[one] + sizes[two])
    first = [0] * len(sizes)
    for node, (one, two) in reversed(list(enumerate(merges.tolist(), start=count))):
        first[one], first[two] = first[node], first[node] + sizes[one]
    return np.stack([first, np.add(first, sizes)], axis=1).astype(np.int64)


def _sums(values: Floats, spans: NDArray[np.int64]) -> Floats:
    """Return the sums over nodes of `values` at leaf positions."""
    running = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    return np.asarray(running[spans[:, 1]] - running[spans[:, 0]])


def features(leaves: Leaves, merges: _Merges, order: NDArray[np.int64], spans: NDArray[np.int64]) -> Floats:
    """Return the features (2 N - 1, 7) for `OBJECTNESS`: size, shape, strength of outline and inner contours."""
    borders = np.repeat(_borders(leaves), 2, axis=0)
    mine = np.stack(
        [np.bincount(leaves.edges.ravel(), fact, minlength=len(order)) for fact in borders.T], axis=1
    ).astype(np.float64)
    gaps = np.zeros((len(order), 4))
    gaps[spans[merges.pairs[:, 1], 0]] = merges.shared  # a merge closes the gap before its second child
    outline = _sums(mine[order], spans) - 2 * _sums(gaps, spans + np.array([1, 0]))
    # the root has no outline: it gets the values of a faint one of length 1
    length, _, contrasts, faint = np.where(outline[:, :1] > 0.5, outline, [1, 0, 0, 1]).T
    areas, outer = _sums(leaves.areas[order], spans), _sums(leaves.outer[order], spans)
    size = np.log(areas / 1e4)
    shape = np.log((outline[:, 0] + outer) / np.sqrt(areas) / 4)
    contrast = np.log(np.maximum(contrasts / length, 0) + 0.05)
    inner = np.log(_strongest_inside(merges, len(order)) + 0.05)
    return np.stack([np.ones(len(areas)), size, size**2, shape, contrast, faint / length, inner], axis=1)


def _strongest_inside(merges: _Merges, count: int) -> Floats:
    """Return the largest mean gradient (2 N - 1,) on a border inside each node."""
    gradients = merges.shared[:, 1] / np.maximum(merges.shared[:, 0], 1)
    strongest = [0.0] * count
    for (one, two), gradient in zip(merges.pairs.tolist(), gradients.tolist(), strict=True):
        strongest.append(max(gradient, strongest[one], strongest[two]))
    return np.array(strongest)
