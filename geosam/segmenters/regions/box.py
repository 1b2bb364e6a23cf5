"""What a box selects: the regions that are likely to belong to the object it was drawn around.

How likely that is follows from a region's place in the box, its colour compared with what lies inside and outside, and
the contours between it and the outside. One node of the hierarchy would be a worse answer: few objects are one node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from geosam.geometry.pixel_sets import mask_iou
from geosam.segmenters.regions.leaves import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from geosam._arrays import BoolArray, Floats, Labels
    from geosam.segmenters.regions.hierarchy import Regions

#: Around a box, so much of its size is looked at for what the object is not.
SURROUNDINGS = 0.2
#: Least width of the surroundings (pixels).
MARGIN_PX = 8
#: Most regions a box is divided into; larger boxes take higher levels of the hierarchy.
MOST_REGIONS = 800
#: Bandwidth of the colour densities, in mean contrasts between leaves.
BANDWIDTH = 0.5
#: Density added to both sides of the comparison of colours.
UNSEEN = 1e-3
#: Length of a step between equal regions; paths are measured in squared mean contrasts.
STEP = 0.02
#: Paths shorter than this are about equal.
NEAR = 0.3
#: No path is longer.
FAR = 20.0
#: Log odds that a region belongs to the object: weights of what :func:`evidence` returns.
EVIDENCE = np.array([0.5, -0.6, 0.81, 0.93])
#: A first guess of the log odds from the place in the box alone: weights of the first two.
FIRST_GUESS = np.array([2.5, -2.5])
#: Log odds beyond this are as good as certain.
CERTAIN = 3.0
#: Log odds are smoothed by a Gaussian of this deviation, or a twentieth of a smaller box (pixels).
SMOOTH_PX = 2.0
#: A box with a side below this is what is left of an object at the edge of the scene, and filled (pixels).
THIN_PX = 4
#: Regions with a place below this are the core of the box.
CORE = 0.15


class Selection(NamedTuple):
    """One mask that a prompt selects."""

    mask: BoolArray
    """(H, W)."""
    iou: float
    """Expected IoU with the object that was meant."""
    stability: float
    """IoU of a stricter and a laxer mask."""


def select_in_box(regions: Regions, box_xyxy: Floats, outline: BoolArray | None) -> Selection | None:
    """The largest piece, without holes, of what more likely than not belongs to the object a box was drawn around.

    Pixels count as inside the box if it touches them and, with an outline (H, W), lie in that: a box that is upright
    on the map need not be upright in the picture.
    """
    box_xyxy = np.concatenate([np.floor(box_xyxy[:2]), np.ceil(box_xyxy[2:])])
    part = _slices(box_xyxy)
    labels = regions.labels[part] if outline is None else np.where(outline[part], regions.labels[part], 0)
    if not labels.any():
        return None
    around = surroundings(regions, box_xyxy, labels, None if outline is None else outline[part])
    odds = np.clip(evidence(around) @ EVIDENCE, -CERTAIN, CERTAIN)
    odds = np.append(odds, -CERTAIN)[np.concatenate([[-1], around.leaf_region])]
    pixels = ndimage.gaussian_filter(odds[labels], min(SMOOTH_PX, min(labels.shape) / 20), mode="nearest")
    if min(labels.shape) < THIN_PX:
        pixels[:] = CERTAIN
    pixels[labels == 0] = -CERTAIN
    level = min(0.0, float(np.max(pixels)) - 1e-6)
    strict, answer, lax = (pixels > level + shift for shift in (0.5, 0.0, -0.5))
    mask = np.zeros(regions.labels.shape, bool)
    mask[part] = ndimage.binary_fill_holes(_largest(answer)) & (labels > 0)
    likely = _logistic(pixels)
    iou = likely[mask[part]].sum() / (mask.sum() + likely[~mask[part]].sum())
    return Selection(mask, float(iou), mask_iou(strict, lax))


def _largest(mask: BoolArray) -> BoolArray:
    """The largest 4-connected piece, the first of several."""
    pieces, _ = ndimage.label(mask)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces[mask])[1:]))


class Surroundings(NamedTuple):
    """A box and what lies around it, as K regions (nodes of the hierarchy)."""

    leaf_region: NDArray[np.int64]
    """(N,) region of each leaf, -1 for leaves elsewhere."""
    inside: Floats
    """(K,) pixels of the region in the box."""
    outside: Floats
    """(K,) pixels of the region around the box, in its margin."""
    colours: Floats
    """(K, 3)."""
    place: Floats
    """(K,) squared distance from the box's centre along the farther axis, 1 at its sides."""
    edges: NDArray[np.int64]
    """(E, 2) regions that meet."""


