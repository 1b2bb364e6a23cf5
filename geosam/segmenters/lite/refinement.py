"""Windows of a tile around the objects of prompts, and the masks in them.

The decoder sees a window of a tile as if it were a picture of its own, as large as the pictures it was trained on. If
the object reaches the edge of the window, a wider window follows. So the time for a prompt depends on the size of its
object, and prompts whose windows have one size are decoded together.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from geosam.geometry.pixel_sets import box_around
from geosam.segmenters.lite.decoder import LevelFeatures
from geosam.segmenters.lite.encoder import STRIDES
from geosam.segmenters.lite.prompt_maps import Prompts, Region
from geosam.segmenters.lite.prompt_tensors import as_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from geosam._arrays import BoolArray, Singles
    from geosam.segmenters.clipped_prompt import ClippedPrompt
    from geosam.segmenters.lite.decoder import Decoder

#: Pixels of a cell, the unit of windows and regions.
CELL = STRIDES[-1]
#: Side of the first window and least margin around the prompt in it, in cells.
_FIRST_SIDE, _MARGIN = 24, 4
#: Cells belong to the object if their probability exceeds 0.3 (here as a logit) and they connect to the prompt.
_PLACE_LOGIT = float(np.log(0.3 / 0.7))
#: Cells around the object in which its edge may lie, and the step of the sides of regions. With few different sizes,
#: many prompts share one.
_AROUND, _STEP = 1, 4
_EIGHT_CONNECTED = np.ones((3, 3), bool)


class PromptMasks(NamedTuple):
    """Masks of one prompt over a region of the tile."""

    region: Region
    """Region in cells of the tile."""
    logits: Singles
    """(MASKS, h, w) logits of the region at stride 4."""
    iou: Singles
    """(MASKS,) predicted IoU."""
    cut: bool
    """True if the mask of highest predicted IoU ends at an edge of the region that is no edge of the tile."""


@dataclass(frozen=True)
class _Search:
    """Search for the object of one prompt. All regions are in cells of the tile."""

    number: int
    """Number of the prompt."""
    region: Region
    """Cells that the finer levels must cover: those of the prompt, and more after its masks have reached an edge."""
    window: Region
    """Cells in which the coarsest level searches for the object."""
    extent: Region
    """Cells of the prompt itself."""

    def widened(self, region: Region, tile: Region) -> _Search:
        """Return the search in a window of twice the size."""
        side = 2 * max(self.window.height, self.window.width)
        return replace(self, region=region, window=_grown(region, 0, tile, min_side=side))


def outlines(
    decoder: Decoder,
    features: tuple[LevelFeatures, ...],
    prompts: Sequence[ClippedPrompt],
    *,
    cells: int,
    min_iou: float | None,
) -> list[PromptMasks]:
    """Decode prompts of one tile, each in a window around its object.

    Args:
        decoder: decoder with folded norms.
        features: features of the tile at strides 4, 8, 16.
        prompts: prompts in pixels of the tile.
        cells: most cells that are decoded together. One prompt may have more. With more than one prompt together, the
            last digits of a result may depend on the other prompts.
        min_iou: follow only the mask of highest predicted IoU beyond the window, and only if its IoU is no less. None:
            follow every mask.
    """
    tile = Region(0, 0, *features[-1].own.shape[-2:])
    fine = features[0].own
    tensors = as_tensors(prompts, (fine.shape[-2], fine.shape[-1]), fine.device)
    searches = [_first_search(number, prompt, tile) for number, prompt in enumerate(prompts)]
    finished: dict[int, PromptMasks] = {}
    while searches:
        located: list[tuple[_Search, Tensor]] = []
        wider: list[_Search] = []
        for rows in _batches([search.window for search in searches], cells):
            batch = [searches[row] for row in rows]
            for search, state, place in zip(batch, *_located(decoder, features[-1], tensors, batch), strict=True):
                region = _object_region(search, place, tile)
                if region is None:
                    wider.append(search.widened(search.region, tile))
                else:
                    located.append((replace(search, region=region), state))
        for rows in _batches([search.region for search, _ in located], cells):
            batch, states = [located[row][0] for row in rows], [located[row][1] for row in rows]
            for search, masks in zip(batch, _decoded(decoder, features, tensors, batch, states), strict=True):
                if search.region != tile and _continues(masks, tile, min_iou):
                    region = _grown(search.region, max(search.region[2:]) // 2, tile)
                    wider.append(search.widened(region, tile))
                else:
                    finished[search.number] = masks
        searches = sorted(wider, key=lambda search: search.number)
    return [finished[number] for number in range(len(prompts))]


def _first_search(number: int, prompt: ClippedPrompt, tile: Region) -> _Search:
    """Return the first search for the object of a prompt."""
    x0, y0, x1, y1 = (int(value // CELL) for value in prompt.extent_xyxy)
    row, col = min(y0, tile.height - 1), min(x0, tile.width - 1)
    extent = Region(row, col, min(y1 + 1, tile.height) - row, min(x1 + 1, tile.width) - col)
    return _Search(number, extent, _grown(extent, _MARGIN, tile, min_side=_FIRST_SIDE), extent)


def _batches(windows: Sequence[Region], cells: int) -> Iterator[list[int]]:
    """Yield the numbers of windows of one size, in order, with at most `cells` cells together."""
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, window in enumerate(windows):
        by_size[window.height, window.width].append(number)
    for (height, width), members in by_size.items():
        at_once = max(1, cells // (height * width))
        for start in range(0, len(members), at_once):
            yield members[start : start + at_once]


def _located(
    decoder: Decoder, coarse: LevelFeatures, prompts: Prompts, searches: Sequence[_Search]
) -> tuple[Tensor, Singles]:
    """Locate objects in windows of one size: states (n, width, h, w) and logits (n, h, w) of the objects' cells."""
    windows = [search.window for search in searches]
    state, place = decoder.locate(cut(coarse, windows, CELL), shifted(prompts.rows(_numbers(searches)), windows))
    return state, place[:, 0].float().cpu().numpy()


