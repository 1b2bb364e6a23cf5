"""The network: image encoder and mask decoder."""

from __future__ import annotations

from torch import nn

from geosam.segmenters.lite.decoder import Decoder
from geosam.segmenters.lite.encoder import Encoder, EncoderShape


class LiteModel(nn.Module):
    """Image encoder and mask decoder of geosam_lite.

    Args:
        shape: channels and depths of the encoder; None for those of the shipped weights.
    """

    def __init__(self, shape: EncoderShape | None = None) -> None:
        super().__init__()
        shape = EncoderShape() if shape is None else shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape.pyramid)