def surroundings(regions: Regions, box_xyxy: Floats, labels: Labels, outline: BoolArray | None) -> Surroundings:
    """Divide a box and its margin into at most about `MOST_REGIONS` regions."""
    sides = box_xyxy[2:] - box_xyxy[:2]
    margin = max(MARGIN_PX, SURROUNDINGS * float(np.sqrt(sides.prod())))
    count = len(regions.colours)
    inside = _counted(labels, count)
    seen = _counted(regions.labels[_slices(box_xyxy + margin * np.array([-1, -1, 1, 1]))], count)
    leaves = np.flatnonzero(seen)
    coarser = max(0, round(count * (1 - MOST_REGIONS / max(len(leaves), 1))))
    _, region = np.unique(cut(regions.parents, count + coarser)[leaves], return_inverse=True)
    leaf_region = np.full(count, -1)
    leaf_region[leaves] = region
    inner, outer = (np.bincount(region, pixels[leaves]).astype(np.float64) for pixels in (inside, seen - inside))
    weights = regions.areas[leaves]
    total = np.bincount(region, weights)
    values = np.column_stack([regions.colours, regions.centres_xy])[leaves]
    means = np.stack([np.bincount(region, weights * value) for value in values.T], axis=1) / total[:, None]
    edges = leaf_region[regions.edges]
    edges = np.unique(np.sort(edges[(edges >= 0).all(axis=1) & (edges[:, 0] != edges[:, 1])]), axis=0)
    return Surroundings(leaf_region, inner, outer, means[:, :3], _place(means[:, 3:], box_xyxy, outline), edges)


def _counted(labels: Labels, count: int) -> Floats:
    """(N,) pixels of each leaf."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(np.float64)


def _slices(box_xyxy: Floats) -> tuple[slice, slice]:
    """Rows and columns that a box touches, none of them outside the window."""
    x0, y0 = np.maximum(np.floor(box_xyxy[:2]), 0).astype(int).tolist()
    x1, y1 = np.maximum(np.ceil(box_xyxy[2:]), 0).astype(int).tolist()
    return slice(y0, y1), slice(x0, x1)


def _place(centres_xy: Floats, box_xyxy: Floats, outline: BoolArray | None) -> Floats:
    low, high = box_xyxy[:2], box_xyxy[2:]
    inner = np.clip(centres_xy, low, high)
    if outline is None:
        return np.asarray((((inner - low) / (high - low) * 2 - 1) ** 2).max(axis=1))
    depth = ndimage.distance_transform_edt(np.pad(outline, 1))[1:-1, 1:-1]
    corner = np.maximum(low, 0)
    cols, rows = np.minimum(np.maximum(inner - corner, 0).astype(int), np.array(outline.shape)[::-1] - 1).T
    return np.asarray((1 - depth[rows, cols] / depth.max()) ** 2)


def evidence(around: Surroundings) -> Floats:
    """(K, 4) one, squared place, log ratio of the colour densities inside and outside, log ratio of paths to them."""
    place = np.stack([np.ones_like(around.place), around.place**2], axis=1)
    guess = _logistic(place @ FIRST_GUESS)
    scaled = around.colours / BANDWIDTH
    squares = (scaled**2).sum(axis=1)
    kernel = np.exp(np.minimum(scaled @ scaled.T - squares[:, None] / 2 - squares / 2, 0))
    inner, outer = around.inside * guess, around.outside + around.inside * (1 - guess) / 2
    densities = [kernel @ weights / max(weights.sum(), 1) + UNSEEN for weights in (inner, outer)]
    return np.column_stack([place, np.log(densities[0] / densities[1]), _paths(around)])


def _paths(around: Surroundings) -> Floats:
    """(K,) log ratio of the colour differences on the way to the outside and to the core of the box."""
    count = len(around.inside)
    one, two = around.edges.T
    steps = ((around.colours[one] - around.colours[two]) ** 2).sum(axis=1) + STEP
    graph = coo_matrix((steps, (one, two)), shape=(count, count)).tocsr()
    in_box = around.inside > 0
    core = in_box & (around.place < CORE)
    if not core.any():
        core[np.argmin(np.where(in_box, around.place, np.inf))] = True
    out, back = (_distances(graph, ends) for ends in (around.outside > around.inside, core))
    return np.asarray(np.log((out + NEAR) / (back + NEAR)))


def _distances(graph: csr_matrix, ends: BoolArray) -> Floats:
    """(K,) length of the shortest path to one of the ends, at most `FAR`."""
    if not ends.any():
        return np.full(len(ends), FAR)
    lengths = dijkstra(graph, directed=False, indices=np.flatnonzero(ends), min_only=True)
    return np.asarray(np.minimum(lengths, FAR))


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
