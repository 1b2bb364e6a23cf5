"""Each step of the augmentation against what it says it does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import flat_scene
from scipy import fft, ndimage

from geosam.training.data import augmentation as module

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=25, deadline=None)


def rng(seed=0):
    return np.random.default_rng(seed)


def flat(colour=(90, 120, 60), shape=(40, 48)):
    return np.broadcast_to(np.array(colour, np.float32)[:, None, None], (3, *shape)).copy()


SCENE = flat_scene(rng(), 64, 72, 10).astype(np.float32)


@FEW
@given(SEEDS)
def test_uneven_light_is_one_factor_for_all_bands(seed):
    lit = module._illuminated(SCENE + 1, rng(seed)) / (SCENE + 1)
    assert np.allclose(lit[0], lit[1], rtol=1e-4)
    assert np.allclose(lit[0], lit[2], rtol=1e-4)
    assert lit.min() > 0


@FEW
@given(SEEDS)
def test_light_changes_slowly(seed):
    lit = module._illuminated(flat((100, 100, 100)), rng(seed))[0]
    assert np.abs(np.diff(lit, axis=0)).max() < 25
    assert np.abs(np.diff(lit, axis=1)).max() < 25


@FEW
@given(SEEDS)
def test_a_cloud_darkens_and_leaves_a_bluish_light(seed):
    shaded = module._shaded(flat((100, 100, 100)), rng(seed))
    assert shaded.max() <= 100 + 1e-3
    assert shaded.min() >= 100 * (1 - 0.7) - 1e-3
    deep = shaded[0] < 90
    if deep.any():
        assert (shaded[2][deep] >= shaded[0][deep]).all()


@FEW
@given(SEEDS)
def test_haze_takes_contrast_away(seed):
    hazed = module._hazed(SCENE, rng(seed))
    assert hazed.std() < SCENE.std() + 25
    spread = [np.ptp(module._hazed(flat(colour), rng(seed)).mean(axis=(1, 2))) for colour in ((10, 90, 200),)]
    assert spread[0] < 190


def test_haze_brightens_dark_ground():
    black = [module._hazed(flat((0, 0, 0)), rng(seed)).mean() for seed in range(20)]
    assert min(black) > 0


@FEW
@given(SEEDS)
def test_larger_pixels_lose_detail_and_keep_the_mean(seed):
    noise = rng(seed).uniform(0, 255, (3, 60, 60)).astype(np.float32)
    coarse = module._coarsened(noise, rng(seed))
    assert coarse.shape == noise.shape
    assert coarse.std() < noise.std()
    assert coarse.mean() == pytest.approx(noise.mean(), abs=4)


@FEW
@given(SEEDS, st.floats(0.4, 2))
def test_smoothing_is_a_gaussian_of_each_band(seed, sigma):
    noise = rng(seed).uniform(0, 255, (3, 30, 30)).astype(np.float32)
    smooth = module._smoothed(noise, sigma)
    for band in range(3):
        expected = ndimage.gaussian_filter(noise[band], sigma, truncate=2.5, mode="nearest")
        assert np.allclose(smooth[band], expected, atol=1e-3)


@FEW
@given(SEEDS)
def test_blur_and_sharpening_leave_a_flat_picture_alone(seed):
    assert np.allclose(module._blurred(flat(), rng(seed)), flat(), atol=1e-3)
    assert np.allclose(module._sharpened(flat(), rng(seed)), flat(), atol=1e-3)


@FEW
@given(SEEDS)
def test_sharpening_steepens_edges_and_blur_flattens_them(seed):
    edge = flat((100, 100, 100))
    edge[:, :, 24:] = 150
    steps = [np.abs(np.diff(step(edge, rng(seed)), axis=2)).max() for step in (module._sharpened, module._blurred)]
    assert steps[0] > 50 > steps[1]


@given(st.floats(-3, 3))
def test_a_turn_of_hue_is_a_rotation_around_grey(angle):
    turn = module._hue(angle)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)
    assert np.allclose(turn @ np.ones(3), np.ones(3))
    assert np.allclose(turn @ module._hue(-angle), np.eye(3), atol=1e-9)


@FEW
@given(SEEDS)
def test_a_mixture_of_bands_is_a_matrix_product(seed):
    matrix = rng(seed).normal(size=(2, 3))
    expected = np.einsum("nb,bhw->nhw", matrix, SCENE)
    assert np.allclose(module._mixed(matrix, SCENE), expected, atol=0.05)


@FEW
@given(SEEDS)
def test_recolouring_is_linear_and_the_same_everywhere(seed):
    one, other = module._recoloured(SCENE, rng(seed)), module._recoloured(2 * SCENE, rng(seed))
    assert np.allclose(other, 2 * one, atol=0.1)
    rolled = module._recoloured(np.roll(SCENE, 7, axis=2), rng(seed))
    assert np.allclose(rolled, np.roll(one, 7, axis=2), atol=0.1)


@FEW
@given(SEEDS)
def test_equal_colours_stay_equal_under_a_tone_curve(seed):
    toned = module._toned(SCENE, rng(seed))
    for band in range(3):
        levels = {}
        for value, result in zip(SCENE[band].ravel().tolist(), toned[band].ravel().tolist(), strict=True):
            assert levels.setdefault(value, result) == result


def test_tone_curves_rise():
    ramp = np.tile(np.arange(256, dtype=np.float32), (3, 4, 1))
    for seed in range(30):
        toned = module._toned(ramp, rng(seed))
        assert (np.diff(toned[:, 0], axis=1) >= -1e-3).all()


def test_noise_is_the_same_in_all_bands_half_of_the_time():
    together = []
    for seed in range(60):
        noise = module._noisy(flat(), rng(seed)) - flat()
        together.append(np.allclose(noise[0], noise[1], atol=1e-3))
        assert 0.8 < noise.std() < 14
        assert abs(noise.mean()) < 1.5
    assert np.mean(together) == pytest.approx(0.5, abs=0.25)


@FEW
@given(SEEDS, st.integers(5, 40), st.integers(5, 40))
def test_compression_works_on_any_size(seed, height, width):
    noise = rng(seed).uniform(0, 255, (3, height, width)).astype(np.float32)
    assert module._compressed(noise, rng(seed)).shape == noise.shape


@FEW
@given(SEEDS)
def test_compression_rounds_the_frequencies_of_brightness_and_of_colour_in_whole_blocks(seed):
    """The draws are made again, so that the blocks and the steps are known."""
    noise = rng(seed).uniform(0, 255, (3, 40, 48)).astype(np.float32)
    found = module._compressed(noise, rng(seed))
    draws = rng(seed)
    step = math.exp(draws.uniform(math.log(2), math.log(24)))
    dy, dx = draws.integers(8, size=2)
    top, left = -dy % 8, -dx % 8
    block = np.s_[top : top + 8, left : left + 8]
    coarseness = 1 + np.add.outer(np.arange(8), np.arange(8)) / 2
    weights = np.array([0.299, 0.587, 0.114])
    luma = [np.tensordot(weights, picture, 1) for picture in (noise, found)]
    for band, factor in ((None, 1.0), (0, 1.5), (2, 1.5)):
        planes = [y if band is None else p[band] - y for p, y in zip((noise, found), luma, strict=True)]
        before, after = (fft.dctn(plane[block], norm="ortho") / (factor * step * coarseness) for plane in planes)
        certain = np.abs(before - np.floor(before) - 0.5) > 0.01  # not on the border between two steps
        assert np.allclose(after[certain], np.rint(before)[certain], atol=0.02)


@FEW
@given(SEEDS, st.integers(4, 60), st.integers(4, 60))
def test_a_random_field_is_smooth_and_near_zero(seed, height, width):
    field = module._field((height, width), rng(seed))
    assert field.shape == (height, width)
    assert np.isfinite(field).all()
    assert np.abs(field).max() < 8


def test_steps_come_from_the_ground_to_the_file_and_to_a_share_of_the_pictures():
    names = [step.__name__ for _, step in module._STEPS]
    order = ["_illuminated", "_shaded", "_hazed", "_coarsened", "_recoloured", "_toned", "_noisy", "_compressed"]
    assert [name for name in names if name in order] == order
    assert all(0 < share < 1 for share, _ in module._STEPS)


def test_steps_are_drawn_by_their_shares(monkeypatch):
    calls = []
    spies = tuple((share, lambda picture, _rng, i=i: calls.append(i) or picture) for i, share in enumerate((0.2, 0.8)))
    monkeypatch.setattr(module, "_STEPS", spies)
    draws, picture = rng(0), flat().astype(np.uint8)
    for _ in range(500):
        result = module.augment(picture, np.ones(picture.shape[1:], bool), draws)
        assert np.array_equal(result, picture), "without a step a picture stays as it is"
    assert calls.count(0) / 500 == pytest.approx(0.2, abs=0.06)
    assert calls.count(1) / 500 == pytest.approx(0.8, abs=0.06)


def test_invalid_pixels_take_part_as_the_mean_colour(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "_STEPS", ((1.1, lambda picture, _rng: shown.append(picture.copy()) or picture),))
    picture = flat().astype(np.uint8)
    picture[:, :, 10:] = 200
    valid = np.ones(picture.shape[1:], bool)
    valid[:, :5] = False
    result = module.augment(picture, valid, rng())
    mean = picture[:, valid].mean(axis=1)
    assert shown[0][:, 0, 0] == pytest.approx(mean, abs=1e-3)
    assert not result[:, ~valid].any()
    assert np.array_equal(result[:, valid], picture[:, valid])
