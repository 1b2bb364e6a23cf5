import numpy as np
import pytest
import torch
from small_samples import sample

from geosam.segmenters.lite.decoder import MASKS, RegionMasks
from geosam.segmenters.lite.encoder import Pyramid
from geosam.training.data.batch import make_batch
from geosam.training.fit.losses import losses, soft_iou


def perfect(batch, sure=12.0):
    """(N, 1, h, w) logits of the targets, which lie on whole cells."""
    return sure * (2 * batch.target[:, None] - 1)


def pyramid(batch, sure=12.0):
    """A pyramid whose dense maps are right."""
    nothing = torch.zeros(1)
    return Pyramid((nothing, nothing, nothing), torch.logit(batch.dense.clamp(1e-5, 1 - 1e-5)).clamp(-sure, sure))


def places(batch):
    return 12.0 * (2 * torch.nn.functional.max_pool2d(batch.target[:, None], 4).gt(0).float() - 1)


@pytest.fixture
def batch():
    return make_batch([sample(rectangles=[(8, 8, 40, 40), (44, 8, 60, 60)])], np.random.default_rng(0))


def test_a_right_answer_costs_next_to_nothing(batch):
    answer = RegionMasks(perfect(batch).expand(-1, MASKS, -1, -1), torch.ones(len(batch.picture), MASKS))
    found, agreement = losses(pyramid(batch), places(batch), answer, batch)
    assert found.mask < 1e-2
    assert found.iou < 1e-4
    assert found.place < 1e-3
    assert agreement.chosen.min() > 0.99


def test_the_best_of_three_masks_counts_most(batch):
    right, wrong = perfect(batch), -perfect(batch)
    iou = torch.zeros(len(batch.picture), MASKS)
    costs = [
        losses(pyramid(batch), places(batch), RegionMasks(torch.cat(masks, dim=1), iou), batch)[0].mask.item()
        for masks in ([right] * 3, [right, wrong, wrong], [wrong] * 3)
    ]
    assert costs[0] < costs[1] < 0.2 * costs[2]


def test_the_mask_of_highest_expected_iou_is_the_one_that_is_chosen(batch):
    masks = torch.cat([perfect(batch), -perfect(batch), -perfect(batch)], dim=1)
    iou = torch.tensor([[0.1, 0.9, 0.2]]).expand(len(batch.picture), -1)
    _, agreement = losses(pyramid(batch), places(batch), RegionMasks(masks, iou), batch)
    assert agreement.chosen.max() < 0.01
    assert agreement.best.min() > 0.99


def test_soft_iou_of_whole_cells_is_the_iou():
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 16, 16)) < 0.4
    logits = torch.from_numpy(np.where(one, 20.0, -20.0)).float()[None, None]
    expected = (one & other).sum() / (one | other).sum()
    assert soft_iou(logits, torch.from_numpy(other).float()[None, None]).item() == pytest.approx(expected, abs=1e-5)


def test_of_an_object_known_by_its_box_only_its_extent_matters():
    batch = make_batch([sample(rectangles=(), boxes=[(8, 8, 40, 48)], complete=False)], np.random.default_rng(0))
    box = batch.target[:, None]
    diamond = box.clone()
    diamond[..., 2:4, 2:4] = 0  # one corner cut off: the projections stay the same
    sure = torch.zeros(len(batch.picture), MASKS)
    costs = [
        losses(pyramid(batch), places(batch), RegionMasks(12 * (2 * mask - 1).expand(-1, MASKS, -1, -1), sure), batch)[
            0
        ].mask
        for mask in (box, diamond, box.roll(6, dims=3))
    ]
    assert costs[0] == pytest.approx(costs[1].item(), abs=1e-3)
    assert costs[2] > costs[0] + 0.5
