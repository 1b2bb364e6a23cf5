"""The feature pyramid and the positions of SAM 2, against the authors' code."""

import math

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch
from random_weights import largest_error, randomise, shapes
from sam2.modeling.backbones.image_encoder import FpnNeck as OfficialNeck
from sam2.modeling.position_encoding import PositionEmbeddingSine

from geosam.segmenters.sam.neck import FpnNeck, sine_positions

CHANNELS = (8, 16, 24, 40)


def pair():
    positions = PositionEmbeddingSine(num_pos_feats=32, normalize=True, scale=None, temperature=10000)
    official = OfficialNeck(
        position_encoding=positions,
        d_model=32,
        backbone_channel_list=list(reversed(CHANNELS)),
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    official = randomise(official)
    ours = FpnNeck(CHANNELS, 32)
    assert shapes(ours) == shapes(official)
    ours.load_state_dict(official.state_dict())
    return official, ours.eval()


def stages(batch, height, width):
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(batch, channels, height >> level, width >> level, generator=generator)
        for level, channels in enumerate(CHANNELS)
    ]


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 32, 16), (1, 8, 24)])
def test_three_maps_are_those_of_the_official_neck(batch, height, width):
    official, ours = pair()
    maps = stages(batch, height, width)
    with torch.inference_mode():
        expected, _ = official(maps)
        found = ours(maps)
    assert len(found) == 3
    for our_map, official_map in zip(found, expected, strict=False):  # the authors' encoder drops the fourth
        assert largest_error(our_map, official_map) < 1e-5


def test_only_the_third_map_depends_on_the_coarsest_stage():
    _, ours = pair()
    maps = stages(1, 16, 16)
    with torch.inference_mode():
        first, second, third = ours(maps)
        again = ours([*maps[:3], maps[3] + 1])
    assert torch.equal(again[0], first)
    assert torch.equal(again[1], second)
    changes = again[2] - third
    assert changes.abs().max() > 0.1
    blocks = changes.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    assert (blocks - blocks[:, :, :, :1, :, :1]).abs().max() < 1e-5, "each coarse cell moves its 2 x 2 fine cells alike"


@pytest.mark.parametrize(("channels", "height", "width"), [(64, 16, 16), (256, 8, 12), (4, 1, 3)])
def test_positions_are_the_official_sines(channels, height, width):
    official = PositionEmbeddingSine(num_pos_feats=channels, normalize=True, scale=None, temperature=10000)
    expected = official(torch.zeros(1, 1, height, width))
    found = sine_positions(channels, height, width)
    assert found.shape == expected.shape == (1, channels, height, width)
    assert largest_error(found, expected) < 1e-5


def test_rows_fill_the_first_half_of_the_channels_and_columns_the_second():
    found = sine_positions(8, 6, 9)[0]
    assert torch.equal(found[:4], found[:4, :, :1].expand(-1, -1, 9))
    assert torch.equal(found[4:], found[4:, :1].expand(-1, 6, -1))
    angles = torch.arange(1, 7) / (6 + 1e-6) * 2 * math.pi
    assert (found[0, :, 0] - angles.sin()).abs().max() < 1e-5
    assert (found[1, :, 0] - angles.cos()).abs().max() < 1e-5
