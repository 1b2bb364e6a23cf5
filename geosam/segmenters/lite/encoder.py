"""The image encoder: a residual network and a feature pyramid of strides 4, 8 and 16.

A pyramid as in Lin et al., "Feature pyramid networks for object detection" (2017). Plain 3 x 3 convolutions, because
those are what processors compute fastest, forwards and backwards; three quarters of the work lie at strides 4 to 16,
since objects of 15 pixels need tight edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from geosam.segmenters.lite.layers import ConvNorm, ResidualBlock

if TYPE_CHECKING:
    from torch import Tensor

#: Strides of the pyramid, fine to coarse.
STRIDES = (4, 8, 16)
#: Of 8-bit RGB; close to those of aerial pictures, the same for every sensor since scenes are stretched alike.
MEAN, STD = 110.0, 55.0


@dataclass(frozen=True)
class EncoderShape:
    """Channels and depths."""

    stem: int = 32
    """Channels at stride 2."""
    stages: tuple[int, ...] = (48, 96, 160, 256)
    """Channels at strides 4, 8, 16, 32."""
    blocks: tuple[int, ...] = (2, 3, 4, 3)
    """Residual blocks at those strides."""
    pyramid: tuple[int, ...] = (48, 64, 96)
    """Channels of the pyramid at strides 4, 8, 16."""


class Pyramid(NamedTuple):
    """What is remembered of pictures; every array is (B, C, H / stride, W / stride)."""

    features: tuple[Tensor, Tensor, Tensor]
    """At strides 4, 8, 16."""
    dense: Tensor
    """Stride 4, logits of two maps: how far inside an object a pixel is (1 at its innermost point, 0 at its edge and
    outside of all objects), and whether an edge between objects or to the background passes through it."""


class Encoder(nn.Module):
    """Pictures -> pyramid."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.stem = ConvNorm(4, shape.stem, stride=2)
        widths = (shape.stem, *shape.stages)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(widths[i] if n == 0 else out, out, 2 if n == 0 else 1) for n in range(depth)))
            for i, (out, depth) in enumerate(zip(shape.stages, shape.blocks, strict=True))
        )
        outer = (*shape.pyramid, shape.pyramid[-1])
        self.lateral = nn.ModuleList(ConvNorm(i, o, 1) for i, o in zip(shape.stages, outer, strict=True))
        self.narrow = nn.ModuleList(
            nn.Identity() if above == own else nn.Conv2d(above, own, 1) for own, above in pairwise(outer)
        )
        self.smooth = nn.ModuleList(ConvNorm(width, width) for width in shape.pyramid)
        fine = shape.pyramid[0]
        self.dense = nn.Sequential(ConvNorm(fine, 32), nn.ReLU(inplace=True), nn.Conv2d(32, 2, 1))

    def forward(self, pictures: Tensor) -> Pyramid:
        """(B, 4, H, W) of :func:`normalised`, H and W multiples of 32 -> pyramid."""
        x = functional.relu(self.stem(pictures))
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        above: Tensor = functional.relu(self.lateral[3](found[3]))
        features: list[Tensor] = []
        for level in (2, 1, 0):
            above = functional.interpolate(self.narrow[level](above), scale_factor=2.0, mode="nearest")
            above = functional.relu(self.lateral[level](found[level]) + above)
            above = functional.relu(self.smooth[level](above))
            features.insert(0, above)
        return Pyramid((features[0], features[1], features[2]), self.dense(features[0]))


def normalised(rgb: Tensor, valid: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """RGB (B, 3, H, W) uint8 and valid (B, H, W) bool -> input (B, 4, H, W): colours about 0, and what is valid."""
    seen = valid[:, None].to(torch.float32)
    colours = (rgb.to(torch.float32) - MEAN) / STD * seen
    return torch.cat([colours, seen], dim=1).to(dtype, memory_format=torch.channels_last)
