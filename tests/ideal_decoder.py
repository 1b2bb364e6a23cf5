"""A decoder that knows the answer: what it is shown of a tile is a map of the objects in it."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from geosam.segmenters.lite.decoder import LevelFeatures, RegionMasks

#: Logits of what belongs to an object, and of what does not.
SURE = 6.0


class Looked(NamedTuple):
    """One question."""

    level: str
    cells_hw: tuple[int, int]
    prompts: int


class IdealDecoder:
    """Answers with the object under the first including click, or in the middle of the box; keeps a list of questions.

    The second mask is a part of it (one pixel of stride 4 less at the top), the third half of it.
    """

    def __init__(self):
        self.asked = []

    def locate(self, known, prompts):
        self.asked.append(Looked("locate", tuple(known.own.shape[-2:]), len(prompts.points)))
        return known.own, torch.where(_same(known.own, prompts, 16), SURE, -SURE)

    def outline(self, known, state, prompts, region):
        assert region == (0, 0, *state.shape[-2:])
        self.asked.append(Looked("outline", tuple(state.shape[-2:]), len(prompts.points)))
        whole = _same(known[0].own, prompts, 4)
        less = whole & torch.roll(whole, 1, dims=2)
        half = whole & (torch.arange(whole.shape[-1]) % 2 == 0)
        logits = torch.where(torch.cat([whole, less, half], dim=1), SURE, -SURE)
        return RegionMasks(logits, torch.tensor([[0.9, 0.8, 0.3]]).expand(len(logits), -1))


def _same(numbers, prompts, stride):
    """(N, 1, h, w) where the number is that at the prompt; each coarse cell has the numbers of all its pixels."""
    where = torch.where(
        prompts.boxes.isfinite().all(dim=1, keepdim=True),
        (prompts.boxes[:, :2] + prompts.boxes[:, 2:]) / 2,
        prompts.points[:, 0],
    )
    cols, rows = (where / stride).long().T
    finest = numbers[:, 1:]
    side = int(finest.shape[1] ** 0.5)
    inner = ((where / stride) % 1 * side).long()
    number = finest[torch.arange(len(rows)), inner[:, 1] * side + inner[:, 0], rows, cols]
    same = (finest == number[:, None, None, None]) & (number > 0)[:, None, None, None]
    return same.any(dim=1, keepdim=True)


def known_of(objects):
    """What a tile with objects (H, W; 0 for none), blocks of 4 x 4 pixels each, is to the decoder."""
    numbers = torch.from_numpy(np.ascontiguousarray(objects[::4, ::4])).float()[None, None]
    levels = []
    for side in (1, 2, 4):
        cells = functional.pixel_unshuffle(numbers, side)
        levels.append(LevelFeatures(torch.cat([cells[:, :1], cells], dim=1), cells[:, :1]))
    return tuple(levels)
