"""Leaves of a tile: small regions of even colour that follow contours, and the borders between them.

Every region that the segmenter finds is a union of leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import higra as hg
import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.color import rgb2lab
from skimage.measure import label
from skimage.segmentation import watershed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats, Labels

#: Standard deviation of the Gaussian for colours and gradients (pixels).
SIGMA_PX = 1.0
#: Mean area of a leaf (pixels).
LEAF_PX = 175


@dataclass(frozen=True, eq=False)
class Leaves:
    """N regions and the M borders between them. Colours and gradients are in units of their mean over all borders."""

    labels: Labels
    """(H, W) number of the leaf, 1 .. N; 0 on invalid pixels."""
    areas: Floats
    """(N,) areas in pixels."""
    colours: Floats
    """(N, 3) mean L, a, b."""
    centres_xy: Floats
    """(N, 2) centroids (x, y) in corner-based pixels."""
    outer: Floats
    """(N,) length of the border with invalid pixels and the edge of the window (pixel sides)."""
    edges: NDArray[np.int64]
    """(M, 2) pairs of leaves 0 .. N - 1 that share a border, smaller first."""
    lengths: Floats
    """(M,) length of the border (pixel sides)."""
    gradients: Floats
    """(M,) mean gradient along the border."""
    contrasts: Floats
    """(M,) distance between the colours of the two leaves."""


def find_leaves(rgb: NDArray[np.uint8], valid: BoolArray) -> Leaves:
    """Divide a tile into leaves: basins of the gradient, merged by Ward's criterion down to a mean size.

    Args:
        rgb: picture (3, H, W).
        valid: valid pixels (H, W).
    """
    lab = _colours(rgb, valid)
    gradient = _gradient(lab)
    markers, _ = ndimage.label((ndimage.minimum_filter(gradient, 3) == gradient) & valid)
    basins = watershed(gradient, markers, mask=valid).astype(np.int32)  # type: ignore[no-untyped-call]
    islands, _ = ndimage.label(valid & (basins == 0))  # areas without a minimum of their own
    basins[islands > 0] = islands[islands > 0] + basins.max(initial=0)
    smooth = np.stack([ndimage.gaussian_filter(band, SIGMA_PX, mode="nearest") for band in lab])
    labels = _merged(basins, smooth, int(np.ceil(np.count_nonzero(valid) / LEAF_PX)))
    return _measured(labels, smooth, gradient)


def _colours(rgb: NDArray[np.uint8], valid: BoolArray) -> NDArray[np.float32]:
    """Convert a picture to L, a, b (3, H, W)."""
    if not valid.all() and valid.any():
        # invalid pixels repeat the nearest valid one, so that they make no contour
        nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
        rgb = rgb[:, nearest[0], nearest[1]]
    picture = rgb.transpose(1, 2, 0).astype(np.float32) / np.float32(255)
    lab: NDArray[np.float32] = rgb2lab(picture).transpose(2, 0, 1)
    return np.ascontiguousarray(lab)


def _gradient(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the steepest change of colour at every pixel (H, W).

    It is the root of the largest eigenvalue of the structure tensor (Di Zenzo, "A note on the gradient of a
    multi-image", 1986).
    """
    dx = np.stack([ndimage.gaussian_filter(band, SIGMA_PX, order=(0, 1), mode="nearest") for band in lab])
    dy = np.stack([ndimage.gaussian_filter(band, SIGMA_PX, order=(1, 0), mode="nearest") for band in lab])
    xx, yy, xy = (dx * dx).sum(axis=0), (dy * dy).sum(axis=0), (dx * dy).sum(axis=0)
    steepest = np.sqrt((xx + yy + np.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2)
    return np.asarray(np.round(steepest, 4))  # otherwise rounding errors on flat ground are minima


def _merged(basins: Labels, lab: NDArray[np.float32], count: int) -> Labels:
    """Merge basins by Ward's criterion until `count` are left.

    Returns:
        Label map (H, W) of 4-connected regions, numbered by their first pixel.
    """
    basin_count = int(basins.max(initial=0))
    if basin_count > max(count, 1):
        met, _, _ = _meetings(basins)
        edges = _joined(met[met[:, 0] > 0] - 1, basin_count)
        areas = np.bincount(basins.ravel(), minlength=basin_count + 1)[1:].astype(np.float64)
        graph = hg.UndirectedGraph(basin_count)
        graph.add_edges(edges[:, 0], edges[:, 1])
        tree, _ = hg.binary_partition_tree_ward_linkage(graph, _means(basins, lab, areas), areas)
        merged = np.concatenate([[0], 1 + cut(tree.parents(), 2 * basin_count - count)[:basin_count]])
        basins = merged[basins].astype(np.int32)
    return np.asarray(label(basins, connectivity=1, background=0), np.int32)  # type: ignore[no-untyped-call]


def cut(parents: NDArray[np.integer], limit: int) -> NDArray[np.int64]:
    """Return the highest ancestor (N,) of every node among the first `limit` nodes.

    Args:
        parents: (N,) parent of each node, which comes after the node; the root is its own parent.
        limit: number of nodes that may be returned.
    """
    highest = np.where(parents < limit, parents, np.arange(len(parents)))
    while True:
        further = highest[highest]
        if np.array_equal(further, highest):  # each round doubles the distance that is covered
            return np.asarray(highest, np.int64)
        highest = further


def _joined(edges: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Add an edge from each connected part of a graph to the next part: a hierarchy needs a connected graph."""
    graph = coo_matrix((np.ones(len(edges), bool), edges.T), shape=(count, count))
    parts, part = connected_components(graph, directed=False)
    first = np.unique(part, return_index=True)[1]
    return np.concatenate([edges, np.stack([first[: parts - 1], first[1:]], axis=1)])


def _measured(labels: Labels, lab: NDArray[np.float32], gradient: NDArray[np.float32]) -> Leaves:
    """Measure the leaves of a label map (H, W) and their borders."""
    count = int(labels.max(initial=0))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(np.float64)
    colours = _means(labels, lab, areas)
    y, x = np.indices(labels.shape, np.float32) + np.float32(0.5)
    met, lengths, gradients = _meetings(labels, gradient)
    inner = met[:, 0] > 0
    outer = np.bincount(met[~inner, 1], lengths[~inner], minlength=count + 1)[1:].astype(np.float64)
    edges, lengths, gradients = met[inner] - 1, lengths[inner], gradients[inner]
    contrasts = np.linalg.norm(colours[edges[:, 0]] - colours[edges[:, 1]], axis=1)
    # `or 1.0`: a tile of one colour has no contrast to divide by
    unit, steep = (float((lengths * v).sum() / max(lengths.sum(), 1)) or 1.0 for v in (contrasts, gradients))
    centres = _means(labels, np.stack([x, y]), areas)
    return Leaves(
        labels, areas, colours / unit, centres, outer, edges, lengths, gradients / steep, contrasts / unit
    )  # fmt: skip


def _means(labels: Labels, values: NDArray[np.float32], areas: Floats) -> Floats:
    """Return the means (N, K) of K arrays (K, H, W) over the labels 1 .. N."""
    sums = [np.bincount(labels.ravel(), value.ravel(), minlength=len(areas) + 1)[1:] for value in values]
    return np.stack(sums, axis=1) / areas[:, None]


def _meetings(labels: Labels, gradient: NDArray[np.float32] | None = None) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Find the labels that meet along pixel sides. The outside of the window has the label 0.

    Returns:
        Pairs of labels (M, 2), smaller first; number of their common pixel sides (M,); mean gradient (M,) over these
        sides, where a side has the larger gradient of its two pixels.
    """
    padded = np.pad(labels, 1).astype(np.int64)  # products of two labels exceed 32 bits
    steep = np.zeros(padded.shape, np.float32) if gradient is None else np.pad(gradient, 1)
    keys, steps = [], []
    for before, after in (((slice(None), slice(-1)), (slice(None), slice(1, None))), ((slice(-1),), (slice(1, None),))):
        one, two = padded[before], padded[after]
        apart = one != two
        one, two = one[apart], two[apart]
        keys.append(np.minimum(one, two) * (labels.max(initial=0) + 1) + np.maximum(one, two))
        steps.append(np.maximum(steep[before][apart], steep[after][apart]))
    pairs, which, counts = np.unique(np.concatenate(keys), return_inverse=True, return_counts=True)
    means = np.bincount(which, np.concatenate(steps), minlength=len(pairs)) / counts
    return np.stack(np.divmod(pairs, labels.max(initial=0) + 1), axis=1), counts.astype(np.float64), means
