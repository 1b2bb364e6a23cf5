"""Selection in a box: the regions that probably belong to the object around which the box was drawn.

The probability follows from a region's place in the box, its colour compared with the colours inside and outside, and
the contours between it and the outside. A single node of the hierarchy would be worse: few objects are one node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from geosam.geometry.pixel_sets import mask_iou, pixels_in_box
from geosam.segmenters.regions.leaves import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from geosam._arrays import BoolArray, Floats, Labels
    from geosam.segmenters.regions.hierarchy import Regions

#: Width of the surroundings of a box, in roots of its area. They show what the object is not.
SURROUNDINGS = 0.2
#: Least width of the surroundings (pixels).
MARGIN_PX = 8
#: Largest number of regions in a box. Larger boxes take higher levels of the hierarchy.
MOST_REGIONS = 800
#: Bandwidth of the colour densities, in units of the mean contrast between leaves.
BANDWIDTH = 0.5
#: Density that is added to both sides of the comparison of colours, for colours that neither side has.
UNSEEN = 1e-3
#: Length of a step between equal regions. Paths are measured in squared mean contrasts.
STEP = 0.02
#: Length below which paths are about equal.
NEAR = 0.3
#: Largest length of a path.
FAR = 20.0
#: Weights of the columns of :func:`evidence`. The sum is the log odds that a region belongs to the object.
EVIDENCE = np.array([0.5, -0.6, 0.81, 0.93])
#: Weights of the first two columns for a first guess, from the place in the box alone.
FIRST_GUESS = np.array([2.5, -2.5])
#: Limit of the log odds.
CERTAIN = 3.0
#: Standard deviation of the Gaussian that smooths log odds (pixels); in a small box a twentieth of its side.
SMOOTH_PX = 2.0
#: Least side of a box (pixels). A thinner one is the rest of an object at the edge of the scene, and is filled.
THIN_PX = 4
#: Largest :attr:`Surroundings.place` of a region in the core of the box.
CORE = 0.15


class Selection(NamedTuple):
    """Mask that a prompt selects, with its scores."""

    mask: BoolArray
    """(H, W) pixels of the mask."""
    iou: float
    """Expected IoU with the object of the prompt."""
    stability: float
    """IoU of two masks from the same log odds, one at a higher and one at a lower threshold."""


def select_in_box(regions: Regions, box_xyxy: Floats, outline: BoolArray | None) -> Selection | None:
    """Select the pixels that probably belong to the object of a box: their largest piece, without holes.

    Args:
        regions: hierarchy of the tile.
        box_xyxy: (4,) box in corner-based pixels. It contains every pixel that it touches.
        outline: (H, W) pixels of a box that is not upright in the picture, or None.

    Returns:
        The selection, None if the box contains no valid pixel.
    """
    box_xyxy = np.concatenate([np.floor(box_xyxy[:2]), np.ceil(box_xyxy[2:])])
    part = pixels_in_box(box_xyxy)
    labels = regions.labels[part] if outline is None else np.where(outline[part], regions.labels[part], 0)
    if not labels.any():
        return None
    around = surroundings(regions, box_xyxy, labels, None if outline is None else outline[part])
    odds = np.clip(evidence(around) @ EVIDENCE, -CERTAIN, CERTAIN)
    odds = np.append(odds, -CERTAIN)[np.concatenate([[-1], around.leaf_region])]
    pixels = ndimage.gaussian_filter(odds[labels], min(SMOOTH_PX, min(labels.shape) / 20), mode="nearest")
    if min(labels.shape) < THIN_PX:
        pixels[:] = CERTAIN
    pixels[labels == 0] = -CERTAIN  # after smoothing, which spreads odds over invalid pixels
    # a box always selects something: the threshold goes down to the best pixel
    level = min(0.0, float(np.max(pixels)) - 1e-6)
    strict, answer, lax = (pixels > level + shift for shift in (0.5, 0.0, -0.5))
    mask = np.zeros(regions.labels.shape, bool)
    mask[part] = ndimage.binary_fill_holes(_largest(answer)) & (labels > 0)
    likely = _logistic(pixels)
    iou = likely[mask[part]].sum() / (mask.sum() + likely[~mask[part]].sum())
    return Selection(mask, float(iou), mask_iou(strict, lax))


def _largest(mask: BoolArray) -> BoolArray:
    """Return the largest 4-connected piece, the first of several."""
    pieces, _ = ndimage.label(mask)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces[mask])[1:]))


class Surroundings(NamedTuple):
    """Box and its margin, divided into K regions (nodes of the hierarchy)."""

    leaf_region: NDArray[np.int64]
    """(N,) region of each leaf; -1 for leaves elsewhere."""
    inside: Floats
    """(K,) number of the region's pixels in the box."""
    outside: Floats
    """(K,) number of the region's pixels in the margin around the box."""
    colours: Floats
    """(K, 3) mean L, a, b."""
    place: Floats
    """(K,) squared distance from the centre of the box along the farther axis; 1 at its sides."""
    edges: NDArray[np.int64]
    """(E, 2) pairs of regions that share a border."""


