"""Prompted objects: the first window, its mask, and growth over the window's borders until the object is whole.

The first window is chosen on a lattice of quarter tiles so that the prompt lies well inside; neighbouring prompts
share windows, and so embeddings. A mask that touches an inner edge goes on in the next window, which is prompted with
points from the strip both windows see. Session and batch use this code, so replaying prompts gives the same polygons.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from scipy import ndimage

from geosam import corners
from geosam.geobox import Edge, Window
from geosam.grid import TileGrid
from geosam.masks import Granularity, MaskSet, SceneObject
from geosam.prompts import PixelPrompts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from geosam.corners import BoolArray, Corners
    from geosam.prompts import ScenePrompt
    from geosam.segmenter import Embedding, Segmenter

#: Side of the square around the first window that an object may fill, scene pixels.
GROWTH_LIMIT_PX = 16384
#: Least IoU of a strip component and the mask that the next window shows for it.
_AGREEMENT = 0.5
#: Edge of a window, and where in the grid the tile behind it lies: (edge, rows down, columns right).
_SIDES = ((Edge.LEFT, 0, -1), (Edge.TOP, -1, 0), (Edge.RIGHT, 0, 1), (Edge.BOTTOM, 1, 0))


class Embedder(Protocol):
    """Where windows of the scene become embeddings."""

    @property
    def segmenter(self) -> Segmenter:
        """The model that made the embeddings and decodes them."""

    def __call__(self, window: Window) -> Embedding | None:
        """The embedding of a window, None where it has no valid pixel."""


@dataclass(frozen=True)
class WindowRule:
    """How windows for prompts are laid out."""

    region: Window
    """What may be looked at, scene pixels."""
    tile_size: int = 1024
    """Side of a window."""
    overlap: int = 256
    """What a window shares with the next one."""
    limit_px: int = GROWTH_LIMIT_PX
    """Growth stops when the object would reach beyond a square of this side around its first window."""

    def first_window(self, bounds_xyxy: tuple[float, float, float, float]) -> Window:
        """The window of the quarter-tile lattice that has the bounds of a prompt best in its middle."""
        x0, y0, x1, y1 = bounds_xyxy
        col, width = self._start((x0 + x1) / 2, self.region.col_off, self.region.width)
        row, height = self._start((y0 + y1) / 2, self.region.row_off, self.region.height)
        return Window(col, row, width, height)

    def _start(self, centre: float, begin: int, length: int) -> tuple[int, int]:
        if length <= self.tile_size:
            return begin, length
        quarter = self.tile_size // 4 or 1
        start = round((centre - self.tile_size / 2) / quarter) * quarter
        return min(max(start, begin), begin + length - self.tile_size), self.tile_size

    def grid(self, first: Window) -> TileGrid:
        """The windows an object may grow through."""
        return TileGrid.anchored(self.region, first, max(1, self.tile_size - self.overlap))

    def allows(self, window: Window, first: Window) -> bool:
        """Whether growth may reach `window`."""
        margin_x, margin_y = (self.limit_px - first.width) // 2, (self.limit_px - first.height) // 2
        return (
            window.col_off >= first.col_off - margin_x
            and window.row_off >= first.row_off - margin_y
            and window.col_end <= first.col_end + margin_x
            and window.row_end <= first.row_end + margin_y
        )


@dataclass(eq=False)
class _Growth:
    """One object while it grows; masks are of whole windows, by tile of the grid."""

    grid: TileGrid
    masks: dict[int, BoolArray] = field(default_factory=dict)
    scores: dict[int, tuple[float, float]] = field(default_factory=dict)
    truncated: bool = False


class _View(NamedTuple):
    """An embedding and the model that reads it."""

    segmenter: Segmenter
    embedding: Embedding


def segment_prompted(
    embedder: Embedder, prompts: Sequence[ScenePrompt], first: Window, rule: WindowRule
) -> list[SceneObject]:
    """The objects of prompts that share their first window; prompts on nothing give none."""
    embedding = embedder(first)
    if embedding is None:
        return []
    found = []
    for prompt, masks, row in _decode(embedder.segmenter, embedding, prompts, first):
        growth = _Growth(rule.grid(first))
        start = growth.grid.meeting(first)
        index = next(i for i in start if growth.grid.window(i) == first)
        growth.masks[index] = masks.full(row)
        growth.scores[index] = float(masks.predicted_iou[row]), float(masks.stability_score[row])
        _grow(growth, embedder, first, rule)
        found.append(_finished(growth, prompt.index))
    return found


def _decode(
    segmenter: Segmenter, embedding: Embedding, prompts: Sequence[ScenePrompt], window: Window
) -> Iterator[tuple[ScenePrompt, MaskSet, int]]:
    """(prompt, masks, row of the mask it asks for), prompts that found nothing left out."""
    ambiguous = [p for p in prompts if _is_ambiguous(p)]
    clear = [p for p in prompts if not _is_ambiguous(p)]
    for group, multimask in ((ambiguous, True), (clear, False)):
        if not group:
            continue
        masks = segmenter.decode(embedding, PixelPrompts.of(group, window), multimask=multimask, keep=None)
        for number, prompt in enumerate(group):
            row = _choose(masks, number, prompt)
            if row is not None:
                yield prompt, masks, row


def _is_ambiguous(prompt: ScenePrompt) -> bool:
    """Whether a part, the whole and a group are all sensible answers: a single click, or a level asked for."""
    lone_click = prompt.box_xyxy is None and prompt.polygon is None and len(prompt.labels) == 1
    return prompt.granularity != "auto" or lone_click


def _choose(masks: MaskSet, number: int, prompt: ScenePrompt) -> int | None:
    rows = np.flatnonzero(masks.prompt_index == number)
    if prompt.granularity != "auto" and len(rows) > 1:
        wanted = Granularity[prompt.granularity.upper()]
        rows = rows[np.argsort(np.abs(masks.granularity[rows] - int(wanted)), kind="stable")]
        return int(rows[0])
    return int(rows[np.argmax(masks.predicted_iou[rows])]) if len(rows) else None


def _grow(growth: _Growth, embedder: Embedder, first: Window, rule: WindowRule) -> None:
    queue = deque(growth.masks)
    while queue:
        while queue:
            queue.extend(_leave(growth, queue.popleft(), embedder, first, rule))
        queue.extend(_reconcile(growth, embedder))


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
        view = _View(embedder.segmenter, embedding)
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
            view = _View(embedder.segmenter, embedding)
            continued = [_continue(growth, there, part, strip, view) for part in parts]
            if any(continued):
                changed.append(there)
    return changed


def _unknown(growth: _Growth, here: int, there: int) -> tuple[Window, list[BoolArray]]:
    """The strip two tiles share, and the components of one tile's mask in it that the other does not have yet."""
    window, other = growth.grid.window(here), growth.grid.window(there)
    strip = window.intersection(other)
    assert strip is not None  # noqa: S101 - only overlapping tiles are asked about
    labels, count = ndimage.label(growth.masks[here][strip.relative_to(window).slices_rc])
    known = growth.masks.get(there)
    if known is None:
        return strip, [labels == value for value in range(1, count + 1)]
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    shared = np.bincount(labels[known[strip.relative_to(other).slices_rc]], minlength=count + 1)
    return strip, [labels == value for value in range(1, count + 1) if 2 * shared[value] < areas[value]]


