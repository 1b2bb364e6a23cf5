"""Upscaling on rows of pixels, against the modules that it replaces."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_weights import largest_error, randomise
from torch import nn

from geosam.segmenters.sam import upscaling
from geosam.segmenters.sam.layers import LayerNorm2d
from geosam.segmenters.sam.upscaling import Upscaling, four_fold, four_fold_channels, nested

WIDTH = 16


def modules(seed=0):
    return randomise(
        nn.Sequential(
            nn.ConvTranspose2d(WIDTH, WIDTH // 4, 2, stride=2),
            LayerNorm2d(WIDTH // 4),
            nn.GELU(),
            nn.ConvTranspose2d(WIDTH // 4, WIDTH // 8, 2, stride=2),
            nn.GELU(),
        ),
        seed,
    )


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def upscaled(layers, image, finer=()):
    """(B, C / 8, 4h, 4w) by the class under test."""
    height, width = image.shape[2:]
    rows = image.flatten(2).transpose(1, 2).contiguous()
    with torch.inference_mode():
        parts = list(Upscaling.of(layers, finer, height, width).blocks(rows))
    blocks = torch.cat(parts, dim=1)
    return torch.stack([four_fold_channels(own, height, width).permute(2, 0, 1) for own in blocks])


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 4, 4), (2, 3, 5), (1, 1, 7)])
def test_rows_become_what_the_transposed_convolutions_make(batch, height, width):
    layers, image = modules(), noise(batch, WIDTH, height, width)
    assert largest_error(upscaled(layers, image), layers(image)) < 1e-5


def test_finer_maps_are_added_where_sam_2_adds_them():
    layers, image = modules(), noise(1, WIDTH, 4, 6)
    fine, middle = noise(WIDTH // 8, 16, 24, seed=2), noise(WIDTH // 4, 8, 12, seed=3)
    first, norm, act, second, last = layers
    expected = last(second(act(norm(first(image) + middle))) + fine)
    assert largest_error(upscaled(layers, image, (fine[None], middle[None])), expected) < 1e-5


@pytest.mark.parametrize("together", [1, 5, 24, 1000])
def test_the_size_of_a_block_changes_no_value(monkeypatch, together):
    layers, image = modules(), noise(2, WIDTH, 4, 6)
    fine, middle = noise(1, WIDTH // 8, 16, 24), noise(1, WIDTH // 4, 8, 12)
    monkeypatch.setattr(upscaling, "_BLOCK_ON_CPU", together)
    found = upscaled(layers, image, (fine, middle))
    monkeypatch.setattr(upscaling, "_BLOCK_ON_CPU", 1024)
    assert largest_error(found, upscaled(layers, image, (fine, middle))) < 1e-6


def place_of(row, width, halvings):
    """(y, x) of a row in nested order, one halving after the other."""
    blocks, inner = divmod(row, 4**halvings)
    y, x = divmod(blocks, width)
    for step in reversed(range(halvings)):
        y_bit, x_bit = divmod(inner // 4**step % 4, 2)
        y, x = 2 * y + y_bit, 2 * x + x_bit
    return y, x


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_nested_order_goes_into_each_pixel_block_by_block(height, width, halvings):
    side = 2**halvings
    maps = torch.arange(height * width * 4**halvings, dtype=torch.float32).view(1, height * side, width * side)
    rows = nested(maps, height, width)
    for row, value in enumerate(rows[:, 0].tolist()):
        y, x = place_of(row, width, halvings)
        assert maps[0, y, x] == value


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
def test_both_ways_back_undo_the_nested_order(height, width, count):
    maps = noise(count, 4 * height, 4 * width)
    rows = nested(maps, height, width)
    assert torch.equal(four_fold(rows.T.contiguous(), height, width), maps)
    assert torch.equal(four_fold_channels(rows, height, width).permute(2, 0, 1), maps)
