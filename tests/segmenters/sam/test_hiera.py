"""The image encoders of SAM 2 against the authors' modules with the same random weights."""

import warnings

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch
from torch.nn import functional

from geosam.errors import ModelError
from geosam.segmenters.sam.attention import MANY_KEYS, QUERIES_AT_ONCE, attention
from geosam.segmenters.sam.hiera import (
    HIERA_BASE_PLUS,
    HIERA_LARGE,
    HIERA_SMALL,
    HIERA_TINY,
    HieraConfig,
    HieraEncoder,
    arrange,
    join,
    split,
)
from geosam.segmenters.sam.neck import sine_positions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sam2.build_sam import build_sam2
    from sam2.modeling.backbones.hieradet import Hiera as OfficialHiera
    from sam2.modeling.backbones.image_encoder import FpnNeck as OfficialNeck
    from sam2.modeling.backbones.image_encoder import ImageEncoder as OfficialEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine

OFFICIAL_FILES = {
    "sam2.1_hiera_t": HIERA_TINY,
    "sam2.1_hiera_s": HIERA_SMALL,
    "sam2.1_hiera_b+": HIERA_BASE_PLUS,
    "sam2.1_hiera_l": HIERA_LARGE,
}

#: At 256 pixels the stages have 64, 32, 16 and 8 tokens a side.
SMALL = {
    "windows 14 and 7 need padding": HieraConfig(8, 1, (1, 2, 4, 2), (4, 5), (8, 4, 14, 7), (7, 7)),
    "windows 16 and 8 fit": HieraConfig(8, 2, (2, 2, 3, 2), (5,), (8, 4, 16, 8), (7, 7)),
    "windows do not follow from pooled ones": HieraConfig(16, 2, (2, 1, 3, 2), (1, 7), (4, 4, 6, 3), (3, 5)),
}


def official_encoder(config):
    trunk = OfficialHiera(
        embed_dim=config.width,
        num_heads=config.heads,
        stages=config.stages,
        global_att_blocks=config.global_blocks,
        window_spec=config.windows,
        window_pos_embed_bkg_spatial_size=config.background,
    )
    neck = OfficialNeck(
        PositionEmbeddingSine(256), 256, trunk.channel_list, fpn_top_down_levels=[2, 3], fpn_interp_model="nearest"
    )
    return OfficialEncoder(trunk, neck, scalp=1).eval()


def shake(module):
    """Random values also where modules start with zeros and ones."""
    for name, parameter in module.named_parameters():
        if "pos_embed" in name or "norm" in name or "bias" in name:
            parameter.data += torch.randn_like(parameter) * 0.3


def pair(config):
    """The authors' encoder and ours, with the same weights."""
    torch.manual_seed(0)
    official = official_encoder(config)
    shake(official)
    own = HieraEncoder(config).eval()
    own.load_state_dict(official.state_dict())
    return official, own


