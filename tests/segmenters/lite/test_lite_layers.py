"""Convolutions with batch norm, before and after the norm is folded."""

import pytest
import torch
from random_weights import largest_error, randomise
from torch import nn

from geosam.segmenters.lite.layers import ConvNorm, ResidualBlock, fold_norms


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


LAYERS = pytest.mark.parametrize(
    "layer",
    [
        lambda: ConvNorm(6, 10),
        lambda: ConvNorm(6, 10, 1),
        lambda: ConvNorm(6, 10, 3, 2),
        lambda: ResidualBlock(6, 6),
        lambda: ResidualBlock(6, 10),
        lambda: ResidualBlock(6, 6, 2),
    ],
    ids=["3 x 3", "1 x 1", "stride", "residual", "wider residual", "residual with stride"],
)


@LAYERS
@torch.inference_mode()
def test_folding_changes_no_value_and_leaves_no_norm(layer):
    network, x = randomise(layer()), noise(2, 6, 8, 12)
    before = network(x)
    fold_norms(network)
    assert largest_error(network(x), before) < 1e-5
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    fold_norms(network)
    assert largest_error(network(x), before) < 1e-5, "folding twice is folding once"


@pytest.mark.parametrize(("stride", "size"), [(1, (8, 12)), (2, (4, 6))])
def test_maps_shrink_by_the_stride_only(stride, size):
    x = noise(1, 6, 8, 12)
    for layer in (ConvNorm(6, 5, 3, stride), ConvNorm(6, 5, 1, stride), ResidualBlock(6, 5, stride)):
        assert layer.eval()(x).shape == (1, 5, *size)


@torch.inference_mode()
def test_a_block_is_two_convolutions_beside_a_shortcut():
    x = noise(2, 6, 8, 8)
    block = randomise(ResidualBlock(6, 10, 2))
    inner = block.second(torch.relu(block.first(x)))
    assert torch.equal(block(x), torch.relu(inner + block.shortcut(x)))
    plain = randomise(ResidualBlock(6, 6))
    assert torch.equal(plain(x), torch.relu(plain.second(torch.relu(plain.first(x))) + x))


def test_a_network_that_trains_keeps_its_norms_and_learns_their_statistics():
    layer = ConvNorm(3, 4)
    layer(noise(4, 3, 8, 8) + 2)
    assert layer.norm.num_batches_tracked == 1
    assert set(layer.state_dict()) == {
        "conv.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"
    }  # fmt: skip
