"""Layers against the authors' own under shared random weights."""

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch
from random_weights import largest_error, randomise, shapes
from segment_anything.modeling import mask_decoder as official_decoder
from segment_anything.modeling.common import LayerNorm2d as OfficialNorm
from torch import nn

from geosam.segmenters.sam.layers import LayerNorm2d, Mlp


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (2, 16, 5, 7), (3, 64, 8, 8)])
def test_the_norm_over_channels_is_that_of_segment_anything(shape):
    official = randomise(OfficialNorm(shape[1]))
    ours = LayerNorm2d(shape[1])
    assert shapes(ours) == shapes(official)
    ours.load_state_dict(official.state_dict())
    x = 3 * noise(*shape) + 1
    assert largest_error(ours(x).detach(), official(x)) < 1e-5


def test_the_norm_gives_every_pixel_mean_0_and_variance_1():
    normed = LayerNorm2d(32)(5 * noise(2, 32, 4, 6) - 3).detach()
    assert normed.mean(dim=1).abs().max() < 1e-5
    assert (normed.var(dim=1, unbiased=False) - 1).abs().max() < 1e-4


def test_the_norm_of_maps_with_channels_last_stays_so():
    x = noise(2, 8, 4, 6).contiguous(memory_format=torch.channels_last)
    assert LayerNorm2d(8)(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_perceptron_is_that_of_the_mask_decoder(depth):
    official = randomise(official_decoder.MLP(12, 20, 6, depth))
    ours = Mlp((12, *[20] * (depth - 1), 6))
    assert shapes(ours) == shapes(official)
    ours.load_state_dict(official.state_dict())
    x = noise(3, 5, 12)
    with torch.inference_mode():
        assert largest_error(ours(x), official(x)) < 1e-5


def test_another_activation_stands_between_layers_but_not_after_the_last():
    mlp = randomise(Mlp((4, 8, 3), nn.Tanh))
    x = noise(7, 4)
    first, second = mlp.layers
    expected = torch.tanh(x @ first.weight.T + first.bias) @ second.weight.T + second.bias
    with torch.inference_mode():
        assert largest_error(mlp(x), expected) < 1e-5
    assert (expected < 0).any()
