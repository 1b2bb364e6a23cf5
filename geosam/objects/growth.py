"""Prompted objects: the first window, its mask, and growth over the window's borders until the object is whole.

The first window is chosen on a lattice of quarter tiles so that the prompt lies well inside; neighbouring prompts
share windows, and so embeddings. A prompt given in several steps is decoded step by step
(:mod:`geosam.objects.steps`). A mask that touches an inner edge goes on in the next window, which is prompted with
points from the strip both windows see. Session and batch use this code, so replaying prompts gives the same polygons.

The next window is told nothing else about the strip. What is not the object there may be: two arms of it that meet
further on. And a mask fed back comes back, so the strip could no more tell whether both windows see the same object.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import ndimage

from geosam._arrays import BoolArray
from geosam.geometry import corners
from geosam.geometry.geobox import Edge, Window
from geosam.geometry.pixel_sets import box_around, mask_iou
from geosam.objects.scene_object import SceneObject
from geosam.objects.steps import Answers, View, refine, replay
from geosam.objects.windows import WindowRule
from geosam.segmenters.pixel_prompts import PixelPrompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats
    from geosam.geometry.corners import Corners
    from geosam.geometry.tiles import TileGrid
    from geosam.prompts.prompt import ScenePrompt
    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.segmenter import Embedding, Prompted

__all__ = ["Embedder", "View", "WindowRule", "refine", "segment_prompted"]

#: Least IoU of a strip component and the mask that the next window shows for it.
_AGREEMENT = 0.5
#: Prompts decoded at once; bounds the memory that their masks and logits take.
_BATCH = 64
#: Edge of a window, and where in the grid the tile behind it lies: (edge, rows down, columns right).
_SIDES = ((Edge.LEFT, 0, -1), (Edge.TOP, -1, 0), (Edge.RIGHT, 0, 1), (Edge.BOTTOM, 1, 0))


class Embedder(Protocol):
    """Where windows of the scene become embeddings."""

    @property
    def segmenter(self) -> Prompted:
        """The model that made the embeddings and decodes them."""

    def __call__(self, window: Window) -> Embedding | None:
        """The embedding of a window, None where it has no valid pixel."""


@dataclass(eq=False)
class _Growth:
    """One object while it grows; masks are of whole windows, by tile of the grid."""

    grid: TileGrid
    excluded_xy: NDArray[np.float64]
    """(K, 2) points that are outside the object, scene pixels."""
    class_id: int
    """Class of the first window's mask; -1 without classes."""
    masks: dict[int, BoolArray] = field(default_factory=dict)
    scores: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """(predicted IoU, stability score, class score) of each tile."""
    truncated: bool = False


def segment_prompted(
    embedder: Embedder, prompts: Sequence[ScenePrompt], first: Window, rule: WindowRule, known: Answers | None = None
) -> list[SceneObject]:
    """The objects of prompts that share their window, by :meth:`WindowRule.follow`; prompts on nothing give none.

    Answers in the first window that are `known` are not asked for again; new ones are kept there.
    """
    embedding = embedder(first)
    if embedding is None:
        return []
    view = View(embedder.segmenter, embedding, first)
    answers = Answers(0) if known is None else known
    found = []
    for start in range(0, len(prompts), _BATCH):
        batch = prompts[start : start + _BATCH]
        histories = [rule.follow(prompt)[1] for prompt in batch]
        for prompt, answer in zip(batch, replay(view, histories, answers), strict=True):
            if answer is not None:
                found.append(_grown(prompt, answer, view, embedder, rule))
    return found


def _grown(prompt: ScenePrompt, answer: MaskSet, view: View, embedder: Embedder, rule: WindowRule) -> SceneObject:
    """The whole object of which `view` shows the answer."""
    first = view.window
    growth = _Growth(rule.grid(first), prompt.points_xy[prompt.labels == 0], _class_of(answer, 0))
    start = next(tile for tile in growth.grid.meeting(first) if growth.grid.window(tile) == first)
    growth.masks[start] = view.mask(answer, 0)
    growth.scores[start] = _scores(answer, 0)
    queue = deque([start])
    while queue:
        while queue:
            queue.extend(_leave(growth, queue.popleft(), embedder, first, rule))
        queue.extend(_reconcile(growth, embedder))
    return _finished(growth, prompt.index)


def _leave(growth: _Growth, here: int, embedder: Embedder, first: Window, rule: WindowRule) -> list[int]:
    """Follow the mask of a tile over the inner edges it touches; returns the tiles that learnt something."""
    changed = []
    row, col = growth.grid.position(here)
    inner = growth.grid.inner_edges(here)
    for edge, down, right in _SIDES:
        if not inner & edge or not _edge_line(growth.masks[here], edge).any():
            continue
        there = growth.grid.index(row + down, col + right)
        strip, parts = _unknown(growth, here, there)
        parts = [part for part in parts if _edge_line(part, edge).any()]
        if not parts:
            continue
        window = growth.grid.window(there)
        embedding = embedder(window) if rule.allows(window, first) else None
        if embedding is None:
            growth.truncated = True
            continue
        view = View(embedder.segmenter, embedding, window)
        continued = [_continue(growth, there, part, strip, view) for part in parts]
        growth.truncated |= not all(continued)
        if any(continued):
            changed.append(there)
    return changed


