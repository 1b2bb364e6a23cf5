"""What a prompt selects from the hierarchy: nodes for clicks, a foreground of regions for a box.

A box is answered region by region: how likely is it that a region belongs to the object the box was drawn around, by
its place in the box, its colour compared with what lies inside and outside, and the contours between it and the
outside. A cut through the hierarchy is a worse answer: few objects are one node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from geosam.models.regions_features import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam.models.regions_features import Floats, Labels

    Nodes = NDArray[np.int64]

#: Around a box, so much of its size is looked at for what the object is not.
SURROUNDINGS = 0.3
#: Least width of the surroundings (pixels).
MARGIN_PX = 8
#: Most regions a box is divided into; larger boxes take higher levels of the hierarchy.
MOST_REGIONS = 600
#: Bandwidth of the colour densities, in mean contrasts between leaves.
BANDWIDTH = 0.5
#: Density added to both sides of the comparison of colours.
UNSEEN = 1e-3
#: Cost of every step between regions, in mean contrasts.
STEP = 0.02
#: Log odds that a region belongs to the object: weights of what :func:`evidence` returns.
EVIDENCE = np.array([0.34, 0.62, -0.91, -0.8, 1.61, 1.05, 1.07])
#: A first guess of the log odds from the place in the box alone, weights of the first five.
FIRST_GUESS = np.array([2.5, 0.0, -1.5, 0.0, -2.0])
#: The core of a box: squared distance from its centre, relative to its sides.
CORE = 0.15


@dataclass(frozen=True, eq=False)
class Regions:
    """One tile as the segmenter remembers it: N leaves, numbered so that every node is a range of them."""

    labels: Labels
    """(H, W) 1 .. N, 0 on invalid pixels."""
    colours: NDArray[np.float32]
    """(N, 3)."""
    centres_xy: NDArray[np.float32]
    """(N, 2)."""
    edges: NDArray[np.int32]
    """(M, 2) leaves that meet."""
    parents: NDArray[np.int32]
    """(2 N - 1,)."""
    spans: NDArray[np.int32]
    """(2 N - 1, 2) first leaf of each node, and one past its last."""
    areas: NDArray[np.float32]
    """(2 N - 1,)."""
    iou: NDArray[np.float32]
    """(2 N - 1,) see :class:`geosam.models.regions_hierarchy.Hierarchy`."""
    stability: NDArray[np.float32]
    """(2 N - 1,)."""


class Surroundings(NamedTuple):
    """A box and what lies around it, as K regions (nodes of the hierarchy)."""

    leaf_region: NDArray[np.int64]
    """(N,) region of each leaf, -1 for leaves elsewhere."""
    inside: Floats
    """(K,) pixels of the region in the box."""
    outside: Floats
    """(K,) pixels of the region outside the box, wherever."""
    near: Floats
    """(K,) those of them in the surroundings."""
    colours: Floats
    """(K, 3)."""
    place: Floats
    """(K, 5) polynomial of the place in the box."""
    edges: NDArray[np.int64]
    """(E, 2) regions that meet."""


def surroundings(regions: Regions, box_xyxy: Floats) -> Surroundings:
    """Divide a box and its margin into at most about `MOST_REGIONS` regions."""
    sides = box_xyxy[2:] - box_xyxy[:2]
    margin = max(MARGIN_PX, SURROUNDINGS * float(np.sqrt(sides.prod())))
    count = len(regions.colours)
    inside = _counted(regions.labels, box_xyxy, count)
    seen = _counted(regions.labels, box_xyxy + margin * np.array([-1, -1, 1, 1]), count)
    leaves = np.flatnonzero(seen)
    coarser = max(0, round(count * (1 - MOST_REGIONS / max(len(leaves), 1))))
    nodes, region = np.unique(cut(regions.parents, count + coarser)[leaves], return_inverse=True)
    leaf_region = np.full(count, -1)
    leaf_region[leaves] = region
    sums = [np.bincount(region, value[leaves], minlength=len(nodes)) for value in (inside, seen - inside)]
    weights = regions.areas[leaves]
    total = np.bincount(region, weights)
    values = np.column_stack([regions.colours, regions.centres_xy])[leaves]
    means = np.stack([np.bincount(region, weights * value) for value in values.T], axis=1) / total[:, None]
    edges = leaf_region[regions.edges]
    edges = np.unique(np.sort(edges[(edges >= 0).all(axis=1) & (edges[:, 0] != edges[:, 1])]), axis=0)
    outside = regions.areas[nodes] - sums[0]
    place = _place(means[:, 3:], box_xyxy)
    return Surroundings(leaf_region, sums[0], outside, sums[1], means[:, :3], place, edges)


def _counted(labels: Labels, box_xyxy: Floats, count: int) -> Floats:
    """(N,) pixels of each leaf that a box touches."""
    x0, y0 = np.maximum(np.floor(box_xyxy[:2]), 0).astype(int)
    x1, y1 = np.maximum(np.ceil(box_xyxy[2:]), 0).astype(int)
    return np.bincount(labels[y0:y1, x0:x1].ravel(), minlength=count + 1)[1:].astype(np.float64)


def _place(centres_xy: Floats, box_xyxy: Floats) -> Floats:
    """(K, 5) polynomial of the distance from the box's centre along the nearer and the farther axis, 1 at its sides."""
    low, high = box_xyxy[:2], box_xyxy[2:]
    away = np.abs((np.clip(centres_xy, low, high) - low) / (high - low) * 2 - 1)
    far, near = away.max(axis=1) ** 2, away.min(axis=1) ** 2
    return np.stack([np.ones_like(far), far, far**2, near, far * near], axis=1)


def evidence(around: Surroundings) -> Floats:
    """(K, 7) place (5), log ratio of the colour densities inside and outside, log ratio of path lengths to both."""
    guess = _logistic(around.place @ FIRST_GUESS)
    scaled = around.colours / BANDWIDTH
    squares = (scaled**2).sum(axis=1)
    kernel = np.exp(np.minimum(scaled @ scaled.T - squares[:, None] / 2 - squares / 2, 0))
    inner, outer = around.inside * guess, around.near + around.inside * (1 - guess) / 2
    densities = [kernel @ weights / max(weights.sum(), 1) + UNSEEN for weights in (inner, outer)]
    colour = np.log(densities[0] / densities[1])
    return np.column_stack([around.place, colour, _paths(around)])


def _paths(around: Surroundings) -> Floats:
    """(K,) log ratio of the colour differences on the way to the outside and to the core of the box."""
    count = len(around.inside)
    one, two = around.edges.T
    steps = np.linalg.norm(around.colours[one] - around.colours[two], axis=1) + STEP
    graph = coo_matrix((steps, (one, two)), shape=(count, count)).tocsr()
    core = np.flatnonzero((around.inside > 0) & (around.place[:, 1] < CORE))
    if not len(core):
        core = np.array([np.argmin(np.where(around.inside > 0, around.place[:, 1], np.inf))])
    rim = np.flatnonzero(around.outside > around.inside)
    ways = [
        np.minimum(dijkstra(graph, directed=False, indices=ends, min_only=True), 20) if len(ends) else np.full(count, 4)
        for ends in (rim, core)
    ]
    return np.asarray(np.log((ways[0] + 0.17) / (ways[1] + 0.17)))


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
