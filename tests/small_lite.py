"""A geosam_lite of few channels with random weights."""

import torch
from torch import nn

from geosam.segmenters.lite.encoder import EncoderShape
from geosam.segmenters.lite.model import LiteModel
from geosam.segmenters.lite.weights import save

SHAPE = EncoderShape(8, (8, 12, 16, 16), (1, 1, 2, 1), (8, 12, 16))


def small_lite(seed=4):
    """Norms have seen something, and logits lie about 0, so that masks have shapes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LiteModel(SHAPE)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.2)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.normal_(module.bias, std=0.2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
        model.eval()
        nn.init.normal_(model.decoder.masks.weight, std=1.0)
        nn.init.normal_(model.decoder.masks.bias, std=1.0)
    return model


def small_file(path, seed=4):
    """A file of its weights."""
    save(small_lite(seed), path)
    return path
