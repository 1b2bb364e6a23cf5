"""Selection by prompts: nodes of the hierarchy at points, regions in boxes and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geosam.geometry.pixel_sets import labels_at
from geosam.segmenters.masks import Granularity
from geosam.segmenters.regions.box import Selection, select_in_box
from geosam.segmenters.regions.hierarchy import expected_iou

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Labels
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.regions.hierarchy import Regions

    Answers = dict[Granularity, Selection]

#: Largest area of a part, as a share of the whole; and of the whole, as a share of the group.
LEVEL = 0.6
#: Width by which the outline of a mask is widened, as a share of the root of its area, and its least value in pixels.
LOOSE, LOOSE_PX = 0.05, 2


def answers(regions: Regions, prompts: PixelPrompts, row: int, *, multimask: bool) -> Answers:
    """Return the masks for prompt `row` by granularity.

    The result is empty if the prompt lies on invalid pixels only. Without `multimask` it has at most the whole.
    """
    box, mask = prompts.boxes_xyxy[row], prompts.masks[row]
    included, excluded = (_leaves_under(regions.labels, prompts, row, label) for label in (1, 0))
    if not np.isnan(box).any():
        selection = select_in_box(regions, box, mask)
    elif mask is not None:
        selection = _select_in_mask(regions, mask)
    else:
        return _clicked(regions, included, excluded, multimask=multimask)
    if selection is None:
        return {}
    mask = selection.mask
    for more in _clicked(regions, included, excluded, multimask=False).values():
        mask = mask | more.mask
    for less in _clicked(regions, excluded, included, multimask=False, most=np.count_nonzero(mask) / 2).values():
        mask = mask & ~less.mask
    return {Granularity.WHOLE: selection._replace(mask=mask)} if mask.any() else {}


def _leaves_under(labels: Labels, prompts: PixelPrompts, row: int, label: int) -> list[int]:
    """Return the leaves 0 .. N - 1 under the points of one label, in their order; points on no leaf are left out."""
    leaves = labels_at(labels, prompts.points[row][prompts.labels[row] == label])
    return [leaf - 1 for leaf in dict.fromkeys(leaves.tolist()) if leaf > 0]


def _clicked(
    regions: Regions, included: list[int], excluded: list[int], *, multimask: bool, most: float = np.inf
) -> Answers:
    """Select one node around all clicks if it scores at least as well as one node for each click. Else select those.

    Args:
        regions: hierarchy of the tile.
        included: leaves under points inside the object.
        excluded: leaves under points outside; no node above them is selected.
        multimask: select a part and a group, too, if one node is selected.
        most: largest area in pixels of a node that is no leaf.
    """
    refused = {node for leaf in excluded for node in _path(regions, leaf)}
    paths = [
        [node for node in _path(regions, leaf) if node not in refused and (node == leaf or regions.areas[node] <= most)]
        for leaf in included
        if leaf not in refused
    ]
    if not paths:
        return {}
    best = list(dict.fromkeys(_best(regions, path) for path in paths))
    common = [node for node in paths[0] if all(node in path for path in paths)]
    # several clicks on one object: one node explains them better than one node each
    if common and regions.objectness[_best(regions, common)] >= np.mean(regions.objectness[best]):
        return _levels(regions, common, multimask=multimask)
    mask = np.logical_or.reduce([_select(regions, node).mask for node in best])
    columns = (expected_iou(regions.objectness[best]), regions.stability[best])
    iou, stability = (float(np.average(column, weights=regions.areas[best])) for column in columns)
    return {Granularity.WHOLE: Selection(mask, iou, stability)}


def _path(regions: Regions, leaf: int) -> list[int]:
    """Return a leaf and its ancestors, the root last."""
    path = [leaf]
    while (parent := int(regions.parents[path[-1]])) != path[-1]:
        path.append(parent)
    return path


def _best(regions: Regions, nodes: list[int]) -> int:
    """Return the node that looks most like an object."""
    return nodes[int(np.argmax(regions.objectness[nodes]))]


def _levels(regions: Regions, path: list[int], *, multimask: bool) -> Answers:
    """Select the best node of a path as the whole, and the best ones that are clearly smaller and larger."""
    whole = _best(regions, path)
    area = regions.areas[whole]
    smaller = [node for node in path if regions.areas[node] <= area * LEVEL and multimask]
    larger = [node for node in path if regions.areas[node] * LEVEL >= area and multimask]
    choices = {Granularity.PART: smaller, Granularity.WHOLE: [whole], Granularity.GROUP: larger}
    best = {level: _best(regions, nodes) for level, nodes in choices.items() if nodes}
    return {level: _select(regions, node) for level, node in best.items() if np.isfinite(regions.objectness[node])}


def _select(regions: Regions, node: int) -> Selection:
    """Select one node."""
    first, end = regions.spans[node]
    mask = np.asarray((regions.labels > first) & (regions.labels <= end))
    return Selection(mask, float(expected_iou(regions.objectness[node])), float(regions.stability[node]))


def _select_in_mask(regions: Regions, mask: BoolArray) -> Selection | None:
    """Select within the outline of a mask as in a box. The outline is widened, because masks are drawn by hand."""
    if not regions.labels[mask].any():
        return None
    reach = max(LOOSE_PX, round(LOOSE * float(np.sqrt(np.count_nonzero(mask)))))
    rows, cols = ndimage.find_objects(mask.astype(np.uint8))[0]
    y0, x0 = max(rows.start - reach, 0), max(cols.start - reach, 0)
    near = slice(y0, rows.stop + reach), slice(x0, cols.stop + reach)
    outline = np.zeros_like(mask)
    outline[near] = ndimage.distance_transform_edt(~mask[near]) <= reach
    height, width = outline[near].shape
    return select_in_box(regions, np.array([x0, y0, x0 + width, y0 + height], np.float64), outline)
