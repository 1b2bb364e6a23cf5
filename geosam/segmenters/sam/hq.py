"""The additions of HQ-SAM to the mask decoder: one more token, and features of early layers for sharper edges.

Reference: segment_anything_hq/modeling/mask_decoder_hq.py. Its second 3 x 3 convolution has 32 channels, and only their
product with the 32 weights of the token is used. Here the weights are multiplied into the convolution, which then has
one channel.
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

#: Rows of logits that are convolved together on a CPU, so that their result stays in cache.
_STRIPE = 32


def hq_modules(width: int, early_width: int) -> dict[str, nn.Module]:
    """Build the modules, by their official names.

    Args:
        width: channels of the image embedding.
        early_width: channels of the early features.
    """
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
    """Return the sum (C / 8, 4h, 4w) of upscaled image embedding and early features, which depends on the tile only."""
    late: Tensor = decoder.get_submodule("embedding_encoder")(features.image)
    early: Tensor = decoder.get_submodule("compress_vit_feat")(features.early[0])
    return (late + early)[0]


def hq_logits(decoder: nn.Module, tokens: Tensor, fine: Tensor, tile: Tensor) -> Tensor:
    """Return the logits (B, 4h, 4w) of the masks of the HQ token.

    Args:
        decoder: decoder with the modules of `hq_modules`.
        tokens: (B, C) HQ tokens after the transformer.
        fine: (B, 16 * h * w, C / 8) upscaled images in nested order.
        tile: (C / 8, 4h, 4w) from `hq_features`.
    """
    return torch.stack([_prompt_logits(decoder, *prompt, tile) for prompt in zip(tokens, fine, strict=True)])


def _prompt_logits(decoder: nn.Module, token: Tensor, fine: Tensor, tile: Tensor) -> Tensor:
    """Return the logits (4h, 4w) of one prompt."""
    height, width = tile.shape[1:]
    widen, norm, _, narrow = decoder.get_submodule("embedding_maskfeature").children()
    weights: Tensor = decoder.get_submodule("hf_mlp")(token[None])[0]
    kernel, bias = narrow.get_parameter("weight"), narrow.get_parameter("bias")
    # The contribution of a pixel to each of its nine neighbours. `fold` adds the contributions in their places.
    taps = torch.einsum("o,ochw->hwc", weights, kernel).flip(0, 1).flatten(0, 1)
    padded = functional.pad(four_fold_channels(fine, height // 4, width // 4), (0, 0, 0, 0, 1, 1))
    # With channels last in memory, and with the steps in this order, torch convolves without copying.
    maps = padded[None].permute(0, 3, 1, 2)
    rows = _STRIPE if fine.device.type == "cpu" else height
    contributions = []
    for top in range(0, height, rows):
        stripe = maps[:, :, top : top + rows + 2]
        wide = functional.conv2d(stripe, widen.get_parameter("weight"), widen.get_parameter("bias"), padding=(0, 1))
        contributions.append(linear(taps, functional.gelu(norm(wide))[0].permute(1, 2, 0).flatten(0, 1)))
    masks = functional.fold(torch.cat(contributions, dim=1)[None], (height, width), 3, padding=1)[0, 0]
    return masks + torch.einsum("o,ohw->hw", weights, tile) + weights @ bias
