"""Losses against NumPy, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_samples import sample

from geosam.segmenters.lite.decoder import RegionMasks
from geosam.training.data.batch import make_batch
from geosam.training.fit import losses as module
from geosam.training.fit.losses import (
    IOU_WEIGHT,
    PLACE_WEIGHT,
    Losses,
    answer_losses,
    best_mask_loss,
    losses,
    mask_loss,
    place_loss,
    soft_iou,
)

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=25, deadline=None)


def draws(seed, *shape, low=-4.0, high=4.0):
    return np.random.default_rng(seed).uniform(low, high, shape)


def shares_of(seed, *shape):
    """Shares of cells: most are empty or full, as those of masks."""
    return np.clip(draws(seed, *shape, low=-1, high=2), 0, 1)


def tensor(array):
    return torch.tensor(array, dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(logits, target):
    p = sigmoid(logits)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def dice(shares, target):
    return 1 - (2 * (shares * target).sum() + 1) / (shares.sum() + target.sum() + 1)


@FEW
@given(SEEDS)
def test_the_mask_loss_is_cross_entropy_by_size_plus_dice(seed):
    logits, target = draws(seed, 2, 3, 6, 5), shares_of(seed + 1, 2, 1, 6, 5)
    found = mask_loss(tensor(logits), tensor(target)).numpy()
    for n in range(2):
        for k in range(3):
            p, t = sigmoid(logits[n, k]), target[n, 0]
            size = t.sum() + p.sum() + 48
            expected = 2 * cross_entropy(logits[n, k], t).sum() / size + dice(p, t)
            assert found[n, k] == pytest.approx(expected)


@FEW
@given(SEEDS)
def test_the_soft_iou_is_a_ratio_of_shares(seed):
    logits, target = draws(seed, 2, 3, 6, 5), shares_of(seed + 1, 2, 1, 6, 5)
    found = soft_iou(tensor(logits), tensor(target)).numpy()
    for n in range(2):
        for k in range(3):
            p = sigmoid(3 * logits[n, k])
            expected = np.minimum(p, target[n, 0]).sum() / np.maximum(p, target[n, 0]).sum()
            assert found[n, k] == pytest.approx(expected)
    assert (found >= 0).all()
    assert (found <= 1).all()


@FEW
@given(SEEDS)
def test_the_box_loss_compares_projections_and_what_is_outside(seed):
    logits, target = draws(seed, 1, 2, 6, 5), (shares_of(seed + 1, 1, 1, 6, 5) > 0.5).astype(float)
    found = module._box_loss(tensor(logits), tensor(target)).numpy()
    for k in range(2):
        p, t = sigmoid(logits[0, k]), target[0, 0]
        outside = (p * (1 - t)).sum() / (t.sum() + 48)
        expected = dice(p.max(axis=0), t.max(axis=0)) + dice(p.max(axis=1), t.max(axis=1)) + outside
        assert found[0, k] == pytest.approx(expected)


@FEW
@given(SEEDS)
def test_coarse_places_hold_the_object_where_a_fine_cell_does(seed):
    place, target = draws(seed, 2, 1, 3, 2), shares_of(seed + 1, 2, 1, 12, 8) * 0.1
    near = target.reshape(2, 1, 3, 4, 2, 4).max(axis=(3, 5)) > 0.05
    expected = cross_entropy(place, near.astype(float)).mean()
    assert float(place_loss(tensor(place), tensor(target))) == pytest.approx(expected)


@FEW
@given(SEEDS)
def test_most_of_the_loss_is_that_of_the_best_mask(seed):
    per_mask = draws(seed, 4, 3, low=0, high=5)
    found = best_mask_loss(tensor(per_mask)).numpy()
    expected = 0.85 * per_mask.min(axis=1) + 0.15 * per_mask.mean(axis=1)
    assert found == pytest.approx(expected)


def test_the_loss_of_a_single_mask_is_its_loss():
    per_mask = torch.tensor([[0.3], [2.0]])
    assert best_mask_loss(per_mask).tolist() == pytest.approx([0.3, 2.0])


def test_every_mask_gets_gradients_and_the_best_one_most():
    per_mask = torch.tensor([[0.5, 1.0, 2.0]], requires_grad=True)
    best_mask_loss(per_mask).sum().backward()
    assert per_mask.grad.tolist()[0] == pytest.approx([0.9, 0.05, 0.05])


@FEW
@given(SEEDS)
def test_dense_maps_weigh_edges_threefold_and_unknown_cells_not_at_all(seed):
    class Maps:
        dense = tensor(shares_of(seed, 2, 2, 4, 4))
        dense_weight = tensor((shares_of(seed + 1, 2, 4, 4) > 0.5).astype(float))

    logits = draws(seed + 2, 2, 2, 4, 4)
    weight, dense = Maps.dense_weight.numpy(), Maps.dense.numpy()
    wrong = cross_entropy(logits, dense)
    total = (wrong[:, 0] * weight).sum() + (wrong[:, 1] * weight * (1 + 2 * dense[:, 1])).sum()
    assert float(module._dense_loss(tensor(logits), Maps)) == pytest.approx(total / max(weight.sum(), 1))


@pytest.mark.parametrize("loss", [mask_loss, module._box_loss], ids=["mask", "box"])
def test_gradients_are_those_of_finite_differences(loss):
    """The size in the mask loss is a constant for the gradient: it is the same for both sides here."""
    logits, target = tensor(draws(1, 1, 1, 4, 4)), tensor(shares_of(2, 1, 1, 4, 4))
    logits.requires_grad_()
    value = loss(logits, target).sum()
    (gradient,) = torch.autograd.grad(value, logits)
    value = value.detach()
    step = 1e-6
    for row, col in ((0, 0), (1, 2), (3, 3)):
        moved = logits.detach().clone()
        moved[0, 0, row, col] += step
        numeric = float(loss(moved, target).sum() - value) / step
        slack = 0.02 if loss is mask_loss else 1e-4
        assert float(gradient[0, 0, row, col]) == pytest.approx(numeric, abs=slack)


@pytest.mark.parametrize("loss", [mask_loss, module._box_loss], ids=["mask", "box"])
def test_a_step_against_the_gradient_makes_a_loss_smaller(loss):
    logits, target = tensor(draws(3, 2, 3, 8, 8)).requires_grad_(), tensor(shares_of(4, 2, 1, 8, 8))
    before = loss(logits, target).sum()
    (gradient,) = torch.autograd.grad(before, logits)
    assert loss((logits - 0.5 * gradient).detach(), target).sum() < before


def answer_of(batch, seed=0):
    count, side = len(batch.picture), batch.target.shape[-1]
    logits = torch.tensor(draws(seed, count, 3, side, side), dtype=torch.float32)
    return RegionMasks(
        logits.requires_grad_(), torch.tensor(draws(seed + 1, count, 3, low=0, high=1), dtype=torch.float32)
    )


@pytest.fixture
def batch():
    return make_batch([sample(rectangles=[(8, 8, 40, 40), (44, 8, 60, 60)])], np.random.default_rng(0))


@pytest.fixture
def boxed():
    return make_batch([sample(rectangles=(), boxes=[(8, 8, 40, 48)], complete=False)], np.random.default_rng(0))


def test_the_total_is_the_weighted_sum():
    parts = [torch.tensor(value) for value in (1.0, 10.0, 100.0, 1000.0)]
    assert float(Losses(*parts).total) == 1 + IOU_WEIGHT * 10 + PLACE_WEIGHT * 100 + 1000


def test_the_expected_iou_is_compared_with_the_true_one(batch):
    answer = answer_of(batch)
    _, error, agreement = answer_losses(answer, batch)
    true = soft_iou(answer.logits.detach(), batch.target[:, None])
    assert float(error) == pytest.approx(float(((answer.iou - true) ** 2).mean()), rel=1e-5)
    assert agreement.rows.tolist() == list(range(len(batch.picture)))
    assert agreement.best.tolist() == pytest.approx(true.amax(dim=1).tolist())
    chosen = true[torch.arange(len(true)), answer.iou.argmax(dim=1)]
    assert agreement.chosen.tolist() == pytest.approx(chosen.tolist())


def test_masks_do_not_follow_the_expected_iou(batch):
    answer = answer_of(batch)
    iou = answer.iou.clone().requires_grad_()
    _, error, _ = answer_losses(answer._replace(iou=iou), batch)
    gradients = torch.autograd.grad(error, (answer.logits, iou), allow_unused=True)
    assert gradients[0] is None
    assert bool(gradients[1].any())


def test_an_object_known_by_its_box_says_nothing_about_the_iou(boxed):
    mask, error, agreement = answer_losses(answer_of(boxed), boxed)
    assert float(mask.detach()) > 0
    assert float(error) == 0
    assert len(agreement.rows) == len(agreement.chosen) == len(agreement.best) == 0


def test_all_parts_of_the_loss_are_finite_at_extreme_logits(batch):
    class Flat:
        dense = torch.full_like(batch.dense, -80.0)

    answer = answer_of(batch)
    wild = RegionMasks(torch.sign(answer.logits) * 1e4, answer.iou)
    place = torch.full((len(batch.picture), 1, 4, 4), 1e4)
    computed, _ = losses(Flat, place, wild, batch)
    assert all(bool(part.isfinite()) for part in computed)