def _continue(growth: _Growth, there: int, part: BoolArray, strip: Window, view: _View) -> bool:
    """Prompt the next window inside a component of the strip; False if it shows something else there."""
    window = growth.grid.window(there)
    x, y = _innermost(part)
    point = np.array([[x + strip.col_off - window.col_off, y + strip.row_off - window.row_off]])
    asked = PixelPrompts((point,), (np.ones(1, np.int8),), np.full((1, 4), np.nan), (None,))
    masks = view.segmenter.decode(view.embedding, asked, multimask=True, keep=None)
    inside = strip.relative_to(window).slices_rc
    fits = [_agreement(masks.full(row)[inside], part) for row in range(len(masks))]
    if not fits or max(fits) < _AGREEMENT:
        return False
    row = int(np.argmax(fits))
    known = growth.masks.get(there)
    growth.masks[there] = masks.full(row) if known is None else known | masks.full(row)
    growth.scores.setdefault(there, (float(masks.predicted_iou[row]), float(masks.stability_score[row])))
    return True


def _agreement(seen: BoolArray, part: BoolArray) -> float:
    """IoU of a strip component with those components of another view that meet it."""
    labels, _ = ndimage.label(seen)
    met = np.unique(labels[part & seen])
    other = np.isin(labels, met[met > 0])
    return float(np.count_nonzero(other & part) / np.count_nonzero(other | part))


def _innermost(part: BoolArray) -> tuple[float, float]:
    """Centre (x, y) of the pixel farthest from the outline, the first one of several."""
    rows, cols = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    crop = part[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    depth = ndimage.distance_transform_edt(np.pad(crop, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(cols[0] + col) + 0.5, float(rows[0] + row) + 0.5


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
    score, stability = np.average(scores, axis=0, weights=areas).tolist()
    return SceneObject(
        outline,
        score=score,
        stability=stability,
        n_tiles=len(growth.masks),
        touches_edge=corners.bounds(outline).touches(growth.grid.region),
        truncated=growth.truncated,
        prompt_index=prompt_index,
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
    return corners.corners_of(mask, common.col_off, common.row_off)


def _edge_line(array: NDArray[Any], edge: Edge) -> NDArray[Any]:
    column = array.T if edge in {Edge.LEFT, Edge.RIGHT} else array
    line: NDArray[Any] = column[0] if edge in {Edge.LEFT, Edge.TOP} else column[-1]
    return line
