"""Linear layers and convolutions of tokens, computed by the faster of the matrix libraries inside torch."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """Compute `functional.linear`, then an exact GELU with `gelu`.

    Args:
        x: (..., K).
        weight: (N, K), contiguous or the transpose of a contiguous matrix. With gaps between its rows, oneDNN takes a
            path that is a thousand times slower.
        bias: (N).
        gelu: apply `functional.gelu` to the result.

    Returns:
        (..., N).
    """
    if onednn_serves(x):
        # The operator applies the GELU while the result is in cache.
        name, algorithm = ("gelu", "none") if gelu else ("none", "")
        fused: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, name, [], algorithm)
        return fused
    x = functional.linear(x, weight, bias)
    return functional.gelu(x) if gelu else x


def onednn_serves(x: Tensor) -> bool:
    """Return True if products with `x` go to oneDNN: on a CPU, in eager inference, for types that the CPU multiplies.

    By itself, torch sends float32 products on CPUs to MKL, which runs at half of oneDNN's speed on AMD processors.
    """
    # The operators of oneDNN have no gradients, and a converter that traces a network does not understand them.
    if x.device.type != "cpu" or torch.is_grad_enabled() or not torch.backends.mkldnn.enabled:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return False
    if not _has_operators():  # last: this runs an operator, which must not happen in a trace
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def _has_operators() -> bool:
    """Return True if this build of torch has the operators. They are private, so a later version may lack them."""
    try:
        matrix = torch.ones(1, 1)
        torch.ops.mkldnn._linear_pointwise(matrix, matrix, None, "none", [], "")
        picture = matrix[None, None]
        torch.ops.mkldnn._convolution_pointwise(
            picture, picture, matrix[0], [0, 0], [1, 1], [1, 1], 1, "gelu", [], "none"
        )
    except (AttributeError, RuntimeError) as error:
        logger.warning("this PyTorch lacks oneDNN's operators, and networks run slower on the CPU: %s", error)
        return False
    return True


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor, *, stride: int = 1, groups: int = 1, gelu: bool = False
) -> Tensor:
    """Convolve tokens with a square kernel of odd size, then apply an exact GELU with `gelu`.

    Args:
        x: (B, H, W, K), contiguous.
        weight: (N, K / groups, size, size).
        bias: (N).
        stride: distance of two results in tokens.
        groups: number of groups of channels that are convolved separately.
        gelu: apply `functional.gelu` to the result.

    Returns:
        (B, H / stride, W / stride, N), with sizes rounded up.
    """
    padding = weight.shape[-1] // 2
    picture = x.permute(0, 3, 1, 2)
    if onednn_serves(x) and gelu:
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            picture, weight, bias, [padding, padding], [stride, stride], [1, 1], groups, "gelu", [], "none"
        )
        return fused.permute(0, 2, 3, 1)
    tokens = functional.conv2d(picture, weight, bias, stride, padding, groups=groups).permute(0, 2, 3, 1)
    return functional.gelu(tokens) if gelu else tokens


def times_transposed(a: Tensor, b: Tensor) -> Tensor:
    """Return the products `a[i] @ b[i].T`: (B, M, K), (B, N, K) -> (B, M, N)."""
    if len(a) == 1:
        return linear(a[0], b[0])[None]
    return a @ b.transpose(1, 2)


def added(image: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the sums `image[i] + a[i] @ b[i]`: (1 or B, M, N), (B, M, K), (B, K, N) -> (B, M, N)."""
    if len(a) != 1:
        return (a @ b).add_(image)
    if a.dtype == torch.float32:
        return linear(a[0], b[0].T).add_(image[0])[None]
    return torch.addmm(image[0], a[0], b[0])[None]


class Linear(nn.Linear):
    """A linear layer over the last axis, optionally followed by the exact GELU."""

    def __init__(self, before: int, after: int, *, gelu: bool = False) -> None:
        super().__init__(before, after)
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., before) to (..., after)."""
        return linear(x, self.weight, self.bias, gelu=self.gelu)


class PointwiseConv2d(nn.Conv2d):
    """A 1 x 1 convolution. Maps that lie channels last in memory are not copied."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, before, H, W) to (B, after, H, W), channels last in memory."""
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
