"""How much of a tile the decoder looks at for a prompt: a window around it, wider as long as the object goes on.

What the decoder is shown of a tile is cut out as if it were a picture of its own, of the size of those it learnt from.
So an answer costs what its object's size makes it cost, and prompts whose windows have one size can be asked together.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from geosam.geometry.pixel_sets import box_around
from geosam.segmenters.lite.decoder import Prepared
from geosam.segmenters.lite.encoder import STRIDES
from geosam.segmenters.lite.prompt_maps import Prompts, Region
from geosam.segmenters.lite.prompt_tensors import as_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam._arrays import BoolArray
    from geosam.segmenters.lite.decoder import Decoder
    from geosam.segmenters.lite.prompt_tensors import Asked

#: Pixels of a cell, the unit of windows and regions.
CELL = STRIDES[-1]
#: Side of the first window, and least margin around the prompt in it, cells.
_FIRST, _MARGIN = 24, 4
#: Cells are the object's if their probability exceeds this (as a logit) and they hang together with the prompt.
_PLACE_LOGIT = float(np.log(0.3 / 0.7))
#: Cells around the object in which its edge is looked for; sides of regions are multiples of `_STEP`, so that many
#: prompts have regions of one size.
_AROUND, _STEP = 1, 4
_TOUCHING = np.ones((3, 3), bool)


class Outlined(NamedTuple):
    """The answer to one prompt."""

    region: Region
    """Where it lies, cells of the tile."""
    logits: NDArray[np.float32]
    """(MASKS, h, w) of the region at stride 4."""
    iou: NDArray[np.float32]
    """(MASKS,) expected IoU."""
    cut: bool
    """Whether the mask of highest expected IoU ends where the region ends, and the tile does not."""


@dataclass(frozen=True)
class _Look:
    """How far is looked for the object of one prompt; all in cells of the tile."""

    number: int
    """Which prompt."""
    region: Region
    """What is certainly looked at closely: what the prompt itself takes, and more once its masks have gone further."""
    window: Region
    """Where its object is looked for."""
    extent: Region
    """What the prompt itself takes."""

    def wider(self, region: Region, tile: Region) -> _Look:
        """The same with a window of twice the size."""
        side = 2 * max(self.window.height, self.window.width)
        return replace(self, region=region, window=_grown(region, 0, tile, least=side))


def outlines(
    decoder: Decoder, known: tuple[Prepared, ...], batch: Sequence[Asked], *, cells: int, worth: float | None
) -> list[Outlined]:
    """The masks of prompts of one tile.

    Args:
        decoder: its norms are folded.
        known: what it has prepared of the tile, at strides 4, 8, 16.
        batch: the prompts.
        cells: of the prompts that are decoded together; those of one prompt may be more. Answers may depend on those
            beside them in their last digits.
        worth: look further only for the mask of highest expected IoU, and if that is no less; None: for any mask.
    """
    tile = Region(0, 0, *known[-1].own.shape[-2:])
    fine = known[0].own
    prompts = as_tensors(batch, (fine.shape[-2], fine.shape[-1]), fine.device)
    looks = [_first(number, one, tile) for number, one in enumerate(batch)]
    done: dict[int, Outlined] = {}
    while looks:
        located: list[tuple[_Look, Tensor]] = []
        wider: list[_Look] = []
        for rows in _alike([look.window for look in looks], cells):
            group = [looks[row] for row in rows]
            for look, state, place in zip(group, *_located(decoder, known[-1], prompts, group), strict=True):
                region = _region(look, place, tile)
                if region is None:
                    wider.append(look.wider(look.region, tile))
                else:
                    located.append((replace(look, region=region), state))
        for rows in _alike([look.region for look, _ in located], cells):
            group, states = [located[row][0] for row in rows], [located[row][1] for row in rows]
            for look, answer in zip(group, _outlined(decoder, known, prompts, group, states), strict=True):
                if look.region != tile and _goes_on(answer, tile, worth):
                    wider.append(look.wider(_grown(look.region, max(look.region[2:]) // 2, tile), tile))
                else:
                    done[look.number] = answer
        looks = sorted(wider, key=lambda look: look.number)
    return [done[number] for number in range(len(batch))]


def _first(number: int, one: Asked, tile: Region) -> _Look:
    """The first look at a prompt."""
    x0, y0, x1, y1 = (int(value // CELL) for value in one.extent_xyxy)
    row, col = min(y0, tile.height - 1), min(x0, tile.width - 1)
    extent = Region(row, col, min(y1 + 1, tile.height) - row, min(x1 + 1, tile.width) - col)
    return _Look(number, extent, _grown(extent, _MARGIN, tile, least=_FIRST), extent)


def _alike(shown: Sequence[Region], cells: int) -> Iterator[list[int]]:
    """Yield the numbers of windows of one size, in order, at most so many cells at once."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, window in enumerate(shown):
        groups[window.height, window.width].append(number)
    for (height, width), members in groups.items():
        at_once = max(1, cells // (height * width))
        for start in range(0, len(members), at_once):
            yield members[start : start + at_once]


def _located(
    decoder: Decoder, coarse: Prepared, prompts: Prompts, looks: Sequence[_Look]
) -> tuple[Tensor, NDArray[np.float32]]:
    """In windows of one size: states (n, width, h, w) of the coarsest level, logits (n, h, w) of the object's cells."""
    windows = [look.window for look in looks]
    state, place = decoder.locate(cut(coarse, windows, CELL), shifted(prompts.rows(_rows(looks)), windows))
    return state, place[:, 0].float().cpu().numpy()


def _outlined(
    decoder: Decoder,
    known: tuple[Prepared, ...],
    prompts: Prompts,
    looks: Sequence[_Look],
    states: Sequence[Tensor],
) -> list[Outlined]:
    """Answers in regions of one size, given the coarsest level's states in their windows."""
    regions = [look.region for look in looks]
    inside = [_within(look.region, look.window) for look in looks]
    state = torch.stack([part.cut(one, CELL) for part, one in zip(inside, states, strict=True)])
    parts = tuple(cut(level, regions, stride) for level, stride in zip(known, STRIDES, strict=True))
    answer = decoder.outline(
        parts, state, shifted(prompts.rows(_rows(looks)), regions), Region(0, 0, *state.shape[-2:])
    )
    height, width = known[-1].own.shape[-2:]
    logits, iou = answer.logits.cpu().numpy(), answer.iou.float().cpu().numpy()
    return [
        Outlined(region, masks, scores, _reaches_over(masks[scores.argmax()] > 0, region, Region(0, 0, height, width)))
        for region, masks, scores in zip(regions, logits, iou, strict=True)
    ]


def cut(level: Prepared, windows: Sequence[Region], stride: int) -> Prepared:
    """What a level knows of windows of one size (n, C, h, w)."""
    return Prepared(*(torch.cat([window.cut(maps, stride) for window in windows]) for maps in level))


def shifted(prompts: Prompts, windows: Sequence[Region]) -> Prompts:
    """Prompts (n) of a tile in pixels of a window each, all of one size."""
    corner = torch.tensor([[window.col * CELL, window.row * CELL] for window in windows], device=prompts.points.device)
    prior = [window.cut(one, STRIDES[0]) for one, window in zip(prompts.prior, windows, strict=True)]
    return prompts._replace(
        points=prompts.points - corner[:, None], boxes=prompts.boxes - corner.repeat(1, 2), prior=torch.stack(prior)
    )


def _rows(looks: Sequence[_Look]) -> list[int]:
    return [look.number for look in looks]


def _region(look: _Look, place: NDArray[np.float32], tile: Region) -> Region | None:
    """The cells (of the tile) that hold the object, with some around; None if it goes on beyond the window."""
    asked = _within(look.extent, look.window)
    labels, _ = ndimage.label(place > _PLACE_LOGIT, _TOUCHING)
    near = labels[max(asked.row - 1, 0) : asked.row + asked.height + 1]
    near = near[:, max(asked.col - 1, 0) : asked.col + asked.width + 1]
    cells = np.isin(labels, np.unique(near[near > 0]))
    if _reaches_over(cells, look.window, tile):
        return None
    found = look.region
    box = box_around(cells)
    if box is not None:
        inside = Region(look.window.row + box.row_off, look.window.col + box.col_off, box.height, box.width)
        found = _united(found, inside)
    return _grown(found, _AROUND, look.window)


def _goes_on(answer: Outlined, tile: Region, worth: float | None) -> bool:
    """Whether a mask that counts ends where the region ends, and the tile does not."""
    if worth is None:
        return _reaches_over(answer.logits.max(axis=0) > 0, answer.region, tile)
    return answer.cut and bool(answer.iou.max() >= worth)


def _reaches_over(mask: BoolArray, window: Region, tile: Region) -> bool:
    """Whether a mask (h, w) of a window touches an edge of it that is no edge of the tile."""
    bottom, right = window.row + window.height, window.col + window.width
    return bool(
        (window.row > 0 and mask[0].any())
        or (window.col > 0 and mask[:, 0].any())
        or (bottom < tile.height and mask[-1].any())
        or (right < tile.width and mask[:, -1].any())
    )


def _grown(region: Region, margin: int, around: Region, least: int = 0) -> Region:
    """A region with a margin, its sides rounded up to whole steps, moved and cut to lie in another one."""
    row, height = _span(region.row, region.height, margin, (around.row, around.height), least)
    col, width = _span(region.col, region.width, margin, (around.col, around.width), least)
    return Region(row, col, height, width)


def _span(start: int, length: int, margin: int, around: tuple[int, int], least: int) -> tuple[int, int]:
    """(first, number) of the cells of :func:`_grown` along one axis."""
    wanted = max(-(-(length + 2 * margin) // _STEP) * _STEP, least)
    size = min(wanted, around[1])
    first = start - (size - length) // 2
    return min(max(first, around[0]), around[0] + around[1] - size), size


def _united(one: Region, other: Region) -> Region:
    """The smallest region that holds both."""
    row, col = min(one.row, other.row), min(one.col, other.col)
    bottom = max(one.row + one.height, other.row + other.height)
    right = max(one.col + one.width, other.col + other.width)
    return Region(row, col, bottom - row, right - col)


def _within(region: Region, window: Region) -> Region:
    """A region of the tile in cells of a window."""
    return region._replace(row=region.row - window.row, col=region.col - window.col)
