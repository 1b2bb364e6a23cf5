"""The image encoders of SAM 2 and 2.1: a Hiera trunk and a feature pyramid.

Hiera is a vision transformer with four stages. Every stage after the first begins with a block that doubles the
channels and pools the queries 2 x 2. Most blocks attend within windows, a few over the whole image.

Tokens are (N, h, w, C), where N is images times windows. They stay in window order while the windows of successive
blocks agree. Pooled windows of 8 on a grid of 256, for example, are the windows of 4 of the next stage on a grid of
128. The order is undone only for windows that do not divide the grid, and for the output of a stage. A block that
attends over the whole image accepts any order.

Reference: sam2/modeling/backbones/hieradet.py, utils.py, image_encoder.py and the files in sam2/configs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from geosam.errors import ModelError
from geosam.segmenters.sam.attention import attention
from geosam.segmenters.sam.dense import Linear
from geosam.segmenters.sam.neck import FpnNeck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

#: Distance of two patches in pixels.
PATCH_STRIDE = 4


class BlockPlan(NamedTuple):
    """Sizes of one block."""

    before: int
    """Channels of the input."""
    after: int
    """Channels of the output."""
    heads: int
    """Attention heads."""
    window: int
    """Side of the attention windows in tokens; 0 for attention over the whole image."""
    pools: bool
    """True if the block halves the grid. It then changes the channels too, and has windows."""


@dataclass(frozen=True)
class HieraConfig:
    """Sizes of one trunk."""

    width: int
    """Channels of the first stage. Every further stage doubles them."""
    heads: int
    """Attention heads of the first stage. Every further stage doubles them."""
    stages: tuple[int, ...]
    """Number of blocks in each stage."""
    global_blocks: tuple[int, ...]
    """Indices of the blocks that attend over the whole image, counted through all stages."""
    windows: tuple[int, ...]
    """Side of the windows of each stage in tokens. The first block of a stage uses the windows of the stage before."""
    background: tuple[int, int]
    """Rows and columns of the learned position embedding, which is stretched over the image."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each stage, from fine to coarse."""
        return tuple(self.width << stage for stage in range(len(self.stages)))

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Index of the last block of each stage."""
        return tuple(end - 1 for end in accumulate(self.stages))

    @property
    def stride(self) -> int:
        """Side of a token of the last stage in pixels of the image."""
        return PATCH_STRIDE << (len(self.stages) - 1)

    def blocks(self) -> Iterator[BlockPlan]:
        """Yield the sizes of all blocks in order."""
        index = 0
        for stage, count in enumerate(self.stages):
            after, heads = self.width << stage, self.heads << stage
            for number in range(count):
                pools = stage > 0 and number == 0
                window = 0 if index in self.global_blocks else self.windows[stage - pools]
                yield BlockPlan(after >> pools, after, heads, window, pools)
                index += 1


HIERA_TINY = HieraConfig(96, 1, (1, 2, 7, 2), (5, 7, 9), (8, 4, 14, 7), (7, 7))
HIERA_SMALL = HieraConfig(96, 1, (1, 2, 11, 2), (7, 10, 13), (8, 4, 14, 7), (7, 7))
HIERA_BASE_PLUS = HieraConfig(112, 2, (2, 3, 16, 3), (12, 16, 20), (8, 4, 14, 7), (14, 14))
HIERA_LARGE = HieraConfig(144, 2, (2, 6, 36, 4), (23, 33, 43), (8, 4, 16, 8), (7, 7))


class HieraPatchEmbed(nn.Module):
    """Projection of overlapping patches of 7 x 7 pixels, 4 apart, to tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=7, stride=PATCH_STRIDE, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, H / 4, W / 4, C)."""
        tokens: Tensor = self.proj(x.contiguous(memory_format=torch.channels_last))
        return tokens.permute(0, 2, 3, 1)


class WindowAttention(nn.Module):
    """Attention within each window, with queries that may be pooled 2 x 2. The caller applies the output projection."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.heads, self.pools = plan.heads, plan.pools
        self.qkv = Linear(plan.before, 3 * plan.after)
        self.proj = Linear(plan.after, plan.after)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, h, w, before) to (N, h, w, after), or to (N, h / 2, w / 2, after) with pooling."""
        qkv: Tensor = self.qkv(x)
        query, key, value = qkv.chunk(3, dim=-1)
        if self.pools:
            query = pool(query)
        mixed = attention(self._by_head(query), self._by_head(key), self._by_head(value))
        return mixed.transpose(1, 2).reshape(query.shape)

    def _by_head(self, x: Tensor) -> Tensor:
        """Divide channels by heads: (N, h, w, C) -> (N, heads, h * w, C / heads)."""
        count, height, width, channels = x.shape
        return x.reshape(count, height * width, self.heads, channels // self.heads).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them. The inner layer has four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Linear(width, 4 * width, gelu=True), Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        for layer in self.layers:
            x = layer(x)
        return x


class HieraBlock(nn.Module):
    """Attention and feed-forward, each behind a layer normalisation and beside a shortcut."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.window, self.pools = plan.window, plan.pools
        self.norm1 = nn.LayerNorm(plan.before, eps=1e-6)
        self.attn = WindowAttention(plan)
        self.norm2 = nn.LayerNorm(plan.after, eps=1e-6)
        self.mlp = FeedForward(plan.after)
        if plan.pools:
            self.proj = Linear(plan.before, plan.after)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map tokens (N, h, w, before), in any order, of images with `grid` tokens to (N, h, w, after).

        The result is in the order of this block's windows if they divide the grid. A block that pools returns tokens
        of half the grid.
        """
        x = arrange(x, grid, self.window) if self.window else x
        normed = self.norm1(x)
        shortcut = pool(self.proj(normed)) if self.pools else x
        x = shortcut + self.attn.proj(self._mix(normed, grid))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.attn(x)
        return mixed

    def _mix(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Compute attention for tokens in window order or row by row; over the whole image, in any order."""
        if not self.window:
            return self._attend(x.reshape(-1, grid[0] * grid[1], 1, x.shape[-1])).reshape(x.shape)
        if x.shape[1:3] == (self.window, self.window):
            return self._attend(x)
        # As in the reference, padding follows the normalisation and takes part in attention. Its keys and values are
        # the bias.
        rows, columns = (-size % self.window for size in grid)
        padded = functional.pad(x, (0, 0, 0, columns, 0, rows))
        mixed = self._attend(split(padded, self.window))
        scale = 2 if self.pools else 1
        height, width = (size // scale for size in grid)
        return join(mixed, (padded.shape[1] // scale, padded.shape[2] // scale))[:, :height, :width]


class Hiera(nn.Module):
    """Trunk from images to one map for each stage."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = HieraPatchEmbed(config.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.width, *config.background))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.width, config.windows[0], config.windows[0]))
        self.blocks = nn.ModuleList(HieraBlock(plan) for plan in config.blocks())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 3, H, W) to (B, C, H / 4, W / 4), (B, 2 C, H / 8, W / 8) ..., channels last in memory.

        Raises:
            ModelError: tokens of the last stage, or windows of the first stage, do not divide the sides.
        """
        unit = max(self.config.stride, PATCH_STRIDE * self.config.windows[0])
        if x.shape[2] % unit or x.shape[3] % unit:
            raise ModelError(
                f"the input does not fit the image encoder: found {x.shape[2]} x {x.shape[3]} pixels, "
                f"expected multiples of {unit}.",
                remedy="Scale or pad the image first.",
                code="encoder-input-size",
                height=x.shape[2],
                width=x.shape[3],
                unit=unit,
            )
        x = self.patch_embed(x)
        grid = (x.shape[1], x.shape[2])
        x = self._place(x)
        stages = []
        for index, block in enumerate(self.blocks):
            x = block(x, grid)
            if block.pools:
                grid = (grid[0] // 2, grid[1] // 2)
            if index in self.config.stage_ends:
                stages.append(join(x, grid).permute(0, 3, 1, 2))
        return tuple(stages)

    def _place(self, x: Tensor) -> Tensor:
        """Add the position embeddings, in window order: (B, H, W, C) -> (N, window, window, C)."""
        height, width = x.shape[1:3]
        # The background is stretched again for every image. The two small products take less than 1 % of the encoder's
        # time, and a cache could outlive a change of weights, size or type.
        rows, columns = (
            _cubic(before, after, x.device).to(x.dtype)
            for before, after in zip(self.config.background, (height, width), strict=True)
        )
        across = torch.einsum("chw,yh->ywc", self.pos_embed[0], rows)
        x = x + columns @ across
        return split(x, self.config.windows[0]) + self.pos_embed_window.permute(0, 2, 3, 1)


class HieraEncoder(nn.Module):
    """Image encoder of SAM 2: trunk and neck."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.trunk = Hiera(config)
        self.neck = FpnNeck(config.channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (B, 3, 1024, 1024) to (B, 256, 256, 256), (B, 256, 128, 128) and (B, 256, 64, 64).

        The images are normalised. The maps lie channels last in memory.

        Raises:
            ModelError: the sides are no multiples of 32.
        """
        # On CPUs a batch saves no time. One by one, no byte of a result depends on the other images.
        if len(x) > 1 and x.device.type == "cpu":
            first, second, third = zip(*map(self, x.split(1)), strict=True)
            return torch.cat(first), torch.cat(second), torch.cat(third)
        maps: tuple[Tensor, Tensor, Tensor] = self.neck(self.trunk(x))
        return maps


def pool(x: Tensor) -> Tensor:
    """Take the maximum of 2 x 2 tokens: (N, h, w, C) -> (N, h / 2, w / 2, C), for even h and w."""
    x = torch.maximum(x[:, 0::2], x[:, 1::2])
    return torch.maximum(x[:, :, 0::2], x[:, :, 1::2])


def split(x: Tensor, window: int) -> Tensor:
    """Bring tokens into window order: (B, H, W, C) -> (N, window, window, C). `window` divides H and W."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window, window, channels)


def join(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Undo `split`: (N, h, w, C) -> (B, H, W, C) with (H, W) = `grid`."""
    _, rows, columns, channels = x.shape
    x = x.reshape(-1, grid[0] // rows, grid[1] // columns, rows, columns, channels)
    return x.transpose(2, 3).reshape(-1, *grid, channels)


def arrange(x: Tensor, grid: tuple[int, int], window: int) -> Tensor:
    """Bring tokens (N, h, w, C) into the order of windows, or, if the windows do not divide the grid, row by row."""
    divides = grid[0] % window == 0 and grid[1] % window == 0
    if x.shape[1:3] == ((window, window) if divides else grid):
        return x
    return split(join(x, grid), window) if divides else join(x, grid)


def _cubic(before: int, after: int, device: torch.device) -> Tensor:
    """Return the weights (after, before) of bicubic interpolation along one axis."""
    identity = torch.eye(before, device=device)[None, None]
    return functional.interpolate(identity, size=(after, before), mode="bicubic")[0, 0]