def surroundings(regions: Regions, box_xyxy: Floats, labels: Labels, outline: BoolArray | None) -> Surroundings:
    """Divide a box and its margin into at most about `MOST_REGIONS` regions."""
    sides = box_xyxy[2:] - box_xyxy[:2]
    margin = max(MARGIN_PX, SURROUNDINGS * float(np.sqrt(sides.prod())))
    count = len(regions.colours)
    inside = _counted(labels, count)
    seen = _counted(regions.labels[pixels_in_box(box_xyxy + margin * np.array([-1, -1, 1, 1]))], count)
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
    """Return the number of pixels (N,) of each leaf."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(np.float64)


def _place(centres_xy: Floats, box_xyxy: Floats, outline: BoolArray | None) -> Floats:
    """Return the place (K,) of centres in a box or its outline, see :attr:`Surroundings.place`."""
    low, high = box_xyxy[:2], box_xyxy[2:]
    inner = np.clip(centres_xy, low, high)
    if outline is None:
        return np.asarray((((inner - low) / (high - low) * 2 - 1) ** 2).max(axis=1))
    depth = ndimage.distance_transform_edt(np.pad(outline, 1))[1:-1, 1:-1]
    corner = np.maximum(low, 0)
    cols, rows = np.minimum(np.maximum(inner - corner, 0).astype(int), np.array(outline.shape)[::-1] - 1).T
    return np.asarray((1 - depth[rows, cols] / depth.max()) ** 2)


def evidence(around: Surroundings) -> Floats:
    """Return the evidence (K, 4) that each region belongs to the object.

    The columns are 1, the squared place, the log ratio of the colour densities inside and outside, and the log ratio of
    the shortest paths to the outside and to the core.
    """
    place = np.stack([np.ones_like(around.place), around.place**2], axis=1)
    guess = _logistic(place @ FIRST_GUESS)
    scaled = around.colours / BANDWIDTH
    squares = (scaled**2).sum(axis=1)
    kernel = np.exp(np.minimum(scaled @ scaled.T - squares[:, None] / 2 - squares / 2, 0))
    inner, outer = around.inside * guess, around.outside + around.inside * (1 - guess) / 2
    densities = [kernel @ weights / max(weights.sum(), 1) + UNSEEN for weights in (inner, outer)]
    return np.column_stack([place, np.log(densities[0] / densities[1]), _paths(around)])


def _paths(around: Surroundings) -> Floats:
    """Return the log ratio (K,) of the colour differences on the way to the outside and to the core of the box."""
    count = len(around.inside)
    one, two = around.edges.T
    steps = ((around.colours[one] - around.colours[two]) ** 2).sum(axis=1) + STEP
    graph = coo_matrix((steps, (one, two)), shape=(count, count)).tocsr()
    in_box = around.inside > 0
    core = in_box & (around.place < CORE)
    if not core.any():
        core[np.argmin(np.where(in_box, around.place, np.inf))] = True  # the innermost region stands for the core
    out, back = (_distances(graph, ends) for ends in (around.outside > around.inside, core))
    return np.asarray(np.log((out + NEAR) / (back + NEAR)))


def _distances(graph: csr_matrix, ends: BoolArray) -> Floats:
    """Return the length (K,) of the shortest path to one of the ends, at most `FAR`."""
    if not ends.any():
        return np.full(len(ends), FAR)
    lengths = dijkstra(graph, directed=False, indices=np.flatnonzero(ends), min_only=True)
    return np.asarray(np.minimum(lengths, FAR))


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
