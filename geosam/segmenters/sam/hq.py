"""What HQ-SAM adds to the mask decoder: one more token, and features of early layers for sharper edges.

Follows segment_anything_hq/modeling/mask_decoder_hq.py. Its second 3 x 3 convolution gives 32 channels of which only
the product with the token's 32 weights is used; here the weights go into the convolution, which is left with a single
channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from geosam.segmenters.sam.dense import linear
from geosam.segmenters.sam.layers import LayerNorm2d, Mlp
from geosam.segmenters.sam.upscaling import four_fold_channels

if TYPE_CHECKING:
    from torch import Tensor

    from geosam.segmenters.sam.features import ImageFeatures

#: Rows of logits that go through the convolution together on a CPU: what they become stays in its cache.
_STRIPE = 32


def hq_modules(width: int, early_width: int) -> dict[str, nn.Module]:
    """The modules, by their official names, for early features of `early_width` channels."""
    half, narrow = width // 4, width // 8
    return {
        "hf_token": nn.Embedding(1, width),
        "hf_mlp": Mlp((width, width, width, narrow)),
        "compress_vit_feat": nn.Sequential(
            nn.ConvTranspose2d(early_width, width, 2, stride=2), LayerNorm2d(width), nn.GELU(),
            nn.ConvTranspose2d(width, narrow, 2, stride=2),
        ),
        "embedding_encoder": nn.Sequential(
            nn.ConvTranspose2d(width, half, 2, stride=2), LayerNorm2d(half), nn.GELU(),
            nn.ConvTranspose2d(half, narrow, 2, stride=2),
        ),
        "embedding_maskfeature": nn.Sequential(
            nn.Conv2d(narrow, half, 3, padding=1), LayerNorm2d(half), nn.GELU(),
            nn.Conv2d(half, narrow, 3, padding=1),
        ),
    }  # fmt: skip


def hq_features(decoder: nn.Module, features: ImageFeatures) -> Tensor:
    """(C / 8, 4h, 4w) sum of what is made of the image embedding and of early features; depends on the tile only."""
    late: Tensor = decoder.get_submodule("embedding_encoder")(features.image)
    early: Tensor = decoder.get_submodule("compress_vit_feat")(features.early[0])
    return (late + early)[0]


def hq_logits(decoder: nn.Module, tokens: Tensor, fine: Tensor, tile: Tensor) -> Tensor:
    """(B, 4h, 4w) logits of the HQ token's masks.

    Args:
        decoder: has the modules of `hq_modules`.
        tokens: (B, C) the HQ tokens after the transformer.
        fine: (B, 16 * h * w, C / 8) upscaled images in nested order.
        tile: (C / 8, 4h, 4w) from `hq_features`.
    """
    return torch.stack([_of_prompt(decoder, *own, tile) for own in zip(tokens, fine, strict=True)])


def _of_prompt(decoder: nn.Module, token: Tensor, fine: Tensor, tile: Tensor) -> Tensor:
    height, width = tile.shape[1:]
    widen, norm, _, narrow = decoder.get_submodule("embedding_maskfeature").children()
    weights: Tensor = decoder.get_submodule("hf_mlp")(token[None])[0]
    kernel, bias = narrow.get_parameter("weight"), narrow.get_parameter("bias")
    # What a pixel gives to each of its nine neighbours; `fold` puts it there and sums up.
    taps = torch.einsum("o,ochw->hwc", weights, kernel).flip(0, 1).flatten(0, 1)
    padded = functional.pad(four_fold_channels(fine, height // 4, width // 4), (0, 0, 0, 0, 1, 1))
    # With the channels last in memory, and in this order of steps torch sees it, the convolution moves nothing.
    maps = padded[None].permute(0, 3, 1, 2)
    rows = _STRIPE if fine.device.type == "cpu" else height
    gifts = []
    for top in range(0, height, rows):
        stripe = maps[:, :, top : top + rows + 2]
        wide = functional.conv2d(stripe, widen.get_parameter("weight"), widen.get_parameter("bias"), padding=(0, 1))
        gifts.append(linear(taps, functional.gelu(norm(wide))[0].permute(1, 2, 0).flatten(0, 1)))
    masks = functional.fold(torch.cat(gifts, dim=1)[None], (height, width), 3, padding=1)[0, 0]
    return masks + torch.einsum("o,ohw->hw", weights, tile) + weights @ bias
