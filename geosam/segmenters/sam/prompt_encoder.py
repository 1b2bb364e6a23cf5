"""The prompt encoder of the SAM family: points, box corners and masks as tokens and dense maps.

Reference: segment_anything/modeling/prompt_encoder.py. sam2/modeling/sam/prompt_encoder.py has the same tensors and
arithmetic, and also accepts box corners as points with labels 2 and 3. Here this is the only way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import nn

from geosam.segmenters.sam.layers import LayerNorm2d

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

#: Channels between a mask and its embedding.
_MASK_WIDTHS = (4, 16)


class PromptTensors(NamedTuple):
    """N prompts of one form: K points each, and either all with a mask or all without."""

    points: Tensor
    """(N, K, 2) x, y in index coordinates of the network's input; the centre of the first pixel is 0."""
    labels: Tensor
    """(N, K) integers: 0 excludes, 1 includes, 2 and 3 are the first and last corner of a box, -1 is padding.

    The official predictor of SAM adds one padding point to points without a box. SAM 2's predictor adds one to every
    prompt with points or a box. A padding point takes part in attention, so rows must not be padded to one length.
    """
    masks: Tensor | None = None
    """(N, 1, 256, 256) low-resolution logits; None without masks."""


class RandomPositions(nn.Module):
    """Random Fourier features of positions. The frequencies are part of a checkpoint.

    The frequencies stay float32 when the module is converted. Rounded frequencies would move points.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))
        self.positional_encoding_gaussian_matrix: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 (torch's)
        exact = self.positional_encoding_gaussian_matrix
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.positional_encoding_gaussian_matrix.dtype != exact.dtype:
            device = self.positional_encoding_gaussian_matrix.device
            self.positional_encoding_gaussian_matrix = exact.to(device)
        return self

    def forward(self, xy: Tensor) -> Tensor:
        """Map positions (..., 2), 0 .. 1 within the frame, to features (..., width). Both are float32."""
        x, y = (2 * xy - 1)[..., None].unbind(dim=-2)
        # A matrix product would not do: its rounding may depend on the number of positions and threads.
        along_x, along_y = self.positional_encoding_gaussian_matrix
        angles = 2 * math.pi * (x * along_x + y * along_y)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Encoder of prompts in a square frame. Parameters have the official names."""

    def __init__(self, width: int = 256, frame: int = 1024) -> None:
        super().__init__()
        first, second = _MASK_WIDTHS
        self.frame = frame
        self.pe_layer = RandomPositions(width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, first, 2, stride=2), LayerNorm2d(first), nn.GELU(),
            nn.Conv2d(first, second, 2, stride=2), LayerNorm2d(second), nn.GELU(),
            nn.Conv2d(second, width, 1),
        )  # fmt: skip
        self.no_mask_embed = nn.Embedding(1, width)

    @property
    def mask_size(self) -> int:
        """Side of mask inputs, which is the side of the decoder's low-resolution logits."""
        return self.frame // 4

    @property
    def dtype(self) -> torch.dtype:
        """Type of the embeddings. Positions are computed in float32 for every type."""
        return self.no_mask_embed.weight.dtype

    def tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        """Encode points (N, K, 2) with labels (N, K), both as in `PromptTensors`: (N, K, C)."""
        embeddings = (self.not_a_point_embed, *self.point_embeddings)
        kinds = torch.cat([embedding.get_parameter("weight") for embedding in embeddings]).float()
        positions = self.pe_layer((points.float() + 0.5) / self.frame)
        positions = torch.where((labels == -1)[..., None], 0, positions)
        return (positions + kinds[labels.long() + 1]).to(self.dtype)

    def mask_embeddings(self, masks: Tensor) -> Tensor:
        """Encode low-resolution logits (N, 1, 4h, 4w): (N, h * w, C)."""
        dense: Tensor = self.mask_downscaling(masks.to(self.dtype))
        return dense.flatten(2).transpose(1, 2)

    def grid(self, height: int, width: int) -> Tensor:
        """Return the positions (h * w, C) of the pixels of an image embedding, row by row."""
        device = self.no_mask_embed.weight.device
        y, x = ((torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side for side in (height, width))
        xy = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        encoded: Tensor = self.pe_layer(xy)
        return encoded.flatten(0, 1).to(self.dtype)
