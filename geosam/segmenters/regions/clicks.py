"""What a prompt selects: nodes of the hierarchy for clicks, see :mod:`regions_box` for boxes and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geosam.segmenters.masks import Granularity
from geosam.segmenters.regions.box import Selection, select_in_box
from geosam.segmenters.regions.hierarchy import expected_iou

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Labels
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.regions.hierarchy import Regions

    Answers = dict[Granularity, Selection]

#: A part is at most so much of the whole, and the whole of a group.
LEVEL = 0.6
#: A mask may be so much too small, as a share of the square root of its area, and at least so many pixels.
LOOSE, LOOSE_PX = 0.05, 2


def answers(regions: Regions, prompts: PixelPrompts, row: int, *, multimask: bool) -> Answers:
    """The masks for prompt `row`; none if it lies on no valid pixel, more than the whole only for `multimask`."""
    box, mask = prompts.boxes_xyxy[row], prompts.masks[row]
    included, excluded = (_leaves_under(regions.labels, prompts, row, label) for label in (1, 0))
    if not np.isnan(box).any():
        found = select_in_box(regions, box, mask)
    elif mask is not None:
        found = _select_in_mask(regions, mask)
    else:
        return _clicked(regions, included, excluded, multimask=multimask)
    if found is None:
        return {}
    mask = found.mask
    for more in _clicked(regions, included, excluded, multimask=False).values():
        mask = mask | more.mask
    for less in _clicked(regions, excluded, included, multimask=False, most=np.count_nonzero(mask) / 2).values():
        mask = mask & ~less.mask
    return {Granularity.WHOLE: found._replace(mask=mask)} if mask.any() else {}


def _leaves_under(labels: Labels, prompts: PixelPrompts, row: int, wanted: int) -> list[int]:
    """Leaves 0 .. N - 1 under the points of one label, in their order; points on nothing are left out."""
    height, width = labels.shape
    points = np.floor(prompts.points[row][prompts.labels[row] == wanted]).astype(np.int64)
    inside = (points >= 0).all(axis=1) & (points < [width, height]).all(axis=1)
    cols, rows = points[inside].T
    return [leaf - 1 for leaf in dict.fromkeys(labels[rows, cols].tolist()) if leaf > 0]


def _clicked(
    regions: Regions, included: list[int], excluded: list[int], *, multimask: bool, most: float = np.inf
) -> Answers:
    """What clicks select: one node around all of them if it looks as good as one node for each, else these together.

    Nodes over an excluded leaf or, above a leaf, with more than `most` pixels are not considered.
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
    if common and regions.objectness[_best(regions, common)] >= np.mean(regions.objectness[best]):
        return _levels(regions, common, multimask=multimask)
    mask = np.logical_or.reduce([_select(regions, node).mask for node in best])
    columns = (expected_iou(regions.objectness[best]), regions.stability[best])
    iou, stability = (float(np.average(column, weights=regions.areas[best])) for column in columns)
    return {Granularity.WHOLE: Selection(mask, iou, stability)}


def _path(regions: Regions, leaf: int) -> list[int]:
    """A leaf and its ancestors, the root last."""
    path = [leaf]
    while (parent := int(regions.parents[path[-1]])) != path[-1]:
        path.append(parent)
    return path


def _best(regions: Regions, nodes: list[int]) -> int:
    return nodes[int(np.argmax(regions.objectness[nodes]))]


def _levels(regions: Regions, path: list[int], *, multimask: bool) -> Answers:
    """The best node of a path as the whole, and the best ones that are clearly smaller and larger."""
    whole = _best(regions, path)
    area = regions.areas[whole]
    smaller = [node for node in path if regions.areas[node] <= area * LEVEL and multimask]
    larger = [node for node in path if regions.areas[node] * LEVEL >= area and multimask]
    choices = {Granularity.PART: smaller, Granularity.WHOLE: [whole], Granularity.GROUP: larger}
    best = {level: _best(regions, nodes) for level, nodes in choices.items() if nodes}
    return {level: _select(regions, node) for level, node in best.items() if np.isfinite(regions.objectness[node])}


def _select(regions: Regions, node: int) -> Selection:
    first, end = regions.spans[node]
    mask = np.asarray((regions.labels > first) & (regions.labels <= end))
    return Selection(mask, float(expected_iou(regions.objectness[node])), float(regions.stability[node]))


def _select_in_mask(regions: Regions, mask: BoolArray) -> Selection | None:
    """What a box with the outline of the mask selects; the outline is loosened, as masks are drawn by hand."""
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
