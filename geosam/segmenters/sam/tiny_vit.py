"""The image encoder of MobileSAM: TinyViT-5M, with a stage of convolutions and three stages of windowed attention.

Reference: `modeling/tiny_vit_sam.py` of MobileSAM, also in segment_anything_hq, with the same names of parameters and
the same results.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from geosam.segmenters.sam.attention import join_windows, split_windows
from geosam.segmenters.sam.dense import Linear, convolve, linear
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.vit import neck, one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from torch import Tensor

#: Classes of the data set that TinyViT was trained with. Checkpoints contain the layer that classifies.
CLASSES = 1000


@dataclass(frozen=True)
class TinyViTConfig:
    """Sizes of MobileSAM's image encoder."""

    widths: tuple[int, int, int, int]
    """Channels of the four stages."""
    depths: tuple[int, int, int, int]
    """Number of blocks of each stage."""
    heads: tuple[int, int, int]
    """Attention heads of the last three stages. The first stage has none."""
    windows: tuple[int, int, int]
    """Side of the windows of the last three stages in tokens."""
    strides: tuple[int, int, int] = (2, 2, 1)
    """Factor by which the map shrinks after each of the first three stages."""
    out_channels: int = 256
    """Channels of the embedding."""
    keep_early: bool = False
    """True to return the output of the first stage of attention too, for the decoder of HQ-SAM."""


TINY_VIT = TinyViTConfig(widths=(64, 128, 160, 320), depths=(2, 2, 6, 2), heads=(4, 5, 10), windows=(7, 14, 7))


class TinyViT(nn.Module):
    """Image encoder of MobileSAM.

    `norm_head` and `head` classify. The encoder does not use them, but every checkpoint contains them.
    """

    def __init__(self, config: TinyViTConfig) -> None:
        super().__init__()
        self.config = config
        last = config.widths[-1]
        self.patch_embed = TinyViTPatchEmbed(config.widths[0])
        self.layers = nn.ModuleList([ConvStage(config), *(AttentionStage(config, index) for index in (1, 2, 3))])
        self.norm_head = nn.LayerNorm(last)
        self.head = nn.Linear(last, CLASSES)
        self.neck = neck(last, config.out_channels)

    def forward(self, x: Tensor) -> ImageFeatures:
        """Encode normalised images, on a CPU one after the other.

        Args:
            x: (B, 3, H, W); H and W are multiples of 16.

        Returns:
            `image` (B, out_channels, H / 16, W / 16), and with `keep_early` one `early` map
            (B, widths[2], H / 16, W / 16). The maps lie channels last in memory.
        """
        return one_by_one(self._encode, x)

    def _encode(self, x: Tensor) -> ImageFeatures:
        convolutions, first, *others = self.layers
        x = first(convolutions(self.patch_embed(x.permute(0, 2, 3, 1).contiguous())))
        early = (x.permute(0, 3, 1, 2),) if self.config.keep_early else ()
        for stage in others:
            x = stage(x)
        return ImageFeatures(self.neck(x.permute(0, 3, 1, 2)), early=early)


