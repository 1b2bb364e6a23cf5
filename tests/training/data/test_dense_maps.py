"""Targets of the dense maps, shares of cells, and the shares of prompts, against slow computations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from small_samples import sample

from geosam.training.data import batch as module
from geosam.training.data.batch import CLICKS, OBJECTS, STRIDE, make_batch

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=25, deadline=None)


def rng(seed=0):
    return np.random.default_rng(seed)


def rectangles_of(seed, size=64, count=3):
    draws = rng(seed)
    corners = [(*draws.integers(0, size - 16, 2), *draws.integers(8, 16, 2)) for _ in range(count)]
    return [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h in corners]


@given(SEEDS)
def test_shares_of_cells_are_means_over_four_by_four_pixels(seed):
    mask = rng(seed).random((32, 32)) < 0.5
    shares = module.cell_shares(mask)
    for row, col in ((0, 0), (3, 5), (7, 7)):
        assert shares[row, col] == mask[row * 4 : row * 4 + 4, col * 4 : col * 4 + 4].mean()
    assert shares.shape == (8, 8)
    assert shares.sum() * STRIDE**2 == pytest.approx(mask.sum())


@FEW
@given(SEEDS)
def test_edges_are_where_neighbours_differ(seed):
    crop = sample(rectangles=rectangles_of(seed))
    maps, _ = module._dense_maps(crop)
    fine = crop.instances[1::2, 1::2]
    edge = np.zeros_like(fine, bool)
    for row in range(32):
        for col in range(32):
            around = [(row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)]
            edge[row, col] = any(0 <= r < 32 and 0 <= c < 32 and fine[r, c] != fine[row, col] for r, c in around)
    cells = edge.reshape(16, 2, 16, 2).max(axis=(1, 3))
    assert np.array_equal(maps[1], cells)


@FEW
@given(SEEDS)
def test_depth_is_greatest_in_the_middle_of_each_object_and_zero_outside(seed):
    crop = sample(rectangles=rectangles_of(seed))
    maps, _ = module._dense_maps(crop)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    background = ndimage.minimum_filter(crop.instances == 0, 5, mode="constant", cval=True)
    cells = background.reshape(16, 4, 16, 4).all(axis=(1, 3))
    assert not maps[0][cells].any()


@pytest.mark.parametrize("complete", [True, False])
def test_a_cell_counts_as_far_as_its_pixels_are_labelled(complete):
    crop = sample(rectangles=[(8, 8, 24, 24)], complete=complete)
    crop.valid[:, 32:] = False
    _, weight = module._dense_maps(crop)
    assert (weight[:, 8:] == 0).all()
    assert (weight[2:6, 2:6] == 1).all()
    assert (weight[10:, :8] == float(complete)).all()


def test_a_point_in_an_object_with_a_mask_changes_nothing():
    plain, marked = sample(), sample(points=[(20.0, 20.0)])
    assert np.array_equal(module._dense_maps(plain)[0], module._dense_maps(marked)[0])


def test_points_at_the_border_of_the_crop_are_marked_and_no_cell_beyond():
    crop = sample(rectangles=(), points=[(0.0, 0.0), (63.9, 63.9)], complete=False)
    maps, weight = module._dense_maps(crop)
    assert maps[0, 0, 0] == maps[0, 15, 15] == 1
    assert weight.sum() == 2


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_every_row_of_a_batch_is_a_prompt_for_its_object(seed):
    crops = [sample(rectangles=rectangles_of(seed)), sample(rectangles=rectangles_of(seed + 1))]
    batch = make_batch(crops, rng(seed))
    if batch is None:
        return
    assert len(batch.picture) == 2 * OBJECTS
    assert batch.points.shape == (6, CLICKS, 2)
    numbers = [np.unique(crop.instances)[1:] for crop in crops]
    for row in range(6):
        crop = crops[int(batch.picture[row])]
        shares = [module.cell_shares(crop.instances == number) for number in numbers[int(batch.picture[row])]]
        assert any(np.array_equal(batch.target[row].numpy(), share) for share in shares)
        clicked = (batch.labels[row] == 1).any()
        boxed = batch.boxes[row].isfinite().all()
        assert clicked or boxed


def test_first_prompts_divide_by_their_shares():
    crop = sample(rectangles=[(8, 12, 40, 44), (44, 12, 60, 44)])
    batches = [make_batch([crop] * 4, rng(seed)) for seed in range(60)]
    boxed = np.concatenate([batch.boxes.isfinite().all(dim=1).numpy() for batch in batches])
    clicked = np.concatenate([(batch.labels == 1).any(dim=1).numpy() for batch in batches])
    excluding = np.concatenate([(batch.labels == 0).any(dim=1).numpy() for batch in batches])
    assert boxed.mean() == pytest.approx(module._BOX + module._BOX_AND_CLICK, abs=0.06)
    assert (boxed & clicked).mean() == pytest.approx(module._BOX_AND_CLICK, abs=0.03)
    assert excluding.mean() == pytest.approx(module._WITH_EXCLUDING, abs=0.035)
    assert not (boxed & excluding).any()


def test_small_objects_are_not_prompted():
    crop = sample(rectangles=[(4, 4, 11, 12), (20, 20, 44, 44)])
    batch = make_batch([crop], rng())
    shares = module.cell_shares(crop.instances == 2)
    assert all(np.array_equal(target, shares) for target in batch.target.numpy())


def test_large_objects_are_prompted_more_often_but_not_in_proportion():
    crop = sample(rectangles=[(0, 0, 48, 48), *[(52, y, 60, y + 10) for y in (0, 12, 24, 36, 48)]])
    large = module.cell_shares(crop.instances == 1)
    batches = [make_batch([crop], rng(seed)) for seed in range(200)]
    share = np.mean([any(np.array_equal(target, large) for target in batch.target.numpy()) for batch in batches])
    assert 0.5 < share < 0.95


@given(SEEDS)
def test_an_object_known_by_its_box_is_prompted_by_the_box_or_near_its_middle(seed):
    box = np.array([8.0, 12.0, 40.0, 44.0])
    target = module._by_box(box, 64, rng(seed))
    assert target.by_box
    assert target.target.sum() * 16 == 32 * 32
    if target.clicks:
        (x, y, label) = target.clicks[0]
        assert label == 1
        assert abs(x - 24) <= 0.15 * 32
        assert abs(y - 28) <= 0.15 * 32
        assert np.isnan(target.box).all()
    else:
        assert target.box.tolist() == box.tolist()


def test_a_batch_moves_with_all_of_its_columns():
    batch = make_batch([sample()], rng())
    moved = batch.to("cpu")
    assert vars(moved).keys() == vars(batch).keys()
    assert all(vars(moved)[name].equal(column) for name, column in vars(batch).items() if name != "boxes")


def test_the_crops_of_a_batch_are_shown_as_they_are():
    crops = [sample(), sample(rectangles=[(4, 4, 30, 30)])]
    batch = make_batch(crops, rng())
    for number, crop in enumerate(crops):
        assert np.array_equal(batch.rgb[number].numpy(), crop.rgb)
        assert np.array_equal(batch.valid[number].numpy(), crop.valid)
