"""The feature pyramid behind the Hiera trunk, and the position encoding of its maps.

Reference: sam2/modeling/backbones/image_encoder.py, sam2/modeling/position_encoding.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from geosam.segmenters.sam.dense import PointwiseConv2d

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Lateral(nn.Module):
    """Projection of one stage. The class gives its parameters their official name, `conv`."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = PointwiseConv2d(before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, before, H, W) to (B, after, H, W)."""
        out: Tensor = self.conv(x)
        return out


class FpnNeck(nn.Module):
    """Feature pyramid: four stages to three maps of equal width. The coarsest stage is added to the third map.

    The two fine maps are projections of their stages alone (sam2's `fpn_top_down_levels: [2, 3]`), and the coarsest
    map is dropped (`scalp: 1`). `convs` are stored from coarse to fine.
    """

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        """Build the projections.

        Args:
            channels: channels of the stages, from fine to coarse.
            width: channels of the maps.
        """
        super().__init__()
        self.convs = nn.ModuleList(Lateral(before, width) for before in reversed(channels))

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Map stages (B, C, H, W), from fine to coarse, each half the size of the one before, to (B, width, H, W)."""
        coarsest, third, second, first = (conv(x) for conv, x in zip(self.convs, reversed(stages), strict=True))
        batch, width, height, columns = coarsest.shape
        # Nearest upsampling by 2 is a broadcast, so no upsampled map is made.
        cells = third.permute(0, 2, 3, 1).reshape(batch, height, 2, columns, 2, width)
        cells = cells + coarsest.permute(0, 2, 3, 1)[:, :, None, :, None]
        third = cells.reshape(batch, 2 * height, 2 * columns, width).permute(0, 3, 1, 2)
        return first, second, third


def sine_positions(channels: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return sines and cosines of the row (first half of the channels) and of the column. Only memory needs them.

    Returns:
        (1, channels, height, width) float32. `channels` is a multiple of 4.
    """
    half = channels // 2
    pair = torch.arange(half, dtype=torch.float32, device=device) // 2
    divisor = 10000 ** (2 * pair / half)
    rows, columns = (_waves(size, divisor) for size in (height, width))
    rows = rows[:, None].expand(height, width, half)
    columns = columns[None].expand(height, width, half)
    return torch.cat([rows, columns], dim=-1).permute(2, 0, 1)[None]


def _waves(size: int, divisor: Tensor) -> Tensor:
    """Return sines in even and cosines in odd channels (size, C) of positions that go around the circle once."""
    position = torch.arange(1, size + 1, dtype=torch.float32, device=divisor.device)
    angle = (position / (size + 1e-6) * (2 * math.pi))[:, None] / divisor
    return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1)
