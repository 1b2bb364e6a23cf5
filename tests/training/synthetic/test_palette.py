"""Colours: mixing, light and draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.training.synthetic.palette import Land, draw_land, lit, mix, pick

COLOURS = st.tuples(*[st.integers(8, 250)] * 3)
SEEDS = st.integers(0, 2**32 - 1)


@given(COLOURS, COLOURS, st.floats(-1, 2))
def test_a_mixture_lies_between_its_colours(first, second, share):
    mixed = mix(first, second, share)
    low, high = np.minimum(first, second), np.maximum(first, second)
    assert (mixed >= low - 1e-3).all()
    assert (mixed <= high + 1e-3).all()


@given(COLOURS, COLOURS)
def test_the_ends_of_a_mixture_are_its_colours(first, second):
    assert mix(first, second, 0).tolist() == pytest.approx(first)
    assert mix(first, second, 1).tolist() == pytest.approx(second, abs=1e-3)
    assert mix(first, second, 0.5).tolist() == pytest.approx(np.mean([first, second], axis=0), abs=1e-3)
    assert mix(first, second, 7).tolist() == mix(first, second, 1).tolist()


def test_textures_are_mixed_pixel_by_pixel():
    texture = np.zeros((2, 3, 3), np.float32)
    mixed = mix(texture, (100, 50, 0), np.array([[0, 0.5, 1], [1, 0.5, 0]]))
    assert mixed.shape == (2, 3, 3)
    assert mixed[0, 1].tolist() == [50, 25, 0]
    assert np.array_equal(mixed[0], mixed[1, ::-1])


@given(COLOURS, st.floats(0, 2))
def test_light_scales_a_colour(colour, light):
    assert lit(colour, light).tolist() == pytest.approx(np.multiply(colour, light), rel=1e-5)


def test_light_scales_a_texture_pixel_by_pixel():
    texture = np.full((2, 2, 3), 40, np.float32)
    assert lit(texture, [[0, 1], [2, 3]])[..., 0].tolist() == [[0, 40], [80, 120]]
    assert lit((10, 20, 30), np.ones((4, 5))).shape == (4, 5, 3)


@given(SEEDS)
def test_a_pick_is_near_one_of_the_colours(seed):
    colours = ((40, 40, 40), (200, 200, 200))
    picked = pick(colours, np.random.default_rng(seed), 0.02)
    assert picked.shape == (3,)
    assert min(np.abs(picked - colour).max() for colour in colours) < 40
    assert picked.min() >= 8
    assert picked.max() <= 250


def test_without_jitter_a_pick_is_one_of_the_colours_and_every_one_comes():
    colours, rng = ((40, 50, 60), (200, 190, 180), (90, 10, 90)), np.random.default_rng(0)
    picks = {tuple(pick(colours, rng, 0).tolist()) for _ in range(60)}
    assert picks == set(colours)


@given(SEEDS)
def test_a_region_follows_from_its_seed(seed):
    one, other = (draw_land(np.random.default_rng(seed)) for _ in range(2))
    assert isinstance(one, Land)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(colour.min() >= 18 and colour.max() <= 245 and colour.dtype == np.float32 for colour in one)


def test_leaves_in_the_sun_are_lighter_than_in_the_shade_in_nearly_every_region():
    lands = [draw_land(np.random.default_rng(seed)) for seed in range(200)]
    assert np.mean([land.leaf.mean() > land.shade.mean() for land in lands]) > 0.95


def test_regions_differ():
    soils = np.array([draw_land(np.random.default_rng(seed)).soil for seed in range(60)])
    assert soils.std(axis=0).min() > 10
