"""The additions of HQ-SAM, against its modules used one after the other."""

from types import SimpleNamespace

import pytest
import torch
from random_weights import largest_error, randomise
from torch import nn

from geosam.segmenters.sam import hq
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.hq import hq_features, hq_logits, hq_modules
from geosam.segmenters.sam.upscaling import nested

WIDTH, EARLY = 32, 20
HEIGHT, COLUMNS = 3, 5


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def decoder():
    module = nn.Module()
    for name, part in hq_modules(WIDTH, EARLY).items():
        module.add_module(name, part)
    return randomise(module)


@torch.inference_mode()
def test_features_of_a_tile_are_the_sum_of_late_and_early_ones(decoder):
    image, early = noise(1, WIDTH, HEIGHT, COLUMNS), noise(1, EARLY, HEIGHT, COLUMNS, seed=1)
    found = hq_features(decoder, ImageFeatures(image, early=(early,)))
    expected = decoder.embedding_encoder(image) + decoder.compress_vit_feat(early)
    assert found.shape == (WIDTH // 8, 4 * HEIGHT, 4 * COLUMNS)
    assert torch.equal(found, expected[0])


@torch.inference_mode()
@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize("stripe", [1, 5, 32])
def test_logits_are_those_of_the_two_convolutions_weighted_by_the_token(decoder, monkeypatch, prompts, stripe):
    monkeypatch.setattr(hq, "_STRIPE", stripe)
    tokens = noise(prompts, WIDTH)
    upscaled = noise(prompts, WIDTH // 8, 4 * HEIGHT, 4 * COLUMNS, seed=1)
    tile = noise(WIDTH // 8, 4 * HEIGHT, 4 * COLUMNS, seed=2)
    rows = torch.stack([nested(maps, HEIGHT, COLUMNS) for maps in upscaled])
    found = hq_logits(decoder, tokens, rows, tile)
    maps = decoder.embedding_maskfeature(upscaled) + tile
    expected = torch.einsum("bo,bohw->bhw", decoder.hf_mlp(tokens), maps)
    assert found.shape == (prompts, 4 * HEIGHT, 4 * COLUMNS)
    assert largest_error(found, expected) < 2e-5


@torch.inference_mode()
def test_logits_of_a_prompt_do_not_depend_on_the_others(decoder):
    tokens, tile = noise(3, WIDTH), noise(WIDTH // 8, 4 * HEIGHT, 4 * COLUMNS, seed=2)
    rows = noise(3, 16 * HEIGHT * COLUMNS, WIDTH // 8, seed=1)
    together = hq_logits(decoder, tokens, rows, tile)
    for row in range(3):
        assert torch.equal(together[row], hq_logits(decoder, tokens[row : row + 1], rows[row : row + 1], tile)[0])


@pytest.mark.parametrize("early_width", [160, 768, 1280])
def test_only_the_layer_for_early_features_depends_on_their_width(early_width):
    shapes = {name: [tuple(p.shape) for p in part.parameters()] for name, part in hq_modules(256, early_width).items()}
    assert shapes.pop("compress_vit_feat")[0] == (early_width, 256, 2, 2)
    assert shapes == {
        name: [tuple(p.shape) for p in part.parameters()]
        for name, part in hq_modules(256, 1).items()
        if name != "compress_vit_feat"
    }


def test_a_decoder_without_the_modules_is_an_attribute_error():
    with pytest.raises(AttributeError):
        hq_features(nn.Module(), SimpleNamespace(image=noise(1, WIDTH, 2, 2), early=(noise(1, EARLY, 2, 2),)))
