"""The image encoder: its input, the sizes of its maps, and what they depend on."""

import numpy as np
import pytest
import torch
from small_lite import SHAPE, small_lite

from geosam.segmenters.lite.encoder import MEAN, STD, STRIDES, Encoder, EncoderShape, normalised


def picture(height=64, width=96, seed=0, batch=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (batch, 3, height, width), dtype=np.uint8))


def everywhere(pictures):
    return torch.ones(len(pictures), *pictures.shape[2:], dtype=torch.bool)


@pytest.fixture(scope="module")
def encoder():
    return small_lite().encoder.eval()


@torch.inference_mode()
def encode(encoder, pictures, valid=None):
    return encoder(normalised(pictures, everywhere(pictures) if valid is None else valid))


def maps(pyramid):
    return [*pyramid.features, pyramid.dense]


def test_the_input_is_colours_about_zero_and_the_valid_pixels():
    pictures = picture()
    valid = everywhere(pictures)
    valid[:, 10:20, 5:9] = False
    found = normalised(pictures, valid)
    assert found.shape == (1, 4, 64, 96)
    assert torch.equal(found[:, 3] > 0, valid)
    assert (found[:, :3, 10:20, 5:9] == 0).all()
    assert found[0, 1, 0, 0] == pytest.approx((float(pictures[0, 1, 0, 0]) - MEAN) / STD)
    assert normalised(pictures, valid, torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (160, 32)])
def test_maps_have_the_channels_of_the_shape_at_their_strides(encoder, height, width):
    pyramid = encode(encoder, picture(height, width, batch=2))
    for stride, channels, features in zip(STRIDES, SHAPE.pyramid, pyramid.features, strict=True):
        assert features.shape == (2, channels, height // stride, width // stride)
    assert pyramid.dense.shape == (2, 2, height // 4, width // 4)


def test_colours_under_invalid_pixels_change_nothing(encoder):
    pictures, other = picture(), picture(seed=1)
    valid = everywhere(pictures)
    valid[:, :, 40:] = False
    mixed = torch.where(valid[:, None], pictures, other)
    for one, two in zip(maps(encode(encoder, pictures, valid)), maps(encode(encoder, mixed, valid)), strict=True):
        assert torch.equal(one, two)


def test_validity_itself_is_seen(encoder):
    grey = torch.full((1, 3, 64, 96), int(MEAN), dtype=torch.uint8)
    valid = everywhere(grey)
    valid[:, :, 40:] = False
    assert not torch.equal(encode(encoder, grey, valid).dense, encode(encoder, grey).dense)


def test_pictures_of_a_batch_do_not_touch_each_other(encoder):
    pictures = picture(batch=3)
    together = encode(encoder, pictures)
    for row in range(3):
        alone = encode(encoder, pictures[row : row + 1])
        for one, two in zip(maps(together), maps(alone), strict=True):
            assert torch.allclose(one[row : row + 1], two, atol=1e-5)


def test_a_pixel_reaches_the_finest_map_at_its_own_place(encoder):
    pictures = picture(128, 128)
    changed = pictures.clone()
    changed[:, :, 64:68, 64:68] = 255 - changed[:, :, 64:68, 64:68]
    difference = (encode(encoder, changed).features[0] - encode(encoder, pictures).features[0]).abs().amax(dim=1)[0]
    row, col = np.unravel_index(int(difference.argmax()), difference.shape)
    assert abs(row - 16) <= 2
    assert abs(col - 16) <= 2


def test_another_shape_is_another_number_of_blocks_and_channels():
    deep = Encoder(EncoderShape(4, (6, 8, 10, 12), (2, 1, 1, 3), (6, 6, 8)))
    assert [len(stage) for stage in deep.stages] == [2, 1, 1, 3]
    found = deep.eval()(normalised(picture(32, 32), torch.ones(1, 32, 32, dtype=torch.bool)))
    assert [features.shape[1] for features in found.features] == [6, 6, 8]
