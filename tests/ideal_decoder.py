"""A decoder that knows the objects: the features of a tile are a map of its objects."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from geosam.segmenters.lite.decoder import LevelFeatures, RegionMasks

#: Logits of pixels inside an object; negative outside.
SURE = 6.0


class DecoderCall(NamedTuple):
    """One call."""

    level: str
    cells_hw: tuple[int, int]
    prompts: int


class IdealDecoder:
    """Finds the object under the first including click, or in the middle of the box, and keeps a list of calls.

    The second mask is a part of it (one pixel of stride 4 less at the top), the third half of it.
    """

    def __init__(self):
        self.calls = []

    def locate(self, features, prompts):
        self.calls.append(DecoderCall("locate", tuple(features.own.shape[-2:]), len(prompts.points)))
        return features.own, torch.where(_same(features.own, prompts, 16), SURE, -SURE)

    def outline(self, features, state, prompts, region):
        assert region == (0, 0, *state.shape[-2:])
        self.calls.append(DecoderCall("outline", tuple(state.shape[-2:]), len(prompts.points)))
        whole = _same(features[0].own, prompts, 4)
        less = whole & torch.roll(whole, 1, dims=2)
        half = whole & (torch.arange(whole.shape[-1]) % 2 == 0)
        logits = torch.where(torch.cat([whole, less, half], dim=1), SURE, -SURE)
        return RegionMasks(logits, torch.tensor([[0.9, 0.8, 0.3]]).expand(len(logits), -1))


def _same(numbers, prompts, stride):
    """True (N, 1, h, w) where the number is that at the prompt. A coarse cell has the numbers of all its pixels."""
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


def features_of(objects):
    """Features of a tile with objects (H, W; 0 for none) in blocks of 4 x 4 pixels."""
    numbers = torch.from_numpy(np.ascontiguousarray(objects[::4, ::4])).float()[None, None]
    levels = []
    for side in (1, 2, 4):
        cells = functional.pixel_unshuffle(numbers, side)
        levels.append(LevelFeatures(torch.cat([cells[:, :1], cells], dim=1), cells[:, :1]))
    return tuple(levels)
