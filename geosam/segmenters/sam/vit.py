"""The image encoder of SAM and HQ-SAM: a vision transformer with windows and decomposed relative positions.

Reference: segment_anything/modeling/image_encoder.py, with the same names of parameters and the same results. The order
of the attention differs: no matrix of all tokens against all tokens is in memory, and padding is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from geosam.segmenters.sam.attention import join_windows, split_windows
from geosam.segmenters.sam.dense import Linear, linear, onednn_serves
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.layers import LayerNorm2d

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

#: Rows of queries of one head whose logits are in memory at once. For a 64 x 64 map they are 4 MB and stay in cache.
CPU_ROWS = 4
#: Rows of queries of all heads for which PyTorch's kernel gets a bias, of at most 134 MB in half precision.
DEVICE_ROWS = 16


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of one of SAM's image encoders."""

    width: int
    """Channels of a token."""
    depth: int
    """Number of blocks."""
    heads: int
    """Attention heads of each block."""
    global_blocks: tuple[int, ...]
    """Indices, ascending, of the blocks that attend over the whole image. The others attend within windows."""
    image_size: int = 1024
    """Side of the input in pixels."""
    patch: int = 16
    """Side of a token in pixels."""
    window: int = 14
    """Side of a window in tokens."""
    out_channels: int = 256
    """Channels of the embedding."""
    keep_early: bool = False
    """True to return the output of the first global block too, for the decoder of HQ-SAM."""


VIT_B = ViTConfig(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11))
VIT_L = ViTConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23))
VIT_H = ViTConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))


class ViT(nn.Module):
    """Image encoder of SAM and HQ-SAM."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        grid = config.image_size // config.patch
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, config.width))
        self.patch_embed = ViTPatchEmbed(config.width, config.patch)
        self.blocks = nn.ModuleList(
            ViTBlock(config.width, config.heads, grid, 0 if index in config.global_blocks else config.window)
            for index in range(config.depth)
        )
        self.neck = neck(config.width, config.out_channels)

    def forward(self, x: Tensor) -> ImageFeatures:
        """Encode normalised images, on a CPU one after the other.

        Args:
            x: (B, 3, image_size, image_size).

        Returns:
            `image` (B, out_channels, G, G), where G is image_size / patch, and with `keep_early` one `early` map
            (B, width, G, G). The maps lie channels last in memory.
        """
        return one_by_one(self._encode, x)

    def _encode(self, x: Tensor) -> ImageFeatures:
        early: tuple[Tensor, ...] = ()
        x = self.patch_embed(x) + self.pos_embed
        for index, block in enumerate(self.blocks):
            x = block(x)
            if self.config.keep_early and index == self.config.global_blocks[0]:
                early = (x.permute(0, 3, 1, 2),)
        return ImageFeatures(self.neck(x.permute(0, 3, 1, 2)), early=early)


def one_by_one(encode: Callable[[Tensor], ImageFeatures], x: Tensor) -> ImageFeatures:
    """Encode a batch (B, 3, H, W), on a CPU one by one, so that the bytes of a result do not depend on the batch."""
    parts = [encode(image) for image in x.split(1)] if x.device.type == "cpu" else [encode(x)]
    early = zip(*(part.early for part in parts), strict=True)
    return ImageFeatures(torch.cat([part.image for part in parts]), early=tuple(map(torch.cat, early)))


class ViTPatchEmbed(nn.Module):
    """Projection of squares of pixels to tokens."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, H / patch, W / patch, width)."""
        patch = self.proj.kernel_size[0]
        squares = x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch)).permute(0, 2, 4, 1, 3, 5).flatten(3)
        return linear(squares, self.proj.weight.flatten(1), self.proj.bias)