def deviation(got, expected):
    """Root mean square error relative to what is expected."""
    return float((got.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("size", [(256, 256), (128, 256)], ids=str)
def test_maps_equal_the_authors(config, size):
    official, own = pair(config)
    images = torch.randn(2, 3, *size)
    with torch.inference_mode():
        expected, got = official(images)["backbone_fpn"], own(images)
    assert len(got) == 3
    for theirs, ours in zip(expected, got, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_gradients_equal_the_authors(config):
    official, own = pair(config)
    image = torch.randn(1, 3, 128, 128)
    for encoder, last in ((official, official(image)["backbone_fpn"][-1]), (own, own(image)[-1])):
        encoder.zero_grad()
        last.square().mean().backward()
    for theirs, ours in zip(official.trunk.parameters(), own.trunk.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_batch_changes_no_byte_of_an_image(dtype):
    _, own = pair(SMALL["windows 14 and 7 need padding"])
    own.to(dtype)
    images = torch.randn(3, 3, 128, 128, dtype=dtype)
    with torch.inference_mode():
        together = own(images)
        alone = own(images[1:2])
    for many, one in zip(together, alone, strict=True):
        assert torch.equal(many[1:2], one)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.02), (torch.float16, 0.003)], ids=str)
@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_half_precision_is_as_near_to_float32_as_the_authors(config, dtype, tolerance):
    official, own = pair(config)
    image = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        expected = own(image)
        theirs = official.to(dtype)(image.to(dtype))["backbone_fpn"]
        ours = own.to(dtype)(image.to(dtype))
    for exact, rough, got in zip(expected, theirs, ours, strict=True):
        assert got.dtype == dtype
        assert deviation(got, exact) < min(tolerance, 1.3 * deviation(rough, exact))


def test_new_weights_size_and_type_are_followed():
    _, own = pair(SMALL["windows 16 and 8 fit"])
    other = HieraEncoder(SMALL["windows 16 and 8 fit"]).eval()
    large, little = torch.randn(1, 3, 256, 256), torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        expected = own(little)
        other(little)
        other(large)
        other.load_state_dict(own.state_dict())
        for found, map_of_own in zip(other(little), expected, strict=True):
            assert torch.equal(found, map_of_own)
        assert other.to(torch.bfloat16)(little.bfloat16())[0].dtype == torch.bfloat16
    assert other.state_dict().keys() == own.state_dict().keys()


@pytest.mark.parametrize("size", [(250, 256), (256, 48)], ids=str)
def test_sides_that_windows_do_not_divide_are_refused(size):
    own = HieraEncoder(SMALL["windows 16 and 8 fit"])
    with pytest.raises(ModelError, match=f"found {size[0]} x {size[1]} pixels, expected multiples of 32"):
        own(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("window", [1, 2, 4, 12])
def test_window_order_is_undone_by_join(window):
    rows = torch.arange(2 * 12 * 24 * 3).view(2, 12, 24, 3)
    ordered = split(rows, window)
    assert ordered.shape == (2 * (12 // window) * (24 // window), window, window, 3)
    assert torch.equal(ordered[0], rows[0, :window, :window])
    assert torch.equal(join(ordered, (12, 24)), rows)
    assert torch.equal(arrange(ordered, (12, 24), 6), split(rows, 6))
    assert torch.equal(arrange(ordered, (12, 24), 5), rows)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.01)], ids=str)
@pytest.mark.parametrize("keys", [7, 196, MANY_KEYS, MANY_KEYS + 3])
def test_attention_equals_its_definition(keys, dtype, tolerance):
    torch.manual_seed(0)
    # strided as the parts of one projection are
    query = torch.randn(2, QUERIES_AT_ONCE + 5, 3, 24, dtype=dtype).transpose(1, 2)
    key, value = torch.randn(2, keys, 2, 3, 24, dtype=dtype).transpose(1, 3).unbind(2)
    expected = functional.scaled_dot_product_attention(query.double(), key.double(), value.double())
    with torch.inference_mode():
        got = attention(query, key, value)
    assert (got.dtype, got.shape) == (dtype, query.shape)
    assert deviation(got, expected) < tolerance


@pytest.mark.parametrize(("channels", "height", "width"), [(256, 16, 16), (64, 5, 9)])
def test_positions_equal_the_authors(channels, height, width):
    expected = PositionEmbeddingSine(channels)(torch.zeros(1, 1, height, width))
    torch.testing.assert_close(sine_positions(channels, height, width), expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), OFFICIAL_FILES.items(), ids=OFFICIAL_FILES)
def test_full_size_equals_the_authors(name, config):
    torch.manual_seed(0)
    official = build_sam2(f"configs/sam2.1/{name}.yaml", device="cpu").image_encoder
    shake(official)
    own = HieraEncoder(config).eval()
    own.load_state_dict(official.state_dict())
    image = torch.randn(1, 3, 1024, 1024)
    with torch.inference_mode():
        expected, got = official(image)["backbone_fpn"], own(image)
        rough = own.to(torch.bfloat16)(image.bfloat16())
    for side, theirs, ours, half in zip((256, 128, 64), expected, got, rough, strict=True):
        assert ours.shape == (1, 256, side, side)
        assert deviation(ours, theirs) < 5e-6
        assert deviation(half, theirs) < 0.02
