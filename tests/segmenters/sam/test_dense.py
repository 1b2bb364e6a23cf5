"""Linear layers and convolutions against torch's own functions."""

from __future__ import annotations

import pytest
import torch
from random_weights import largest_error, rms_error
from torch.nn import functional

from geosam.segmenters.sam.dense import convolve, linear, onednn_serves


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("gelu", [False, True], ids=["plain", "gelu"])
@pytest.mark.parametrize("bias", [None, noise(24)], ids=["no bias", "bias"])
def test_linear_is_the_functional_of_torch(bias, gelu):
    x, weight = noise(2, 5, 7, 48).transpose(1, 2), noise(24, 48)
    expected = functional.linear(x, weight, bias)
    expected = functional.gelu(expected) if gelu else expected
    with torch.inference_mode():
        assert largest_error(linear(x, weight, bias, gelu=gelu), expected) < 1e-6
        assert largest_error(linear(x, weight.t().contiguous().t(), bias, gelu=gelu), expected) < 1e-6
        low = linear(x.bfloat16(), weight.bfloat16(), None if bias is None else bias.bfloat16(), gelu=gelu)
    assert low.dtype == torch.bfloat16
    assert rms_error(low, expected) < 0.01


@pytest.mark.parametrize("gelu", [False, True], ids=["plain", "gelu"])
@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (12, 1), (12, 2)])
def test_convolve_is_the_functional_of_torch(groups, stride, gelu):
    x, weight, bias = noise(2, 9, 8, 12), noise(12, 12 // groups, 3, 3), noise(12)
    expected = functional.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, 1, groups=groups).permute(0, 2, 3, 1)
    expected = functional.gelu(expected) if gelu else expected
    with torch.inference_mode():
        assert largest_error(convolve(x, weight, bias, stride=stride, groups=groups, gelu=gelu), expected) < 1e-6


def test_gradients_flow_where_they_are_wanted():
    x = noise(3, 8).requires_grad_()
    assert not onednn_serves(x)
    linear(x, noise(4, 8), gelu=True).sum().backward()
    assert x.grad is not None
