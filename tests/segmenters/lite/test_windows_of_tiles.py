"""Windows around prompts and objects: their size and place, and the maps and prompts cut to them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geosam.segmenters.clipped_prompt import ClippedPrompt
from geosam.segmenters.lite import refinement
from geosam.segmenters.lite.decoder import LevelFeatures
from geosam.segmenters.lite.encoder import STRIDES
from geosam.segmenters.lite.prompt_maps import Prompts, Region, prompt_maps
from geosam.segmenters.lite.refinement import CELL, cut, shifted

TILE = Region(0, 0, 40, 64)


@st.composite
def regions(draw, tile=TILE):
    row, col = draw(st.integers(0, tile.height - 1)), draw(st.integers(0, tile.width - 1))
    return Region(row, col, draw(st.integers(1, tile.height - row)), draw(st.integers(1, tile.width - col)))


def contains(outer, inner):
    return (
        outer.row <= inner.row
        and outer.col <= inner.col
        and outer.row + outer.height >= inner.row + inner.height
        and outer.col + outer.width >= inner.col + inner.width
    )


@given(regions(), st.integers(0, 6), st.sampled_from([0, 24]))
def test_a_grown_region_contains_the_region_and_lies_in_the_tile(region, margin, min_side):
    grown = refinement._grown(region, margin, TILE, min_side=min_side)
    assert contains(grown, region)
    assert contains(TILE, grown)
    for side, most, own in ((grown.height, TILE.height, region.height), (grown.width, TILE.width, region.width)):
        assert side >= min(own + 2 * margin, most)
        assert side >= min(min_side, most)
        assert side % 4 == 0 or side == most, "few different sizes, so that many prompts share one"
        assert side <= max(own + 2 * margin + 3, min_side)


@given(regions(), regions())
def test_two_regions_are_united_in_the_smallest_that_contains_both(region, other):
    united = refinement._united(region, other)
    assert contains(united, region)
    assert contains(united, other)
    assert united == refinement._united(other, region)
    for smaller in (
        united._replace(height=united.height - 1),
        united._replace(width=united.width - 1),
        united._replace(row=united.row + 1, height=united.height - 1),
        united._replace(col=united.col + 1, width=united.width - 1),
    ):
        assert not (contains(smaller, region) and contains(smaller, other))


@given(regions(), st.integers(0, 2**32 - 1))
def test_a_mask_crosses_its_window_only_where_the_tile_goes_on(window, seed):
    mask = np.random.default_rng(seed).random((window.height, window.width)) < 0.1
    whole = np.zeros((TILE.height + 2, TILE.width + 2), bool)  # with a rim around the tile
    whole[1:-1, 1:-1] = True
    around = whole[
        window.row : window.row + window.height + 2, window.col : window.col + window.width + 2
    ]  # True where the tile goes on
    expected = any(
        (row == 0 and around[0, col + 1])
        or (col == 0 and around[row + 1, 0])
        or (row == window.height - 1 and around[-1, col + 1])
        or (col == window.width - 1 and around[row + 1, -1])
        for row, col in np.argwhere(mask)
    )
    assert refinement._crosses(mask, window, TILE) == expected


@given(st.lists(regions(), max_size=12), st.sampled_from([1, 60, 10**6]))
def test_batches_hold_windows_of_one_size_and_every_window_once(windows, cells):
    batches = list(refinement._batches(windows, cells))
    assert sorted(number for batch in batches for number in batch) == list(range(len(windows)))
    for batch in batches:
        assert batch == sorted(batch)
        assert len({(windows[number].height, windows[number].width) for number in batch}) == 1
        area = windows[batch[0]].height * windows[batch[0]].width
        assert len(batch) == 1 or len(batch) * area <= cells


@given(st.floats(0, 64 * CELL - 1), st.floats(0, 40 * CELL - 1))
def test_the_first_window_has_the_prompt_in_it_with_a_margin_where_the_tile_has_room(x, y):
    search = refinement._first_search(0, ClippedPrompt(np.array([[x, y]]), np.ones(1, np.int8), None, None), TILE)
    assert search.extent == Region(int(y // CELL), int(x // CELL), 1, 1)
    assert (search.window.height, search.window.width) == (24, 24)
    with_margin = refinement._grown(search.extent, 1, TILE)
    assert contains(search.window, with_margin)
    wider = search.widened(search.region, TILE)
    assert (wider.window.height, wider.window.width) == (min(48, TILE.height), 48)
    assert contains(wider.window, search.extent)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stride", STRIDES)
def test_features_are_cut_at_every_stride(stride):
    side = 16 // stride
    level = LevelFeatures(noise(1, 3, 10 * side, 12 * side), noise(1, 2, 10 * side, 12 * side, seed=1))
    windows = [Region(0, 0, 4, 5), Region(6, 7, 4, 5), Region(2, 1, 4, 5)]
    found = cut(level, windows, stride)
    for number, (row, col, height, width) in enumerate(windows):
        rows, cols = slice(row * side, (row + height) * side), slice(col * side, (col + width) * side)
        assert torch.equal(found.own[number], level.own[0, :, rows, cols])
        assert torch.equal(found.compared[number], level.compared[0, :, rows, cols])


def test_prompts_of_a_window_draw_the_maps_that_the_tile_has_there():
    prompts = Prompts(
        torch.tensor([[[50.0, 70.0], [90.0, 100.0]], [[120.0, 40.0], [0.0, 0.0]]]),
        torch.tensor([[1, 0], [1, -1]]),
        torch.tensor([[32.0, 40.0, 96.0, 110.0], [torch.nan] * 4]),
        noise(2, 1, 40, 48),
        torch.tensor([True, False]),
    )
    windows = [Region(1, 2, 4, 6), Region(3, 0, 4, 6)]
    moved = shifted(prompts, windows)
    for stride in STRIDES:
        found = prompt_maps(moved, Region(0, 0, 4, 6), stride)
        for number, window in enumerate(windows):
            expected = prompt_maps(prompts.rows([number]), window, stride)[0]
            assert torch.allclose(found[number], expected, atol=1e-5)
