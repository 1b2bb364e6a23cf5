"""The levels of the mask decoder, against the same arithmetic written out."""

import pytest
import torch
from random_weights import largest_error
from small_lite import small_lite
from torch.nn import functional

from geosam.segmenters.lite.decoder import COMPARED, MASKS, WIDTHS, LevelFeatures
from geosam.segmenters.lite.encoder import STRIDES, Pyramid
from geosam.segmenters.lite.prompt_maps import Prompts, Region, prompt_maps, references

SIDE = 96
CELLS = SIDE // 16
WHOLE = Region(0, 0, CELLS, CELLS)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def decoder():
    return small_lite().decoder.requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def pyramid():
    maps = [noise(1, channels, SIDE // s, SIDE // s, seed=s) for s, channels in zip(STRIDES, (8, 12, 16), strict=True)]
    return Pyramid(tuple(maps), noise(1, 2, SIDE // 4, SIDE // 4))


@pytest.fixture(scope="module")
def features(decoder, pyramid):
    return decoder.prepare(pyramid)


def clicks(*places):
    points = torch.tensor(places, dtype=torch.float32)[:, None]
    count = len(places)
    return Prompts(
        points,
        torch.ones(count, 1, dtype=torch.int64),
        torch.full((count, 4), torch.nan),
        torch.zeros(count, 1, SIDE // 4, SIDE // 4),
        torch.zeros(count, dtype=torch.bool),
    )


def repeated(features, count):
    return tuple(level.of(torch.zeros(count, dtype=torch.int64)) for level in features)


def test_compared_features_are_unit_vectors(features):
    for level, stride, width in zip(features, STRIDES, WIDTHS, strict=True):
        assert level.own.shape == (1, width, SIDE // stride, SIDE // stride)
        assert level.compared.shape == (1, COMPARED, SIDE // stride, SIDE // stride)
        assert (level.compared.norm(dim=1) - 1).abs().max() < 1e-5


def test_features_of_pictures_are_repeated_for_their_prompts():
    level = LevelFeatures(noise(3, 4, 5, 6), noise(3, 2, 5, 6, seed=1))
    picture = torch.tensor([2, 0, 0, 1])
    found = level.of(picture)
    assert torch.equal(found.own, level.own[picture])
    assert torch.equal(found.compared, level.compared[picture])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_level_adds_features_likeness_prompt_and_coarser_state(decoder, features, number):
    level, stride = decoder.levels[number], STRIDES[number]
    some = clicks((20, 30), (70, 50))
    own, compared = repeated(features, 2)[number]
    coarser = noise(2, WIDTHS[number + 1], CELLS * 8 // stride, CELLS * 8 // stride) if number < 2 else None
    found = level(LevelFeatures(own, compared), some, WHOLE, coarser)

    places = [references(compared, some, label, stride) for label in (1, 0)]
    products = torch.cat([compared * place[:, :, None, None] for place in places], dim=1) * COMPARED**0.5
    state = own + torch.einsum("nchw,oc->nohw", products, level.likeness.weight)
    state = state + level.asked(prompt_maps(some, WHOLE, stride))
    if coarser is not None:
        state = state + functional.interpolate(level.coarser(coarser), scale_factor=2.0, mode="nearest")
    expected = level.blocks(functional.relu(level.norm(functional.relu(state))))
    assert largest_error(found, expected) < 2e-5


def test_the_coarsest_level_locates_in_the_whole_picture(decoder, features):
    some = clicks((20, 30), (70, 50), (5, 5))
    state, place = decoder.locate(repeated(features, 3)[2], some)
    assert state.shape == (3, WIDTHS[2], CELLS, CELLS)
    assert place.shape == (3, 1, CELLS, CELLS)
    assert torch.equal(place, decoder.place(state))


def outline(decoder, features, some, region=WHOLE):
    levels = repeated(features, len(some.points))
    state, _ = decoder.locate(levels[2], some)
    return decoder.outline(levels, state, some, region)


def test_masks_have_stride_4_over_their_region(decoder, features):
    answer = outline(decoder, features, clicks((20, 30), (70, 50)), Region(1, 2, 4, 3))
    assert answer.logits.shape == (2, MASKS, 16, 12)
    assert answer.iou.shape == (2, MASKS)
    assert answer.logits.dtype == torch.float32


def test_masks_need_only_the_features_in_their_region_and_at_the_prompt(decoder, features):
    some, region = clicks((40, 50)), Region(1, 1, 4, 4)
    levels = repeated(features, 1)
    state, _ = decoder.locate(levels[2], some)
    answer = decoder.outline(levels, state, some, region)
    inside = torch.zeros(1, 1, CELLS, CELLS)
    region.cut(inside, 16)[:] = 1
    masks = [functional.interpolate(inside, scale_factor=16.0 / stride) for stride in STRIDES]
    other = tuple(level._replace(own=level.own * mask) for level, mask in zip(levels, masks, strict=True))
    again = decoder.outline(other, state, some, region)
    assert torch.equal(again.logits, answer.logits)
    assert torch.equal(again.iou, answer.iou)


def test_prompts_do_not_depend_on_those_beside_them(decoder, features):
    places = [(20, 30), (70, 50), (5, 90)]
    together = outline(decoder, features, clicks(*places))
    for row, place in enumerate(places):
        alone = outline(decoder, features, clicks(place))
        assert largest_error(together.logits[row : row + 1], alone.logits) < 1e-4
        assert (together.iou[row] - alone.iou[0]).abs().max() < 1e-4


def test_where_the_prompt_lies_changes_the_masks(decoder, features):
    here, there = (outline(decoder, features, clicks(place)).logits for place in ((20, 30), (70, 50)))
    assert (here - there).abs().max() > 0.1


def test_innerness_and_edges_enter_the_finest_level_as_probabilities(decoder, pyramid):
    features = decoder.prepare(pyramid)
    shifted = decoder.prepare(pyramid._replace(dense=pyramid.dense + 1))
    assert not torch.equal(features[0].own, shifted[0].own)
    for level in (1, 2):
        assert torch.equal(features[level].own, shifted[level].own)
    maps = torch.cat([pyramid.features[0], torch.sigmoid(pyramid.dense)], dim=1)
    assert torch.equal(features[0].own, decoder.levels[0].own(maps))