class TinyViTConvNorm(nn.Module):
    """A convolution and the batch norm after it, computed as one convolution.

    The norm is folded in every call. Weights are small and pictures large, so this costs nothing, and there is no
    second copy of the parameters. Parameters stay float32 when the module is converted, so that folded weights are
    rounded once.
    """

    def __init__(self, before: int, after: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 (torch's)
        def moved(value: Tensor) -> Tensor:
            return value.to(fn(value.flatten()[:0]).device)

        return super()._apply(moved, recurse)  # type: ignore[no-untyped-call,no-any-return]

    def forward(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """Map (B, H, W, before) to (B, H / stride, W / stride, after)."""
        weight, bias = (value.to(x.dtype) for value in self._folded())
        if self.c.kernel_size == (1, 1):
            return linear(x, weight.flatten(1), bias, gelu=gelu)
        return convolve(x, weight, bias, stride=self.c.stride[0], groups=self.c.groups, gelu=gelu)

    def _folded(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the folded convolution, float32."""
        norm = self.bn
        scale = norm.weight * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
        return self.c.weight * scale[:, None, None, None], norm.bias - norm.get_buffer("running_mean") * scale


class TinyViTPatchEmbed(nn.Module):
    """Two convolutions that turn 4 x 4 pixels into a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.ModuleDict(
            {"0": TinyViTConvNorm(3, width // 2, 3, stride=2), "2": TinyViTConvNorm(width // 2, width, 3, stride=2)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, 3) to (B, H / 4, W / 4, width)."""
        out: Tensor = self.seq["2"](self.seq["0"](x, gelu=True))
        return out


class Bottleneck(nn.Module):
    """MBConv: widening to four times, a depthwise convolution, narrowing, and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = TinyViTConvNorm(width, 4 * width)
        self.conv2 = TinyViTConvNorm(4 * width, 4 * width, 3, groups=4 * width)
        self.conv3 = TinyViTConvNorm(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, width) to (B, H, W, width)."""
        inner = self.conv3(self.conv2(self.conv1(x, gelu=True), gelu=True))
        return functional.gelu(inner + x)


class PatchMerging(nn.Module):
    """Convolutions between stages, which change the width and shrink the map."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = TinyViTConvNorm(before, after)
        self.conv2 = TinyViTConvNorm(after, after, 3, stride=stride, groups=after)
        self.conv3 = TinyViTConvNorm(after, after)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, before) to (B, H / stride, W / stride, after)."""
        out: Tensor = self.conv3(self.conv2(self.conv1(x, gelu=True), gelu=True))
        return out


class ConvStage(nn.Module):
    """First stage: convolutions only."""

    def __init__(self, config: TinyViTConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Bottleneck(config.widths[0]) for _ in range(config.depths[0]))
        self.downsample = PatchMerging(*config.widths[:2], config.strides[0])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, widths[0]) to (B, H / stride, W / stride, widths[1])."""
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.downsample(x)
        return out


class AttentionStage(nn.Module):
    """One of the last three stages: attention in windows. The last stage keeps width and size."""

    def __init__(self, config: TinyViTConfig, index: int) -> None:
        super().__init__()
        numbers = config.widths[index], config.heads[index - 1], config.windows[index - 1]
        self.blocks = nn.ModuleList(TinyViTBlock(*numbers) for _ in range(config.depths[index]))
        steps = list(zip(pairwise(config.widths), config.strides, strict=True))
        self.downsample = PatchMerging(*steps[index][0], steps[index][1]) if index < len(steps) else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, widths[index]) to (B, H / stride, W / stride, widths[index + 1]); the last stage keeps both."""
        for block in self.blocks:
            x = block(x)
        out: Tensor = x if self.downsample is None else self.downsample(x)
        return out


class TinyViTBlock(nn.Module):
    """Attention, a depthwise convolution, and a two-layer perceptron."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = TinyViTAttention(width, heads, window)
        self.mlp = TinyViTMlp(width)
        self.local_conv = TinyViTConvNorm(width, width, 3, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, width) to (B, H, W, width)."""
        x = self.local_conv(x + self.attn(x))
        out: Tensor = x + self.mlp(x)
        return out


class TinyViTMlp(nn.Module):
    """Layer norm, then two linear layers with a GELU between them. The inner layer has four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = Linear(width, 4 * width, gelu=True)
        self.fc2 = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        out: Tensor = self.fc2(self.fc1(self.norm(x)))
        return out


class TinyViTAttention(nn.Module):
    """Attention in windows, with a learned bias for every distance along each axis."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, width) to (B, H, W, width)."""
        # The reference pads with zeros before the norm, so padded tokens are the projection of the norm's bias.
        windows = split_windows(self.qkv(self.norm(x)), self.window, self.qkv(self.norm.bias))
        q, k, v = windows.unflatten(2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4).unbind()
        # On a CPU, the kernel accepts a bias that is more exact than its queries.
        bias = self._bias().to(torch.float32 if x.device.type == "cpu" else x.dtype)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        tokens = join_windows(attended.transpose(1, 2).flatten(2), self.window, *x.shape[1:3])
        out: Tensor = self.proj(tokens)
        return out

    def _bias(self) -> Tensor:
        """Return the bias (heads, N, N) of the logits, from one value for each pair of distances down and across."""
        index = torch.arange(self.window, device=self.attention_biases.device)
        distance = (index[:, None] - index).abs()
        biases = self.attention_biases.unflatten(1, (self.window, self.window))
        pairs: Tensor = biases[:, distance][..., distance]
        return pairs.transpose(2, 3).flatten(3).flatten(1, 2)
