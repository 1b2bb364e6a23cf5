"""Growth of prompted objects from their first window over its edges, until the object is whole.

The first window (:mod:`geosam.objects.windows`) decodes the prompt step by step (:mod:`geosam.objects.steps`). A mask
that touches an inner edge continues in the next window, which is prompted with points from the strip that both windows
see. Sessions and batch runs both use this code, so they give the same polygons.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import ndimage

from geosam.geometry import corners
from geosam.geometry.geobox import Edge, Window
from geosam.geometry.pixel_sets import box_around, mask_iou
from geosam.objects.scene_object import SceneObject
from geosam.objects.steps import Answers, WindowView, replay
from geosam.segmenters.pixel_prompts import PixelPrompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats
    from geosam.geometry.corners import Corners
    from geosam.geometry.tiles import TileGrid
    from geosam.objects.windows import WindowRule
    from geosam.prompts.prompt import ScenePrompt
    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.segmenter import Embedding, Prompted

#: Least IoU, in the strip, of a component and the mask with which the next window continues it.
_AGREEMENT = 0.5
#: Prompts in one call of the decoder; bounds the memory of their masks and logits.
_BATCH = 64
#: Edge of a window, and the place of the tile behind it in the grid: (edge, rows down, columns right).
_SIDES = ((Edge.LEFT, 0, -1), (Edge.TOP, -1, 0), (Edge.RIGHT, 0, 1), (Edge.BOTTOM, 1, 0))


class Embedder(Protocol):
    """Source of embeddings for windows of the scene."""

    @property
    def segmenter(self) -> Prompted:
        """Model that makes the embeddings and decodes them."""

    def __call__(self, window: Window) -> Embedding | None:
        """Return the embedding of a window, None where no pixel is valid."""


@dataclass(eq=False)
class _Growth:
    """State of one object while it grows."""

    grid: TileGrid
    """Windows through which it grows."""
    excluded_xy: Floats
    """Points (K, 2) outside the object, scene pixels."""
    class_id: int
    """Class of the first window's mask; -1 without classes."""
    masks: dict[int, BoolArray] = field(default_factory=dict)
    """Masks (H, W) of whole windows, by tile of the grid."""
    scores: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """(predicted IoU, stability score, class score) of each tile."""
    truncated: bool = False
    """True if the object continues where no window follows it."""


def segment_prompted(
    embedder: Embedder, prompts: Sequence[ScenePrompt], first: Window, rule: WindowRule, answers: Answers | None = None
) -> list[SceneObject]:
    """Segment the objects of prompts that share their first window.

    Args:
        embedder: embeds windows.
        prompts: prompts in scene pixels, whose window by :meth:`WindowRule.follow` is `first`.
        first: first window, scene pixels.
        rule: layout of the windows.
        answers: answers of the model in the first window; steps that it holds are not decoded again, new ones are kept.

    Returns:
        Objects in the order of their prompts; a prompt without an object has none.
    """
    embedding = embedder(first)
    if embedding is None:
        return []
    view = WindowView(embedder.segmenter, embedding, first)
    answers = Answers(0) if answers is None else answers
    objects = []
    for start in range(0, len(prompts), _BATCH):
        batch = prompts[start : start + _BATCH]
        histories = [rule.follow(prompt)[1] for prompt in batch]
        for prompt, answer in zip(batch, replay(view, histories, answers), strict=True):
            if answer is not None:
                objects.append(_grown(prompt, answer, view, embedder, rule))
    return objects


def _grown(prompt: ScenePrompt, answer: MaskSet, view: WindowView, embedder: Embedder, rule: WindowRule) -> SceneObject:
    """Grow the mask of the first window into the whole object."""
    first = view.window
    growth = _Growth(rule.grid(first), prompt.points_xy[prompt.labels == 0], _class_of(answer, 0))
    # The grid is anchored at the first window, so one of its tiles is this window.
    start = next(tile for tile in growth.grid.meeting(first) if growth.grid.window(tile) == first)
    growth.masks[start] = view.mask(answer, 0)
    growth.scores[start] = _scores(answer, 0)
    queue = deque([start])
    while queue:
        while queue:
            queue.extend(_cross_edges(growth, queue.popleft(), embedder, first, rule))
        # Last, because most parts arrive over an edge and need no second prompt.
        queue.extend(_reconcile(growth, embedder))
    return _finished(growth, prompt.index)


