"""Attention against torch's own, for few and for many keys."""

import pytest
import torch
from random_weights import largest_error, rms_error
from torch.nn import functional

from geosam.segmenters.sam import attention as module
from geosam.segmenters.sam.attention import attention


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(queries, keys, depth=16, dtype=torch.float32):
    query, key, value = (noise(2, 3, count, depth, seed=seed) for seed, count in enumerate((queries, keys, keys)))
    return query.to(dtype), key.to(dtype), value.to(dtype)


def exact(query, key, value):
    """Softmax attention in float64, written out."""
    query, key, value = query.double(), key.double(), value.double()
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(dim=-1), value)


SIZES = pytest.mark.parametrize(("queries", "keys"), [(5, 9), (1, 1), (49, 196), (600, 1024), (3, 1500)])


@SIZES
def test_attention_is_the_weighted_mean_of_the_values(queries, keys):
    given = inputs(queries, keys)
    with torch.inference_mode():
        found = attention(*given)
    assert found.shape == (2, 3, queries, 16)
    assert largest_error(found.double(), exact(*given)) < 1e-5


@SIZES
def test_bfloat16_stays_as_close_as_its_precision_allows(queries, keys):
    given = inputs(queries, keys, dtype=torch.bfloat16)
    with torch.inference_mode():
        found = attention(*given)
    assert found.dtype == torch.bfloat16
    expected = exact(*given).float()
    if expected.numel() > 100:
        assert rms_error(found, expected) < 0.02


@pytest.mark.parametrize("keys", [7, 1100])
def test_strides_of_the_arguments_do_not_matter(keys):
    qkv = noise(2, keys, 3, 4, 16)  # as one projection of all three leaves it
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    with torch.inference_mode():
        found = attention(query, key, value)
        again = attention(query.contiguous(), key.contiguous(), value.contiguous())
    assert largest_error(found, again) < 1e-5


@pytest.mark.parametrize("at_once", [1, 100, 512, 5000])
def test_the_number_of_queries_at_once_changes_no_more_than_rounding(monkeypatch, at_once):
    given = inputs(300, 1024)
    monkeypatch.setattr(module, "QUERIES_AT_ONCE", at_once)
    with torch.inference_mode():
        assert largest_error(attention(*given).double(), exact(*given)) < 1e-5


def test_gradients_reach_all_three_arguments():
    given = [tensor.requires_grad_() for tensor in inputs(4, 1030)]
    attention(*given).sum().backward()
    expected = [tensor.detach().clone().requires_grad_() for tensor in given]
    functional.scaled_dot_product_attention(*expected).sum().backward()
    for ours, theirs in zip(given, expected, strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
