"""The image encoder: a residual network and a feature pyramid with strides 4, 8 and 16.

The pyramid follows Lin et al., "Feature pyramid networks for object detection" (2017).
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
#: Mean and standard deviation of 8-bit RGB, close to those of aerial pictures. One pair serves every sensor, because
#: all scenes get the same stretch.
MEAN, STD = 110.0, 55.0


@dataclass(frozen=True)
class EncoderShape:
    """Channels and depths. Plain 3 x 3 convolutions are what processors compute fastest, forwards and backwards.

    Three quarters of the work lie at strides 4 to 16, because objects of 15 pixels need tight edges.
    """

    stem: int = 32
    """Channels at stride 2."""
    stages: tuple[int, ...] = (48, 96, 160, 256)
    """Channels at strides 4, 8, 16, 32."""
    blocks: tuple[int, ...] = (2, 3, 4, 3)
    """Number of residual blocks at strides 4, 8, 16, 32."""
    pyramid: tuple[int, ...] = (48, 64, 96)
    """Channels of the pyramid at strides 4, 8, 16."""


class Pyramid(NamedTuple):
    """Feature maps of a batch of pictures. Every map is (B, C, H / stride, W / stride)."""

    features: tuple[Tensor, Tensor, Tensor]
    """Maps at strides 4, 8, 16."""
    dense: Tensor
    """(B, 2, H / 4, W / 4) logits of innerness and of edges.

    Innerness is 1 at the innermost point of an object and 0 at its edge and outside of all objects. The edge map is 1
    where an edge between objects, or to the background, passes through the pixel."""


class Encoder(nn.Module):
    """Encoder from pictures to a :class:`Pyramid`."""

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
        """Encode pictures (B, 4, H, W) of :func:`normalised`. H and W are multiples of 32."""
        x = functional.relu(self.stem(pictures))
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        above: Tensor = functional.relu(self.lateral[3](stages[3]))
        features: list[Tensor] = []
        for level in (2, 1, 0):
            above = functional.interpolate(self.narrow[level](above), scale_factor=2.0, mode="nearest")
            above = functional.relu(self.lateral[level](stages[level]) + above)
            above = functional.relu(self.smooth[level](above))
            features.insert(0, above)
        return Pyramid((features[0], features[1], features[2]), self.dense(features[0]))


def normalised(rgb: Tensor, valid: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the network's input (B, 4, H, W): colours around 0, then 1 for valid pixels.

    Args:
        rgb: (B, 3, H, W) uint8.
        valid: (B, H, W) bool. Colours of invalid pixels become 0.
        dtype: type of the result.
    """
    weight = valid[:, None].to(torch.float32)
    colours = (rgb.to(torch.float32) - MEAN) / STD * weight
    return torch.cat([colours, weight], dim=1).to(dtype, memory_format=torch.channels_last)
