"""One promptable network: image encoder, prompt encoder, mask decoder, and the memory of SAM 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from geosam.segmenters.sam.features import ImageFeatures

if TYPE_CHECKING:
    from torch import Tensor

    from geosam.segmenters.sam.mask_decoder import MaskDecoder
    from geosam.segmenters.sam.memory import StillImage
    from geosam.segmenters.sam.prompt_encoder import PromptEncoder

#: Mean and standard deviation of ImageNet's channels, scale 0 .. 255. The whole family was trained with them.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class SamModel(nn.Module):
    """A network of the SAM family. :mod:`geosam.segmenters.sam.build` defines the names of its parameters."""

    def __init__(
        self,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        memory: StillImage | None = None,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.memory = memory

    def encode(self, pictures: Tensor) -> ImageFeatures:
        """Encode pictures (B, 3, H, W) from :func:`normalised`."""
        if self.memory is None:
            features: ImageFeatures = self.image_encoder(pictures)
            return features
        fine, middle, coarse = self.image_encoder(pictures)
        # SAM 2 was trained on videos. On a single picture, the embedding "no memory" replaces the memory
        # (sam2/sam2_image_predictor.py, set_image).
        return ImageFeatures(
            self.memory.without_memory(coarse), (self.mask_decoder.conv_s0(fine), self.mask_decoder.conv_s1(middle))
        )


def normalised(rgb: Tensor, valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the input (B, 3, H, W) of image encoders.

    Invalid pixels, and so the padding, get the mean colour, with which SAM pads (segment_anything/modeling/sam.py,
    preprocess).

    Args:
        rgb: (B, 3, H, W) uint8 pictures.
        valid: (B, H, W) bool.
        dtype: type of the result.
    """
    mean, std = (torch.tensor(values, device=rgb.device).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return ((rgb - mean) / std * valid[:, None]).to(dtype)
