"""Four-fold upscaling of an image by two 2 x 2 transposed convolutions, as matrix products on rows of pixels.

With equal kernel and stride, each pixel becomes a separate block, so a transposed convolution is a linear layer whose
output is the block. Blocks stay one behind the other, and no pixel moves. Rows are then in *nested* order: by pixels of
the small image, and within a pixel by blocks. Only finished logits move to their places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from torch.nn import functional

from geosam.segmenters.sam.dense import linear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from geosam.segmenters.sam.layers import LayerNorm2d

#: Pixels of the small image that are upscaled together on a CPU, so that their result stays in cache.
_BLOCK_ON_CPU = 1024


class Upscaling(NamedTuple):
    """Two transposed convolutions C -> C / 4 -> C / 8 and a normalisation between them, for rows of pixels."""

    first: tuple[Tensor, Tensor]
    """(4 * C / 4, C) weight and (4 * C / 4,) bias of the first linear layer."""
    norm: LayerNorm2d
    second: tuple[Tensor, Tensor]
    """(4 * C / 8, C / 4) weight and (4 * C / 8,) bias of the second linear layer."""
    finer: tuple[Tensor, ...]
    """SAM 2's maps in nested order: (N, 16, C / 8) and (N, 4, C / 4), the coarser one added first; otherwise empty."""

    @classmethod
    def of(cls, layers: nn.Sequential, finer: tuple[Tensor, ...], height: int, width: int) -> Upscaling:
        """Convert the decoder's `output_upscaling`, with `ImageFeatures.high_res` of one tile, for h x w pixels."""
        first, norm, _, second, _ = layers
        placed = tuple(nested(level[0], height, width).unflatten(0, (height * width, -1)) for level in finer)
        return cls(_as_linear(first), cast("LayerNorm2d", norm), _as_linear(second), placed)

    def blocks(self, image: Tensor) -> Iterator[Tensor]:
        """Upscale an image (B, N, C). Yield parts (B, 16 * n, C / 8) in nested order; their n add up to N."""
        norm = self.norm
        together = _BLOCK_ON_CPU if image.device.type == "cpu" else image.shape[1]
        for start in range(0, image.shape[1], together):
            block = slice(start, start + together)
            rows = linear(image[:, block], *self.first).unflatten(-1, (4, -1))
            if self.finer:
                rows += self.finer[1][block]
            rows = functional.layer_norm(rows, norm.weight.shape, norm.weight, norm.bias, norm.eps)
            rows = functional.gelu(rows)
            rows = linear(rows, *self.second).flatten(2).unflatten(-1, (16, -1))
            if self.finer:
                rows += self.finer[0][block]
            yield functional.gelu(rows).flatten(1, 2)


def _as_linear(convolution: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the linear layer that equals a 2 x 2 transposed convolution with stride 2."""
    weight: Tensor = convolution.get_parameter("weight")
    return weight.permute(2, 3, 1, 0).flatten(0, 2), convolution.get_parameter("bias").repeat(4)


def nested(maps: Tensor, height: int, width: int) -> Tensor:
    """Bring maps (C, height * 2^k, width * 2^k) into nested order: (height * width * 4^k, C)."""
    halvings = (maps.shape[1] // height).bit_length() - 1
    twos = [2] * halvings
    ys, xs = range(1, 2 + halvings), range(2 + halvings, 3 + 2 * halvings)
    order = [axis for pair in zip(ys, xs, strict=True) for axis in pair]
    return maps.reshape(-1, height, *twos, width, *twos).permute(*order, 0).reshape(-1, maps.shape[0])


def four_fold(rows: Tensor, height: int, width: int) -> Tensor:
    """Bring rows (R, 16 * height * width) in nested order into place: (R, 4 * height, 4 * width)."""
    blocks = rows.view(-1, height, width, 2, 2, 2, 2).permute(0, 3, 5, 4, 6, 1, 2).reshape(-1, 16, height, width)
    return functional.pixel_shuffle(blocks, 4)[:, 0]


def four_fold_channels(rows: Tensor, height: int, width: int) -> Tensor:
    """Bring rows (16 * height * width, C) in nested order into place: (4 * height, 4 * width, C)."""
    blocks = rows.view(height, width, 2, 2, 2, 2, -1).permute(0, 2, 4, 1, 3, 5, 6)
    return blocks.reshape(4 * height, 4 * width, -1)