def _cross_edges(growth: _Growth, here: int, embedder: Embedder, first: Window, rule: WindowRule) -> list[int]:
    """Follow the mask of a tile over the inner edges that it touches. Return the tiles whose masks grew."""
    changed = []
    row, col = growth.grid.position(here)
    inner = growth.grid.inner_edges(here)
    for edge, down, right in _SIDES:
        if not inner & edge or not _edge_line(growth.masks[here], edge).any():
            continue
        there = growth.grid.index(row + down, col + right)
        strip, parts = _new_parts(growth, here, there)
        parts = [part for part in parts if _edge_line(part, edge).any()]
        if not parts:
            continue
        window = growth.grid.window(there)
        embedding = embedder(window) if rule.allows(window, first) else None
        if embedding is None:
            growth.truncated = True  # the limit, or a window without valid pixels
            continue
        view = WindowView(embedder.segmenter, embedding, window)
        continued = [_continue(growth, there, part, strip, view) for part in parts]
        growth.truncated |= not all(continued)
        if any(continued):
            changed.append(there)
    return changed


def _reconcile(growth: _Growth, embedder: Embedder) -> list[int]:
    """Continue parts of the object in the core of a tile that only other tiles hold. Return the tiles that grew."""
    changed = []
    for here, there in permutations(sorted(growth.masks), 2):
        window = growth.grid.window(there)
        if growth.grid.window(here).intersection(window) is None:
            continue
        strip, parts = _new_parts(growth, here, there)
        core = growth.grid.core(there).intersection(strip)
        if core is None or not parts:
            continue
        parts = [part for part in parts if part[core.relative_to(strip).slices_rc].any()]
        embedding = embedder(window) if parts else None
        if embedding is not None:
            view = WindowView(embedder.segmenter, embedding, window)
            continued = [_continue(growth, there, part, strip, view) for part in parts]
            if any(continued):
                changed.append(there)
    return changed


def _new_parts(growth: _Growth, here: int, there: int) -> tuple[Window, list[BoolArray]]:
    """Return the strip that two tiles share, and components of the mask `here` in it that `there` does not hold yet."""
    window, other = growth.grid.window(here), growth.grid.window(there)
    strip = window.intersection(other)
    assert strip is not None  # noqa: S101 - callers pass overlapping tiles
    mask = growth.masks[here][strip.relative_to(window).slices_rc]
    present = growth.masks.get(there)
    if present is None:
        labels, count = ndimage.label(mask)
        return strip, [labels == value for value in range(1, count + 1)]
    both = mask & present[strip.relative_to(other).slices_rc]
    if np.array_equal(both, mask):  # the usual case, and labelling takes time
        return strip, []
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    shared = np.bincount(labels[both], minlength=count + 1)
    # Half of a component counts as all of it: a network draws it a little differently in each window.
    return strip, [labels == value for value in range(1, count + 1) if 2 * shared[value] < areas[value]]


def _continue(growth: _Growth, there: int, part: BoolArray, strip: Window, view: WindowView) -> bool:
    """Continue a component of the strip in the next window; return False if no mask there agrees with it."""
    # Only points: the mask as a prompt would come back as the answer, and the strip could not test agreement any more.
    prompts = _clicks(part, strip, growth.excluded_xy, view.window)
    masks = view.segmenter.decode(view.embedding, prompts, multimask=True, keep=None)
    inside = strip.relative_to(view.window).slices_rc
    candidates = [view.mask(masks, row) for row in range(len(masks))]
    # A mask of another class is another object, however well it agrees.
    same_class = [_class_of(masks, row) == growth.class_id for row in range(len(masks))]
    ious = [_agreement(mask[inside], part) if same else 0.0 for mask, same in zip(candidates, same_class, strict=True)]
    if not ious or max(ious) < _AGREEMENT:
        return False
    row = int(np.argmax(ious))
    present = growth.masks.get(there)
    growth.masks[there] = candidates[row] if present is None else present | candidates[row]
    # The first answer of a tile counts; later ones add parts.
    growth.scores.setdefault(there, _scores(masks, row))
    return True


def _class_of(masks: MaskSet, row: int) -> int:
    return -1 if masks.class_id is None else int(masks.class_id[row])


def _scores(masks: MaskSet, row: int) -> tuple[float, float, float]:
    probability = math.nan if masks.class_score is None else float(masks.class_score[row])
    return float(masks.predicted_iou[row]), float(masks.stability_score[row]), probability


