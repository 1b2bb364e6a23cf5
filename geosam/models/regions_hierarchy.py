"""From leaves to a hierarchy: which regions are merged first, and how much each of them looks like an object.

Leaves are renumbered so that every node of the hierarchy is a range of leaves: its mask is two comparisons, and sums
over it are differences of a running sum.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam.models.regions_features import Floats, Leaves

    Border = tuple[float, float, float, float]

#: Weights of a node's objectness: constant, log area (in 10,000 px) and its square, log shape, log contrast, faintness.
#: Fitted on roofs and fields to rank the nodes above a click by their IoU with the object that was meant.
OBJECTNESS = np.array([0.0, -2.1, -0.98, -9.85, 4.51, -8.97])
#: Offset and slope that turn objectness into an expected IoU through the logistic function.
EXPECTED_IOU = (0.0, 0.2)
#: A border that outlasts the merges inside by this factor is stable.
PERSISTENCE = 1.2


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """2 N - 1 nodes over N leaves: the leaves first, then the merges in order, the root last."""

    order: NDArray[np.int64]
    """(N,) the leaf of :class:`Leaves` at each position."""
    parents: NDArray[np.int64]
    """Parent of each node; the root is its own."""
    spans: NDArray[np.int64]
    """First and one past the last position of each node's leaves."""
    areas: Floats
    """Pixels of each node."""
    iou: Floats
    """Expected IoU of each node with an object it could be a part of, 0 .. 1; 0 for nodes that do not hang together."""
    stability: Floats
    """IoU of each node with what it is if the threshold of its merge is varied by the factor of persistence."""


def build_hierarchy(leaves: Leaves) -> Hierarchy:
    """Merge leaves until one node is left; at least one leaf."""
    merges, costs, shared = _merge(leaves)
    count = len(leaves.areas)
    nodes = 2 * count - 1
    parents = np.arange(nodes)
    parents[merges.ravel()] = np.repeat(np.arange(count, nodes), 2)
    spans = _spans(merges, count)
    order = np.argsort(spans[:count, 0])
    areas = _sums(leaves.areas[order], spans)
    objectness = _objectness(leaves, spans, order, merges, shared, areas)
    offset, slope = EXPECTED_IOU
    iou = 1 / (1 + np.exp(-(offset + slope * objectness)))
    iou[count:][shared[:, 0] == 0] = 0
    costs = np.concatenate([np.zeros(count), np.maximum.accumulate(costs)])
    outlasts = costs[parents] >= PERSISTENCE * costs
    stability = np.where(outlasts, 1.0, areas / areas[parents])
    return Hierarchy(order, parents, spans, areas, iou, stability)


