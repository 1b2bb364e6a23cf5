"""LiteModel: encoder and decoder together."""

from __future__ import annotations

from torch import nn

from geosam.segmenters.lite.decoder import Decoder
from geosam.segmenters.lite.encoder import Encoder, EncoderShape


class LiteModel(nn.Module):
    """The whole network."""

    def __init__(self, shape: EncoderShape | None = None) -> None:
        super().__init__()
        shape = EncoderShape() if shape is None else shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape.pyramid)
