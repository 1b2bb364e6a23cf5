"""The memory of SAM 2 and 2.1, which links the frames of a video or of a time series of images.

`MemoryEncoder` writes a frame and its mask to a memory map of 64 channels. With `MemoryAttention`, the embedding of the
next frame reads memory maps and object pointers (output tokens of the decoder) of other frames. `Memory` holds both,
and all other tensors of an official checkpoint that belong to no encoder and no decoder. A single image needs only
`Memory.without_memory`.

Reference: sam2/modeling/sam2_base.py, memory_attention.py, memory_encoder.py, position_encoding.py, and RoPEAttention
in sam/transformer.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from geosam.segmenters.sam.attention import attention
from geosam.segmenters.sam.dense import Linear, PointwiseConv2d
from geosam.segmenters.sam.layers import LayerNorm2d, Mlp
from geosam.segmenters.sam.neck import sine_positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

#: Channels of an image embedding.
WIDTH = 256
#: Channels of a memory map.
MEMORY_WIDTH = 64
#: Temporal positions of memory maps: six frames before the present one, and prompted frames.
SLOTS = 7
#: Layers of the memory attention, and inner channels of their feed-forward.
LAYERS, HIDDEN = 4, 2048
#: The memory encoder reads mask probabilities, 0 to 1, as -10 to 10.
MASK_SCALE, MASK_SHIFT = 20.0, -10.0


@dataclass(frozen=True)
class MemoryConfig:
    """Additions of SAM 2.1."""

    pointer_positions: bool
    """True if object pointers carry their distance in time (`obj_ptr_tpos_proj`)."""
    absence: bool
    """True if memory maps carry a mark where the object is hidden (`no_obj_embed_spatial`)."""


SAM2_0 = MemoryConfig(pointer_positions=False, absence=False)
SAM2_1 = MemoryConfig(pointer_positions=True, absence=True)


class Turns(NamedTuple):
    """Rotations of pairs of channels, one for each token of a grid."""

    cos: Tensor
    """(N, C / 2) cosines."""
    sin: Tensor
    """(N, C / 2) sines."""


def axial_turns(height: int, width: int, channels: int, device: torch.device | None = None) -> Turns:
    """Return rotary positions of a grid of tokens, row by row. Half of the pairs turn with x, then half with y."""
    steps = 10000.0 ** -(torch.arange(0, channels, 4, dtype=torch.float32, device=device) / channels)
    rows, columns = (torch.arange(size, dtype=torch.float32, device=device) for size in (height, width))
    x, y = columns.repeat(height), rows.repeat_interleave(width)
    angles = torch.cat([torch.outer(x, steps), torch.outer(y, steps)], dim=1)
    return Turns(angles.cos(), angles.sin())


def rotate(x: Tensor, turns: Turns) -> Tensor:
    """Rotate tokens (B, K * N, C) that cover the same grid of N tokens K times. The arithmetic is float32."""
    pairs = x.float().unflatten(1, (-1, len(turns.cos))).unflatten(-1, (-1, 2))
    a, b = pairs.unbind(-1)
    turned = torch.stack([a * turns.cos - b * turns.sin, a * turns.sin + b * turns.cos], dim=-1)
    return turned.reshape(x.shape).to(x.dtype)


class RotaryAttention(nn.Module):
    """Attention with one head. Positions rotate queries and keys."""

    def __init__(self, key_width: int) -> None:
        super().__init__()
        self.q_proj = Linear(WIDTH, WIDTH)
        self.k_proj = Linear(key_width, WIDTH)
        self.v_proj = Linear(key_width, WIDTH)
        self.out_proj = Linear(WIDTH, WIDTH)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, turns: Turns, pointers: int = 0) -> Tensor:
        """Compute attention of queries (B, N, 256) to keys and values (B, K, C): (B, N, 256).

        The last `pointers` keys have no place on the grid, and are not rotated.
        """
        query, key, value = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        maps, tokens = key.split([key.shape[1] - pointers, pointers], dim=1)
        key = torch.cat([rotate(maps, turns), tokens], dim=1)
        read = attention(rotate(query, turns)[:, None], key[:, None], value[:, None])
        out: Tensor = self.out_proj(read[:, 0])
        return out


class MemoryAttentionLayer(nn.Module):
    """Attention of the image to itself, then to the memory, then a feed-forward with a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(WIDTH)
        self.cross_attn_image = RotaryAttention(MEMORY_WIDTH)
        self.linear1 = Linear(WIDTH, HIDDEN)
        self.linear2 = Linear(HIDDEN, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.norm3 = nn.LayerNorm(WIDTH)

    def forward(self, image: Tensor, keys: Tensor, values: Tensor, turns: Turns, pointers: int) -> Tensor:
        """Map image tokens (B, N, 256) to (B, N, 256). `keys` (B, K, 64) are the memory `values` with positions."""
        normed = self.norm1(image)
        image = image + self.self_attn(normed, normed, normed, turns)
        image = image + self.cross_attn_image(self.norm2(image), keys, values, turns, pointers)
        out: Tensor = image + self.linear2(functional.relu(self.linear1(self.norm3(image))))
        return out


class MemoryAttention(nn.Module):
    """Attention of an image embedding to the memory."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, image: Tensor, memory: Tensor, positions: Tensor, pointers: int = 0) -> Tensor:
        """Condition an image embedding on memory.

        Args:
            image: (B, 256, H, W) embedding.
            memory: (B, K, 64) memory maps of H x W tokens, row by row, one after the other, then tokens of pointers.
            positions: (B or 1, K, 64) encoding of their positions in space and time.
            pointers: number of the last tokens of K that belong to pointers.

        Returns:
            (B, 256, H, W).
        """
        height, width = image.shape[2:]
        grid = sine_positions(WIDTH, height, width, image.device).to(image.dtype)
        tokens = (image + 0.1 * grid).flatten(2).transpose(1, 2)
        turns = axial_turns(height, width, WIDTH, image.device)
        keys = memory + positions
        for layer in self.layers:
            tokens = layer(tokens, keys, memory, turns, pointers)
        out: Tensor = self.norm(tokens).transpose(1, 2).unflatten(2, (height, width))
        return out


class MaskDownsampler(nn.Module):
    """Four convolutions with stride 2, from masks to 256 channels at 1/16 of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        for before, after in ((1, 4), (4, 16), (16, 64), (64, 256)):
            self.encoder.append(nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1))
            self.encoder.append(LayerNorm2d(after))
            self.encoder.append(nn.GELU())
        self.encoder.append(PointwiseConv2d(WIDTH, WIDTH))

    def forward(self, masks: Tensor) -> Tensor:
        """Map (B, 1, 16 H, 16 W) to (B, 256, H, W)."""
        out: Tensor = self.encoder(masks)
        return out