class ViTBlock(nn.Module):
    """Attention and a two-layer perceptron, each added to its input."""

    def __init__(self, width: int, heads: int, grid: int, window: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = ViTAttention(width, heads, grid, window)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = ViTMlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, width) to (B, H, W, width)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class ViTMlp(nn.Module):
    """Two linear layers with a GELU between them. The inner layer has four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin1 = Linear(width, 4 * width, gelu=True)
        self.lin2 = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        out: Tensor = self.lin2(self.lin1(x))
        return out


class ViTAttention(nn.Module):
    """Attention with relative positions, in windows or over the whole map."""

    def __init__(self, width: int, heads: int, grid: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.size = window or grid
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * self.size - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * self.size - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, width) to (B, H, W, width)."""
        height, width = x.shape[1:3]
        qkv = self.qkv(x)
        if self.window:
            # The reference pads with zeros before this layer, so padded tokens are its bias.
            tokens = self._attend(split_windows(qkv, self.window, self.qkv.bias))
            attended = join_windows(tokens, self.window, height, width)
        else:
            attended = self._attend(qkv.flatten(1, 2)).unflatten(1, (height, width))
        out: Tensor = self.proj(attended)
        return out

    def _attend(self, qkv: Tensor) -> Tensor:
        """Compute attention within G squares of N tokens each: (G, N, 3 * width) -> (G, N, width)."""
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        # On a CPU, the logits are float32 throughout: this costs nothing, and their rounding matters most.
        terms = self._relative_terms(q.float() if q.device.type == "cpu" else q)
        attend = by_head if onednn_serves(q) and not self.window else by_rows
        return attend(q, k, v, *terms).flatten(2)

    def _relative_terms(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return the parts of the logits that depend on the distance of a key from a query, down and across.

        Queries (G, heads, S * S, D) give (G, heads, S, S, S) twice. The axes are row and column of the query, then the
        row or the column of the key.
        """
        q = q.unflatten(2, (self.size, self.size))
        index = torch.arange(self.size, device=q.device)
        offsets = index[:, None] - index + self.size - 1
        down = torch.einsum("ghyxd,ykd->ghyxk", q, self.rel_pos_h[offsets].to(q.dtype))
        return down, torch.einsum("ghyxd,xkd->ghyxk", q, self.rel_pos_w[offsets].to(q.dtype))


def by_rows(q: Tensor, k: Tensor, v: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Compute attention within squares of S x S tokens, for `DEVICE_ROWS` rows of queries at a time.

    Args:
        q: (G, heads, S * S, D) queries.
        k: (G, heads, S * S, D) keys.
        v: (G, heads, S * S, D) values.
        down: (G, heads, S, S, S) bias of each query for the keys of each row.
        across: (G, heads, S, S, S) bias of each query for the keys of each column.

    Returns:
        (G, S * S, heads, D).
    """
    # The kernel takes a bias for every pair of query and key. For whole maps it would be larger than everything else.
    parts = []
    steps = (block.split(DEVICE_ROWS, dim=2) for block in (q.unflatten(2, down.shape[2:4]), down, across))
    for queries, rows, columns in zip(*steps, strict=True):
        bias = (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)
        attended = functional.scaled_dot_product_attention(queries.flatten(2, 3), k, v, attn_mask=bias)
        parts.append(attended.transpose(1, 2))
    return torch.cat(parts, dim=1)


def by_head(q: Tensor, k: Tensor, v: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Compute `by_rows` for CPUs and large squares, for one head and `CPU_ROWS` rows of queries at a time."""
    # The logits stay in cache, and the products run in oneDNN, which torch's own attention kernel does not use.
    groups, heads, tokens, depth = q.shape
    size = down.shape[-1]
    out = q.new_empty(groups, tokens, heads, depth)
    q, k, v = q.float().contiguous() * depth**-0.5, k.float().contiguous(), v.contiguous()
    for group, head in product(range(groups), range(heads)):
        for start in range(0, size, CPU_ROWS):
            rows, part = slice(start, start + CPU_ROWS), slice(start * size, (start + CPU_ROWS) * size)
            logits = linear(q[group, head, part], k[group, head])
            maps = logits.view(-1, size, size, size)
            maps += down[group, head, rows, :, :, None]
            maps += across[group, head, rows, :, None, :]
            weights = logits.softmax(dim=-1).to(v.dtype)
            out[group, part, head] = linear(weights, v[group, head].t())
    return out


def neck(width: int, out_channels: int) -> nn.Sequential:
    """Build the layers from (B, width, H, W) to the embedding (B, out_channels, H, W), for SAM and MobileSAM."""
    return nn.Sequential(
        nn.Conv2d(width, out_channels, kernel_size=1, bias=False),
        LayerNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    )
