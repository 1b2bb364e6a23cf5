import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_answers import flat_scene

from geosam.training.data import augmentation as module
from geosam.training.data.augmentation import augment

STEPS = [step for _, step in module._STEPS]
seeds = st.integers(0, 2**32 - 1)


def scene(height=96, width=96, seed=0):
    return flat_scene(np.random.default_rng(seed), height, width, 12)


SCENE = scene()


def everywhere(rgb):
    return np.ones(rgb.shape[1:], bool)


@given(seeds)
def test_invalid_pixels_stay_black_and_colour_nothing_around_them(seed):
    rgb = SCENE
    valid = everywhere(rgb)
    valid[:, 50:] = False
    dirty = np.where(valid, rgb, 77).astype(np.uint8)
    result = augment(dirty, valid, np.random.default_rng(seed))
    assert (result.shape, result.dtype) == (rgb.shape, np.uint8)
    assert not result[:, ~valid].any()
    assert (result == augment(np.where(valid, rgb, 200).astype(np.uint8), valid, np.random.default_rng(seed))).all()


@given(seeds)
def test_any_shape_and_a_picture_without_a_valid_pixel_are_fine(seed):
    rng = np.random.default_rng(seed)
    shape_hw = tuple(rng.integers(8, 60, 2).tolist())
    rgb = rng.integers(0, 256, (3, *shape_hw)).astype(np.uint8)
    assert augment(rgb, np.ones(shape_hw, bool), rng).shape == rgb.shape
    assert not augment(rgb, np.zeros(shape_hw, bool), rng).any()


def test_the_picture_given_is_not_changed_and_the_seed_decides():
    rgb = scene()
    before = rgb.copy()
    results = [augment(rgb, everywhere(rgb), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (rgb == before).all()
    assert (results[0] == results[1]).all()
    assert (results[0] != results[2]).any()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_every_step_changes_colours_but_moves_nothing(step):
    """The edges of the picture, as gradients of brightness, correlate best with those of the result in place."""
    rgb = scene(128, 128).astype(np.float32)
    edges = np.abs(np.diff(rgb.mean(axis=0), axis=1))
    scores = {shift: [] for shift in (-2, -1, 0, 1, 2)}
    for seed in range(30):
        given_rgb = rgb.copy()
        result = step(given_rgb, np.random.default_rng(seed))
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
        assert (given_rgb == rgb).all()
        assert np.abs(result - rgb).max() > 0.5 or step in (module._shaded, module._recoloured)
        found = np.abs(np.diff(result.mean(axis=0), axis=1))
        for shift, values in scores.items():
            values.append(np.corrcoef(np.roll(found, shift, 1).reshape(-1), edges.reshape(-1))[0, 1])
    means = {shift: np.mean(values) for shift, values in scores.items()}
    assert max(means, key=means.get) == 0
    assert means[1] == pytest.approx(means[-1], abs=0.05)


def test_objects_remain_visible_in_nearly_all_pictures():
    """The contrast between two halves, in any band, is rarely lost."""
    rgb = np.full((3, 64, 64), 90, np.uint8)
    rgb[:, :, 32:] = np.array([150, 140, 120], np.uint8)[:, None, None]
    rng = np.random.default_rng(0)
    contrasts = []
    for _ in range(400):
        result = augment(rgb, everywhere(rgb), rng).astype(float)
        contrasts.append(np.abs(result[:, :, 40:].mean(axis=(1, 2)) - result[:, :, :24].mean(axis=(1, 2))).max())
    assert np.mean(np.array(contrasts) < 8) < 0.03
    assert np.std(contrasts) > 8, "yet it varies"


def test_pictures_become_grey_now_and_then():
    rgb = np.random.default_rng(0).integers(40, 200, (3, 64, 64)).astype(np.uint8)
    rng = np.random.default_rng(1)
    spreads = [np.ptp(module._recoloured(rgb.astype(np.float32), rng), axis=0).mean() for _ in range(400)]
    saturation = np.array(spreads) / np.ptp(rgb, axis=0).mean()
    assert 0.05 < np.mean(saturation < 0.35) < 0.3
    assert np.median(saturation) == pytest.approx(1, abs=0.25)


def test_hue_turns_colours_and_leaves_grey_alone():
    turn = module._hue(2 * np.pi / 3)
    np.testing.assert_allclose(turn @ [1, 1, 1], [1, 1, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_compression_of_a_flat_picture_changes_little_and_blocks_show_in_a_busy_one():
    flat = np.full((3, 40, 56), 120, np.float32)
    flat[2] = 60
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert np.abs(module._compressed(flat, rng) - flat).max() < 6
    noise = rng.integers(0, 256, (3, 64, 64)).astype(np.float32)
    fine = np.abs(module._compressed(noise, rng) - noise).mean()
    assert 0.5 < fine < 60


def test_a_picture_takes_milliseconds():
    rgb = scene(256, 256)
    rng = np.random.default_rng(0)
    augment(rgb, everywhere(rgb), rng)
    began = time.process_time()
    for _ in range(60):
        augment(rgb, everywhere(rgb), rng)
    assert (time.process_time() - began) / 60 < 0.02, "measured: 1.8 ms alone on one core"