def _clicks(part: BoolArray, strip: Window, excluded_xy: Floats, window: Window) -> PixelPrompts:
    """Make a prompt of the next window: points inside a component of the strip, and the user's excluding points."""
    # No excluding points in the rest of the strip: another arm of the same object may lie there.
    included = points_inside(part) + np.array([strip.col_off - window.col_off, strip.row_off - window.row_off])
    excluded = excluded_xy - np.array([window.col_off, window.row_off])
    excluded = excluded[((excluded >= 0) & (excluded < (window.width, window.height))).all(axis=1)]
    labels = np.repeat(np.array([1, 0], np.int8), [len(included), len(excluded)])
    return PixelPrompts((np.concatenate([included, excluded]),), (labels,), np.full((1, 4), np.nan), (None,))


def _agreement(mask: BoolArray, part: BoolArray) -> float:
    """Return the IoU of a component of the strip with those components of another mask (H, W) that meet it."""
    labels, _ = ndimage.label(mask)
    shared = np.unique(labels[part & mask])
    other = np.isin(labels, shared[shared > 0])
    return mask_iou(other, part)


def _finished(growth: _Growth, prompt_index: int) -> SceneObject:
    """Assemble the object: a pixel comes from the tile in whose core it lies, or from any tile if that has no mask."""
    parts, weights = [], []
    for tile in _owners(growth):
        core = growth.grid.core(tile)
        views = [tile] if tile in growth.masks else sorted(growth.masks)
        outline = corners.unite([_clipped(growth, view, core) for view in views])
        if len(outline):
            parts.append(outline)
            weights.append((tile if tile in growth.masks else views[0], corners.area(outline)))
    outline = corners.add(parts)
    areas = [area for _, area in weights]
    scores = np.array([growth.scores[tile] for tile, _ in weights])
    score, stability, class_score = np.average(scores, axis=0, weights=areas).tolist()
    return SceneObject(
        outline,
        score=score,
        stability=stability,
        n_tiles=len(growth.masks),
        touches_edge=corners.bounds(outline).touches(growth.grid.region),
        truncated=growth.truncated,
        prompt_index=prompt_index,
        class_id=growth.class_id,
        class_score=class_score,
    )


def _owners(growth: _Growth) -> list[int]:
    """Return the tiles whose cores share pixels with windows that have a mask."""
    return sorted({owner for tile in growth.masks for owner in growth.grid.owners(growth.grid.window(tile))})


def _clipped(growth: _Growth, tile: int, core: Window) -> Corners:
    window = growth.grid.window(tile)
    common = window.intersection(core)
    if common is None:
        return corners.NO_CORNERS
    mask = growth.masks[tile][common.relative_to(window).slices_rc]
    box = box_around(mask)
    if box is None:
        return corners.NO_CORNERS
    return corners.corners_of(mask[box.slices_rc], common.col_off + box.col_off, common.row_off + box.row_off)


def _edge_line(array: NDArray[Any], edge: Edge) -> NDArray[Any]:
    column = array.T if edge in {Edge.LEFT, Edge.RIGHT} else array
    line: NDArray[Any] = column[0] if edge in {Edge.LEFT, Edge.TOP} else column[-1]
    return line


#: Most points inside one mask.
POINTS_INSIDE = 3


def points_inside(mask: BoolArray) -> Floats:
    """Choose points inside a mask (H, W): one far from the outline, and up to two more in long masks.

    The first point is the farthest from the outline. Each next one is at least half as far from the outline, as far as
    possible from earlier points, and farther from them than the mask is wide. Of equal points the first is taken.

    Returns:
        Pixel centres (K, 2) as x, y; K is 1 to 3.

    Raises:
        ValueError: the mask is empty.
    """
    box = box_around(mask)
    if box is None:
        raise ValueError("an empty mask has no point inside")
    # Padded: the border of the mask's box is a part of its outline.
    depth = ndimage.distance_transform_edt(np.pad(mask[box.slices_rc], 1))[1:-1, 1:-1]
    deep_rc = np.argwhere(2 * depth >= depth.max())
    chosen = [np.argwhere(depth == depth.max())[0]]
    distance = np.full(len(deep_rc), np.inf)
    while len(chosen) < POINTS_INSIDE:
        distance = np.minimum(distance, np.hypot(*(deep_rc - chosen[-1]).T))
        if distance.max() <= 2 * depth.max():
            break
        chosen.append(deep_rc[int(np.argmax(distance))])
    return np.asarray(np.array(chosen)[:, ::-1] + (box.col_off + 0.5, box.row_off + 0.5))
