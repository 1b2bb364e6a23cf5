"""Layers that are linear over channels, computed by `dense.linear`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from geosam.models.sam.dense import linear

if TYPE_CHECKING:
    from torch import Tensor


class Linear(nn.Linear):
    """A linear layer over the last axis, optionally followed by the exact GELU."""

    def __init__(self, before: int, after: int, *, gelu: bool = False) -> None:
        super().__init__(before, after)
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        """(..., before) -> (..., after)."""
        return linear(x, self.weight, self.bias, gelu=self.gelu)


class PointwiseConv2d(nn.Conv2d):
    """A 1 x 1 convolution. Maps that lie channels last in memory are not copied."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, after, H, W), channels last in memory."""
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