class FuserBlock(nn.Module):
    """ConvNeXt block: depthwise convolution, then a feed-forward that is scaled by channel, beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(WIDTH, WIDTH, kernel_size=7, padding=3, groups=WIDTH)
        self.norm = LayerNorm2d(WIDTH)
        self.pwconv1 = Linear(WIDTH, 4 * WIDTH, gelu=True)
        self.pwconv2 = Linear(4 * WIDTH, WIDTH)
        self.gamma = nn.Parameter(torch.full((WIDTH,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 256, H, W) to (B, 256, H, W)."""
        tokens = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        scaled: Tensor = self.gamma * self.pwconv2(self.pwconv1(tokens))
        return x + scaled.permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """Two ConvNeXt blocks, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([FuserBlock(), FuserBlock()])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 256, H, W) to (B, 256, H, W)."""
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Encoder from an image embedding and a mask to a memory map."""

    def __init__(self) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler()
        self.pix_feat_proj = PointwiseConv2d(WIDTH, WIDTH)
        self.fuser = Fuser()
        self.out_proj = PointwiseConv2d(WIDTH, MEMORY_WIDTH)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        """Map an embedding (B, 256, H, W) and masks (B, 1, 16 H, 16 W), -10 to 10, to a memory map (B, 64, H, W)."""
        out: Tensor = self.out_proj(self.fuser(self.pix_feat_proj(image) + self.mask_downsampler(masks)))
        return out


class StillImage(nn.Module):
    """The part of the memory that a single image needs: the embedding "no memory"."""

    def __init__(self) -> None:
        super().__init__()
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, WIDTH))

    def without_memory(self, image: Tensor) -> Tensor:
        """Return the embedding (B, 256, H, W) of a single image or first frame, as the decoder expects it."""
        return image + self.no_mem_embed.view(1, WIDTH, 1, 1)


class Memory(StillImage):
    """All tensors of SAM 2 outside of image encoder, prompt encoder and decoder, and the steps that use them.

    Every checkpoint has `no_mem_pos_enc` and `mask_downsample`. The released models do not use the first one. The
    second one turns a mask in place of clicks into the mask input (B, 1, 4 H, 4 W) of the prompt encoder.
    """

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.memory_attention = MemoryAttention()
        self.memory_encoder = MemoryEncoder()
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(SLOTS, 1, 1, MEMORY_WIDTH))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, WIDTH))
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.obj_ptr_proj = Mlp((WIDTH, WIDTH, WIDTH, WIDTH))
        if config.absence:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, MEMORY_WIDTH))
        if config.pointer_positions:
            self.obj_ptr_tpos_proj = Linear(WIDTH, MEMORY_WIDTH)

    def with_memory(self, image: Tensor, maps: Sequence[tuple[int, Tensor]], pointers: Tensor, reach: Tensor) -> Tensor:
        """Return the embedding of a frame, conditioned on other frames.

        Args:
            image: (B, 256, H, W) embedding from the image encoder.
            maps: memory maps (B, 64, H, W), each with its slot: 0 for the frame before, 5 for the sixth frame before, 6
                for any frame with prompts.
            pointers: (P, B, 256) object pointers; P may be 0.
            reach: (P) distance of each pointer in frames, divided by the largest possible distance.

        Returns:
            (B, 256, H, W).
        """
        height, width = image.shape[2:]
        grid = sine_positions(MEMORY_WIDTH, height, width, image.device).to(image.dtype).flatten(2).transpose(1, 2)
        parts = [memory_map.flatten(2).transpose(1, 2) for _, memory_map in maps]
        positions = [grid + self.maskmem_tpos_enc[slot] for slot, _ in maps]
        pieces = WIDTH // MEMORY_WIDTH  # a pointer is as wide as four tokens of memory
        tokens = pointers.transpose(0, 1).reshape(len(image), -1, MEMORY_WIDTH)
        encoded = self._pointer_positions(reach).to(image.dtype).repeat_interleave(pieces, dim=0)[None]
        memory, encoding = torch.cat([*parts, tokens], dim=1), torch.cat([*positions, encoded], dim=1)
        out: Tensor = self.memory_attention(image, memory, encoding, tokens.shape[1])
        return out

    def _pointer_positions(self, reach: Tensor) -> Tensor:
        """Encode the distances (P) of pointers: (P, 64)."""
        if not self.config.pointer_positions:
            return reach.new_zeros(len(reach), MEMORY_WIDTH)
        half = WIDTH // 2
        pair = torch.arange(half, dtype=torch.float32, device=reach.device) // 2
        angles = reach[:, None] / 10000 ** (2 * pair / half)
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        out: Tensor = self.obj_ptr_tpos_proj(waves.to(self.obj_ptr_tpos_proj.weight.dtype))
        return out

    def remember(self, image: Tensor, logits: Tensor, present: Tensor, *, binary: bool = False) -> Tensor:
        """Return the memory map of a frame.

        Args:
            image: (B, 256, H, W) embedding from the image encoder.
            logits: (B, 1, 16 H, 16 W) mask logits.
            present: (B, 1) bool, True if the object is visible in the frame.
            binary: store the mask itself, not its probabilities. This is for masks from clicks.

        Returns:
            (B, 64, H, W).
        """
        masks = (logits > 0).to(image.dtype) if binary else logits.sigmoid().to(image.dtype)
        memory_map: Tensor = self.memory_encoder(image, masks * MASK_SCALE + MASK_SHIFT)
        if self.config.absence:
            absent = ~present[:, :, None, None]
            memory_map = memory_map + absent * self.no_obj_embed_spatial[:, :, None, None]
        return memory_map

    def pointer(self, token: Tensor, present: Tensor) -> Tensor:
        """Return the pointer (B, 256) of an object from its output token (B, 256) and `present` (B, 1) bool."""
        return torch.where(present, self.obj_ptr_proj(token), self.no_obj_ptr)