def _merge(leaves: Leaves) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Greedy merging by cost: pairs of nodes (N - 1, 2), costs (N - 1,), shared borders (N - 1, 4).

    Parts that do not touch are merged last, at infinite cost and with a shared border of length 0.
    """
    size, colour, sides = leaves.areas.tolist(), leaves.colours.tolist(), [0.0] * len(leaves.areas)
    around: list[dict[int, Border]] = [{} for _ in size]
    for (one, two), border in zip(leaves.edges.tolist(), _borders(leaves).tolist(), strict=True):
        around[one][two] = around[two][one] = tuple(border)
        sides[one] += border[0]
        sides[two] += border[0]
    heap = [
        (_cost(size[a], size[b], colour[a], colour[b], sides[a], sides[b], around[a][b]), a, b)
        for a, b in leaves.edges.tolist()
    ]
    heapq.heapify(heap)
    merges, costs, shared = [], [], []
    alive = dict.fromkeys(range(len(size)))
    while len(alive) > 1:
        cost, one, two = heapq.heappop(heap) if heap else (np.inf, *list(alive)[:2])
        if one not in alive or two not in alive:
            continue
        new, border = len(size), around[one].pop(two, (0.0, 0.0, 0.0, 0.0))
        around[two].pop(one, None)
        del alive[one], alive[two]
        alive[new] = None
        merges.append((one, two))
        costs.append(cost)
        shared.append(border)
        share = size[one] / (size[one] + size[two])
        colour.append([share * x + (1 - share) * y for x, y in zip(colour[one], colour[two], strict=True)])
        size.append(size[one] + size[two])
        sides.append(sides[one] + sides[two] - 2 * border[0])
        around.append(_neighbours(around, one, two, new))
        for other, met in around[new].items():
            price = _cost(size[other], size[new], colour[other], colour[new], sides[other], sides[new], met)
            heapq.heappush(heap, (price, other, new))
    return np.array(merges, np.int64).reshape(-1, 2), np.array(costs), np.array(shared).reshape(-1, 4)


def _borders(leaves: Leaves) -> Floats:
    """(M, 4) additive facts of each border: length, and length times gradient, contrast, and being faint."""
    faint = leaves.gradients < 1
    facts = np.stack([np.ones_like(leaves.lengths), leaves.gradients, leaves.contrasts, faint], axis=1)
    return np.asarray(facts * leaves.lengths[:, None])


def _neighbours(around: list[dict[int, Border]], one: int, two: int, new: int) -> dict[int, Border]:
    """The borders of a merged node; those of its neighbours are told."""
    union = around[one]
    for other, (a, b, c, d) in around[two].items():
        e, f, g, h = union.get(other, (0.0, 0.0, 0.0, 0.0))
        union[other] = (a + e, b + f, c + g, d + h)
    for other, border in union.items():
        around[other].pop(one, None)
        around[other].pop(two, None)
        around[other][new] = border
    around[one] = around[two] = {}
    return union


def _cost(
    size: float, size2: float, colour: list[float], colour2: list[float], sides: float, sides2: float, border: Border
) -> float:
    """Gradient on the border, difference of colour, size of the smaller, and loss of compactness, multiplied."""
    length, gradient = border[0], border[1]
    (a, b, c), (d, e, f) = colour, colour2
    distance = (a - d) ** 2 + (b - e) ** 2 + (c - f) ** 2 + 0.01
    both = size + size2
    shape = (sides + sides2 - 2 * length) ** 2 / both / min(sides**2 / size, sides2**2 / size2)
    return float(gradient / length * (size * size2 / both) ** 0.5 * distance**0.25 * shape)


def _spans(merges: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(2 N - 1, 2) ranges of leaf positions: the first child's leaves, then the second's."""
    sizes = [1] * count
    for one, two in merges.tolist():
        sizes.append(sizes[one] + sizes[two])
    first = [0] * len(sizes)
    for node, (one, two) in reversed(list(enumerate(merges.tolist(), start=count))):
        first[one], first[two] = first[node], first[node] + sizes[one]
    return np.stack([first, np.add(first, sizes)], axis=1)


def _sums(values: Floats, spans: NDArray[np.int64]) -> Floats:
    """Sums over nodes of `values` at leaf positions."""
    running = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    return np.asarray(running[spans[:, 1]] - running[spans[:, 0]])


def _objectness(
    leaves: Leaves,
    spans: NDArray[np.int64],
    order: NDArray[np.int64],
    merges: NDArray[np.int64],
    shared: Floats,
    areas: Floats,
) -> Floats:
    """How much each node looks like an object, in log odds up to scale: the weights times its features."""
    count = len(order)
    borders = _borders(leaves)
    mine = np.zeros((count, 4))
    np.add.at(mine, leaves.edges[:, 0], borders)
    np.add.at(mine, leaves.edges[:, 1], borders)
    gaps = np.zeros((count, 4))
    gaps[spans[merges[:, 1], 0]] = shared  # each merge closes the gap before its second child
    outline = _sums(mine[order], spans) - 2 * _sums(gaps, np.stack([spans[:, 0] + 1, spans[:, 1]], axis=1))
    length = np.maximum(outline[:, 0], 1e-9)
    sides = outline[:, 0] + _sums(leaves.outer[order], spans)
    size = np.log(areas / 1e4)
    shape = np.log(sides / np.sqrt(areas) / 4)
    contrast = np.log(np.maximum(outline[:, 2] / length, 0) + 0.05)
    faint = np.where(outline[:, 0] > 0.5, outline[:, 3] / length, 1.0)
    return np.stack([np.ones(len(areas)), size, size**2, shape, contrast, faint], axis=1) @ OBJECTNESS
