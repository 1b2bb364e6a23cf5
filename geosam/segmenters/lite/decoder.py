"""The mask decoder: three levels, from coarse to fine, that select the cells of the prompted object.

Each level compares the features of every cell with the features at the prompt. Small convolutions combine the result
with the position of the prompt and the state of the coarser level. The coarsest level covers the whole picture. The
finer levels cover only the region that it found, so the time for a prompt depends on the size of the object.
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

#: Masks of a prompt: a part, the whole and a group, in no fixed order.
MASKS = 3
#: Channels of the decoder at strides 4, 8, 16, and channels of the features that are compared.
WIDTHS, COMPARED = (32, 40, 48), 32


class RegionMasks(NamedTuple):
    """Masks of N prompts over a region."""

    logits: Tensor
    """(N, MASKS, h, w) at stride 4."""
    iou: Tensor
    """(N, MASKS) predicted IoU of each mask."""


class LevelFeatures(NamedTuple):
    """Features of B pictures at one level, which do not depend on prompts."""

    own: Tensor
    """(B, width, h, w) features that enter the state directly."""
    compared: Tensor
    """(B, COMPARED, h, w) unit vectors that are compared with the ones at the prompt."""

    def of(self, picture: Tensor) -> LevelFeatures:
        """Repeat the features for N prompts, given the number (N,) of the picture of each prompt."""
        return LevelFeatures(*(maps.permute(0, 2, 3, 1)[picture].permute(0, 3, 1, 2) for maps in self))


class Level(nn.Module):
    """One level of the decoder. Its attributes are names in files of weights."""

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

    def prepare(self, features: Tensor) -> LevelFeatures:
        """Convert features (B, inputs, h, w) of pictures."""
        compared = self.compared(features)
        return LevelFeatures(self.own(features), functional.normalize(compared.float(), dim=1).to(compared.dtype))

    def forward(self, features: LevelFeatures, prompts: Prompts, region: Region, coarser: Tensor | None) -> Tensor:
        """Compute the state (N, width, h, w) over a region.

        Args:
            features: of the whole picture of each prompt.
            prompts: N prompts.
            region: cells of the picture.
            coarser: (N, C, h / 2, w / 2) state of the coarser level over the region; None at the coarsest level.
        """
        drawn = prompt_maps(prompts, region, self.stride).to(features.own.dtype)
        likeness = self._likeness(features.compared, prompts, region)
        state = region.cut(features.own, self.stride) + likeness + self.asked(drawn)
        if self.coarser is not None and coarser is not None:
            state = state + functional.interpolate(self.coarser(coarser), scale_factor=2.0, mode="nearest")
        out: Tensor = self.blocks(functional.relu(self.norm(functional.relu(state))))
        return out

    def _likeness(self, compared: Tensor, prompts: Prompts, region: Region) -> Tensor:
        """Compare each cell with the prompt: a linear layer (N, width, h, w) over the products of their features."""
        # The features at the prompt are multiplied into the weights, so the products are never stored.
        to_included, to_excluded = self.likeness.weight.split(COMPARED, dim=1)
        included, excluded = (references(compared, prompts, label, self.stride)[:, None] for label in (1, 0))
        weights = COMPARED**0.5 * (to_included * included + to_excluded * excluded)
        cells = region.cut(compared, self.stride).permute(0, 2, 3, 1)
        likeness = cells.flatten(1, 2) @ weights.transpose(1, 2).to(cells.dtype)
        maps: Tensor = likeness.unflatten(1, cells.shape[1:3]).permute(0, 3, 1, 2)
        return maps


class Decoder(nn.Module):
    """Decoder from prompts to masks."""

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

    def prepare(self, pyramid: Pyramid) -> tuple[LevelFeatures, ...]:
        """Compute the part that needs no prompt, at strides 4, 8, 16."""
        fine, middle, coarse = pyramid.features
        fine = torch.cat([fine, torch.sigmoid(pyramid.dense.detach())], dim=1)
        levels = cast("Iterable[Level]", self.levels)
        return tuple(level.prepare(maps) for level, maps in zip(levels, (fine, middle, coarse), strict=True))

    def locate(self, features: LevelFeatures, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Find the cells of the object at the coarsest level, in whole pictures (H, W).

        Returns:
            State (N, width, H / 16, W / 16), and logits (N, 1, H / 16, W / 16) of the cells with the object.
        """
        height, width = features.own.shape[-2:]
        state = self.levels[2](features, prompts, Region(0, 0, height, width), None)
        return state, self.place(state)

    def outline(
        self, features: tuple[LevelFeatures, ...], state: Tensor, prompts: Prompts, region: Region
    ) -> RegionMasks:
        """Compute the masks over a region.

        Args:
            features: of whole pictures at strides 4, 8, 16.
            state: (N, width, H / 16, W / 16) of the coarsest level for the whole picture.
            prompts: N prompts.
            region: cells of the picture.
        """
        coarse = region.cut(state, STRIDES[2])
        middle = self.levels[1](features[1], prompts, region, coarse)
        fine = self.levels[0](features[0], prompts, region, middle)
        logits = self.masks(fine).float()
        return RegionMasks(logits, self._predicted_iou(fine.float(), coarse.float(), logits.detach()))

    def _predicted_iou(self, fine: Tensor, coarse: Tensor, logits: Tensor) -> Tensor:
        """Predict the IoU (N, MASKS) from the mean features inside each mask and on its edge, and from its shape."""
        inside = torch.sigmoid(logits).flatten(2)
        edge = inside * (1 - inside)  # largest where the probability is 1/2
        area, length = inside.sum(dim=2, keepdim=True), edge.sum(dim=2, keepdim=True)
        pixels = fine.flatten(2).transpose(1, 2)
        cells = coarse.flatten(2).transpose(1, 2)
        shares = functional.avg_pool2d(torch.sigmoid(logits), 4).flatten(2)
        statistics = [
            inside @ pixels / area.clamp(min=1),
            edge @ pixels / length.clamp(min=1e-2),
            shares @ cells / shares.sum(dim=2, keepdim=True).clamp(min=1e-2),
            length / area.clamp(min=1).sqrt(),
            torch.log1p(area) / 10,
            (inside > 0.5).float().mean(dim=2, keepdim=True),
        ]
        iou: Tensor = self.judge(torch.cat(statistics, dim=2))
        return iou[..., 0]