def _reconcile(growth: _Growth, embedder: Embedder) -> list[int]:
    """Tell each tile about parts of the object in its core that only other tiles have met so far."""
    changed = []
    for here, there in permutations(sorted(growth.masks), 2):
        window = growth.grid.window(there)
        if growth.grid.window(here).intersection(window) is None:
            continue
        strip, parts = _unknown(growth, here, there)
        core = growth.grid.core(there).intersection(strip)
        if core is None or not parts:
            continue
        parts = [part for part in parts if part[core.relative_to(strip).slices_rc].any()]
        embedding = embedder(window) if parts else None
        if embedding is not None:
            view = View(embedder.segmenter, embedding, window)
            continued = [_continue(growth, there, part, strip, view) for part in parts]
            if any(continued):
                changed.append(there)
    return changed


def _unknown(growth: _Growth, here: int, there: int) -> tuple[Window, list[BoolArray]]:
    """The strip two tiles share, and the components of one tile's mask in it that the other does not have yet."""
    window, other = growth.grid.window(here), growth.grid.window(there)
    strip = window.intersection(other)
    assert strip is not None  # noqa: S101 - only overlapping tiles are asked about
    mask = growth.masks[here][strip.relative_to(window).slices_rc]
    known = growth.masks.get(there)
    if known is None:
        labels, count = ndimage.label(mask)
        return strip, [labels == value for value in range(1, count + 1)]
    both = mask & known[strip.relative_to(other).slices_rc]
    if np.array_equal(both, mask):  # the usual case, and labelling takes time
        return strip, []
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    shared = np.bincount(labels[both], minlength=count + 1)
    return strip, [labels == value for value in range(1, count + 1) if 2 * shared[value] < areas[value]]


def _continue(growth: _Growth, there: int, part: BoolArray, strip: Window, view: View) -> bool:
    """Prompt the next window inside a component of the strip; False if it shows something else there."""
    asked = _clicks(part, strip, growth.excluded_xy, view.window)
    masks = view.segmenter.decode(view.embedding, asked, multimask=True, keep=None)
    inside = strip.relative_to(view.window).slices_rc
    shown = [view.mask(masks, row) for row in range(len(masks))]
    same = [_class_of(masks, row) == growth.class_id for row in range(len(masks))]
    fits = [_agreement(mask[inside], part) if alike else 0.0 for mask, alike in zip(shown, same, strict=True)]
    if not fits or max(fits) < _AGREEMENT:
        return False
    row = int(np.argmax(fits))
    known = growth.masks.get(there)
    growth.masks[there] = shown[row] if known is None else known | shown[row]
    growth.scores.setdefault(there, _scores(masks, row))
    return True


def _class_of(masks: MaskSet, row: int) -> int:
    return -1 if masks.class_id is None else int(masks.class_id[row])


def _scores(masks: MaskSet, row: int) -> tuple[float, float, float]:
    probability = math.nan if masks.class_score is None else float(masks.class_score[row])
    return float(masks.predicted_iou[row]), float(masks.stability_score[row]), probability


def _clicks(part: BoolArray, strip: Window, excluded_xy: NDArray[np.float64], window: Window) -> PixelPrompts:
    """Points inside a component of the strip and those of the user that exclude, as a prompt of the next window."""
    included = points_inside(part) + np.array([strip.col_off - window.col_off, strip.row_off - window.row_off])
    excluded = excluded_xy - np.array([window.col_off, window.row_off])
    excluded = excluded[((excluded >= 0) & (excluded < (window.width, window.height))).all(axis=1)]
    labels = np.repeat(np.array([1, 0], np.int8), [len(included), len(excluded)])
    return PixelPrompts((np.concatenate([included, excluded]),), (labels,), np.full((1, 4), np.nan), (None,))


def _agreement(seen: BoolArray, part: BoolArray) -> float:
    """IoU of a strip component with those components of another view that meet it."""
    labels, _ = ndimage.label(seen)
    met = np.unique(labels[part & seen])
    other = np.isin(labels, met[met > 0])
    return mask_iou(other, part)


def _finished(growth: _Growth, prompt_index: int) -> SceneObject:
    """Every pixel from the tile in whose core it lies, or from any tile where that one was not asked."""
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
    """Tiles whose cores hold pixels of windows that were looked at."""
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


#: Most points that stand for a mask.
POINTS_INSIDE = 3


def points_inside(mask: BoolArray) -> Floats:
    """(K, 2) pixel centres (x, y) that stand for a mask (H, W): one deep inside, and in long masks up to two more.

    The first is the farthest from the outline. Others are at least half as deep, as far as possible from those before
    and farther from them than the mask is wide. Of several equal ones the first counts.
    """
    box = box_around(mask)
    if box is None:
        raise ValueError("an empty mask has no point inside")
    depth = ndimage.distance_transform_edt(np.pad(mask[box.slices_rc], 1))[1:-1, 1:-1]
    deep_rc = np.argwhere(2 * depth >= depth.max())
    chosen = [np.argwhere(depth == depth.max())[0]]
    apart = np.full(len(deep_rc), np.inf)
    while len(chosen) < POINTS_INSIDE:
        apart = np.minimum(apart, np.hypot(*(deep_rc - chosen[-1]).T))
        if apart.max() <= 2 * depth.max():
            break
        chosen.append(deep_rc[int(np.argmax(apart))])
    return np.asarray(np.array(chosen)[:, ::-1] + (box.col_off + 0.5, box.row_off + 0.5))
