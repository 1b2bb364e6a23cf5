"""The mask decoder: from coarse to fine, each level asks again what belongs to the prompt.

At every level the features of each cell are compared with those at the prompt, and small convolutions decide from
that, from where the prompt lies, and from what the coarser level saw. The coarsest level looks at the whole picture;
the finer ones only where that found the object, so the price of an answer follows the object's size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from geosam.segmenters.lite.encoder import STRIDES, Pyramid
from geosam.segmenters.lite.layers import ConvNorm, ResidualBlock
from geosam.segmenters.lite.prompt_maps import MAPS, Prompts, Region, prompt_maps, references

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

#: Masks of an answer: a part, the whole and a group, in no fixed order.
MASKS = 3
#: Channels of the decoder at strides 4, 8, 16, and of the features that are compared with those at the prompt.
WIDTHS, COMPARED = (32, 40, 48), 32


class LevelAnswer(NamedTuple):
    """The masks of N prompts over a region."""

    logits: Tensor
    """(N, MASKS, h, w) at stride 4."""
    iou: Tensor
    """(N, MASKS) expected IoU of each."""


class Prepared(NamedTuple):
    """What a level knows of pictures before any prompt."""

    own: Tensor
    """(B, width, h, w) features on their own."""
    compared: Tensor
    """(B, COMPARED, h, w) unit vectors that are compared with those at the prompt."""

    def of(self, picture: Tensor) -> Prepared:
        """For N prompts, given the number (N,) of each one's picture."""
        return Prepared(*(maps.permute(0, 2, 3, 1)[picture].permute(0, 3, 1, 2) for maps in self))


class Level(nn.Module):
    """One level of the decoder."""

    def __init__(self, inputs: int, width: int, coarser: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.own = nn.Conv2d(inputs, width, 1)
        self.compared = nn.Conv2d(inputs, COMPARED, 1)
        self.likeness = nn.Linear(2 * COMPARED, width, bias=False)
        self.asked = nn.Conv2d(MAPS, width, 1, bias=False)
        self.coarser = nn.Conv2d(coarser, width, 1, bias=False) if coarser else None
        self.norm = ConvNorm(width, width, 1)
        self.blocks = nn.Sequential(ResidualBlock(width, width), ResidualBlock(width, width))

    def prepare(self, features: Tensor) -> Prepared:
        """Features (B, inputs, h, w) of pictures."""
        compared = self.compared(features)
        return Prepared(self.own(features), functional.normalize(compared.float(), dim=1).to(compared.dtype))

    def forward(self, known: Prepared, prompts: Prompts, region: Region, coarser: Tensor | None) -> Tensor:
        """State (N, width, h, w) over a region; `known` of whole pictures, `coarser` of the region one level up."""
        asked = prompt_maps(prompts, region, self.stride).to(known.own.dtype)
        state = region.cut(known.own, self.stride) + self._alike(known.compared, prompts, region) + self.asked(asked)
        if self.coarser is not None and coarser is not None:
            state = state + functional.interpolate(self.coarser(coarser), scale_factor=2.0, mode="nearest")
        out: Tensor = self.blocks(functional.relu(self.norm(functional.relu(state))))
        return out

    def _alike(self, compared: Tensor, prompts: Prompts, region: Region) -> Tensor:
        """(N, width, h, w) a linear layer over the products of each cell's features with those at the prompt.

        The features at the prompt go into its weights, so that the products are never written down.
        """
        to_yes, to_no = self.likeness.weight.split(COMPARED, dim=1)
        yes, no = (references(compared, prompts, label, self.stride)[:, None] for label in (1, 0))
        weights = COMPARED**0.5 * (to_yes * yes + to_no * no)
        cells = region.cut(compared, self.stride).permute(0, 2, 3, 1)
        alike = cells.flatten(1, 2) @ weights.transpose(1, 2).to(cells.dtype)
        maps: Tensor = alike.unflatten(1, cells.shape[1:3]).permute(0, 3, 1, 2)
        return maps


class Decoder(nn.Module):
    """Prompts -> masks."""

    def __init__(self, pyramid: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (pyramid[0] + 2, *pyramid[1:])
        self.levels = nn.ModuleList(
            Level(inputs[i], WIDTHS[i], WIDTHS[i + 1] if i < 2 else 0, stride) for i, stride in enumerate(STRIDES)
        )
        self.place = nn.Conv2d(WIDTHS[2], 1, 1)
        self.masks = nn.Conv2d(WIDTHS[0], MASKS, 1)
        self.judge = nn.Sequential(
            nn.Linear(2 * WIDTHS[0] + WIDTHS[2] + 3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def prepare(self, pyramid: Pyramid) -> tuple[Prepared, ...]:
        """What needs no prompt, at strides 4, 8, 16."""
        fine, middle, coarse = pyramid.features
        fine = torch.cat([fine, torch.sigmoid(pyramid.dense.detach())], dim=1)
        levels = cast("Iterable[Level]", self.levels)
        return tuple(level.prepare(maps) for level, maps in zip(levels, (fine, middle, coarse), strict=True))

    def locate(self, known: Prepared, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """State (N, width, H / 16, W / 16) of the coarsest level, and logits (N, 1, ...) of cells with the object."""
        height, width = known.own.shape[-2:]
        state = self.levels[2](known, prompts, Region(0, 0, height, width), None)
        return state, self.place(state)

    def outline(self, known: tuple[Prepared, ...], state: Tensor, prompts: Prompts, region: Region) -> LevelAnswer:
        """The masks over a region, given the coarsest level's state of the whole picture."""
        coarse = region.cut(state, STRIDES[2])
        middle = self.levels[1](known[1], prompts, region, coarse)
        fine = self.levels[0](known[0], prompts, region, middle)
        logits = self.masks(fine).float()
        return LevelAnswer(logits, self._judged(fine.float(), coarse.float(), logits.detach()))

    def _judged(self, fine: Tensor, coarse: Tensor, logits: Tensor) -> Tensor:
        """Expected IoU (N, MASKS) from what lies inside each mask, on its edge, and how sure it is."""
        inside = torch.sigmoid(logits).flatten(2)
        edge = inside * (1 - inside)
        area, length = inside.sum(dim=2, keepdim=True), edge.sum(dim=2, keepdim=True)
        pixels = fine.flatten(2).transpose(1, 2)
        cells = coarse.flatten(2).transpose(1, 2)
        shares = functional.avg_pool2d(torch.sigmoid(logits), 4).flatten(2)
        seen = [
            inside @ pixels / area.clamp(min=1),
            edge @ pixels / length.clamp(min=1e-2),
            shares @ cells / shares.sum(dim=2, keepdim=True).clamp(min=1e-2),
            length / area.clamp(min=1).sqrt(),
            torch.log1p(area) / 10,
            (inside > 0.5).float().mean(dim=2, keepdim=True),
        ]
        judged: Tensor = self.judge(torch.cat(seen, dim=2))
        return judged[..., 0]