def _decoded(
    decoder: Decoder,
    features: tuple[LevelFeatures, ...],
    prompts: Prompts,
    searches: Sequence[_Search],
    states: Sequence[Tensor],
) -> list[PromptMasks]:
    """Decode regions of one size, given the states (width, h, w) of the coarsest level in their windows."""
    regions = [search.region for search in searches]
    inside = [_within(search.region, search.window) for search in searches]
    state = torch.stack([part.cut(maps, CELL) for part, maps in zip(inside, states, strict=True)])
    parts = tuple(cut(level, regions, stride) for level, stride in zip(features, STRIDES, strict=True))
    whole = Region(0, 0, *state.shape[-2:])
    answer = decoder.outline(parts, state, shifted(prompts.rows(_numbers(searches)), regions), whole)
    tile = Region(0, 0, *features[-1].own.shape[-2:])
    logits, iou = answer.logits.cpu().numpy(), answer.iou.float().cpu().numpy()
    return [
        PromptMasks(region, masks, scores, _crosses(masks[scores.argmax()] > 0, region, tile))
        for region, masks, scores in zip(regions, logits, iou, strict=True)
    ]


def cut(level: LevelFeatures, windows: Sequence[Region], stride: int) -> LevelFeatures:
    """Cut n windows of one size out of the features (1, C, H, W) of a tile: (n, C, h, w)."""
    return LevelFeatures(*(torch.cat([window.cut(maps, stride) for window in windows]) for maps in level))


def shifted(prompts: Prompts, windows: Sequence[Region]) -> Prompts:
    """Move n prompts of a tile into the pixels of n windows of one size."""
    corner = torch.tensor([[window.col * CELL, window.row * CELL] for window in windows], device=prompts.points.device)
    prior = [window.cut(maps, STRIDES[0]) for maps, window in zip(prompts.prior, windows, strict=True)]
    return prompts._replace(
        points=prompts.points - corner[:, None], boxes=prompts.boxes - corner.repeat(1, 2), prior=torch.stack(prior)
    )


def _numbers(searches: Sequence[_Search]) -> list[int]:
    return [search.number for search in searches]


def _object_region(search: _Search, place: Singles, tile: Region) -> Region | None:
    """Return the cells of the tile around the object, given its logits (h, w) in the window.

    Return None if the object reaches the edge of the window.
    """
    prompt = _within(search.extent, search.window)
    labels, _ = ndimage.label(place > _PLACE_LOGIT, _EIGHT_CONNECTED)
    near = labels[max(prompt.row - 1, 0) : prompt.row + prompt.height + 1]
    near = near[:, max(prompt.col - 1, 0) : prompt.col + prompt.width + 1]
    cells = np.isin(labels, np.unique(near[near > 0]))
    if _crosses(cells, search.window, tile):
        return None
    region = search.region
    box = box_around(cells)
    if box is not None:
        inside = Region(search.window.row + box.row_off, search.window.col + box.col_off, box.height, box.width)
        region = _united(region, inside)
    return _grown(region, _AROUND, search.window)


def _continues(masks: PromptMasks, tile: Region, min_iou: float | None) -> bool:
    """Return True if a mask that is followed crosses an edge of its region."""
    if min_iou is None:
        return _crosses(masks.logits.max(axis=0) > 0, masks.region, tile)
    return masks.cut and bool(masks.iou.max() >= min_iou)


def _crosses(mask: BoolArray, window: Region, tile: Region) -> bool:
    """Return True if a mask (h, w) of a window touches an edge of the window that is no edge of the tile."""
    bottom, right = window.row + window.height, window.col + window.width
    return bool(
        (window.row > 0 and mask[0].any())
        or (window.col > 0 and mask[:, 0].any())
        or (bottom < tile.height and mask[-1].any())
        or (right < tile.width and mask[:, -1].any())
    )


def _grown(region: Region, margin: int, around: Region, min_side: int = 0) -> Region:
    """Add a margin to a region, round its sides up to whole steps, and move and cut it to lie in another region."""
    row, height = _span(region.row, region.height, margin, (around.row, around.height), min_side)
    col, width = _span(region.col, region.width, margin, (around.col, around.width), min_side)
    return Region(row, col, height, width)


def _span(start: int, length: int, margin: int, around: tuple[int, int], min_length: int) -> tuple[int, int]:
    """Return (first, number) of the cells of :func:`_grown` along one axis."""
    rounded = max(-(-(length + 2 * margin) // _STEP) * _STEP, min_length)
    size = min(rounded, around[1])
    first = start - (size - length) // 2
    return min(max(first, around[0]), around[0] + around[1] - size), size


def _united(region: Region, other: Region) -> Region:
    """Return the smallest region that contains both."""
    row, col = min(region.row, other.row), min(region.col, other.col)
    bottom = max(region.row + region.height, other.row + other.height)
    right = max(region.col + region.width, other.col + other.width)
    return Region(row, col, bottom - row, right - col)


def _within(region: Region, window: Region) -> Region:
    """Convert a region of the tile to cells of a window."""
    return region._replace(row=region.row - window.row, col=region.col - window.col)
