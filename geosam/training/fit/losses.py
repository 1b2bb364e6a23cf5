"""Losses of a promptable network: masks, expected IoU, coarse places and dense maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from geosam.segmenters.lite.decoder import RegionMasks
    from geosam.segmenters.lite.encoder import Pyramid
    from geosam.training.data.batch import Batch

#: Weights of the losses of the expected IoU and of the coarse places; masks and dense maps have weight 1.
IOU_WEIGHT, PLACE_WEIGHT = 2.0, 0.5
#: Share of the mask loss that is the mean of all masks; the rest is the loss of the best mask.
_MEAN_SHARE = 0.15
#: Cells added to the size of an object, so that the smallest objects do not outweigh all others.
_EXTRA_CELLS = 48.0
#: Cells of stride 4 along a side of a cell of stride 16.
_CELLS_PER_PLACE = 4
#: A coarse cell holds the object if the object covers more than this share of one of its fine cells.
_MIN_SHARE = 0.05


class Losses(NamedTuple):
    """Losses of a batch, each a mean over its prompts or cells."""

    mask: Tensor
    """Cross entropy and Dice of the masks; Dice of their projections where only the box is labelled."""
    iou: Tensor
    """Squared error of the expected IoU."""
    place: Tensor
    """Cross entropy of the coarse cells that hold the object."""
    dense: Tensor
    """Cross entropy of the dense maps."""

    @property
    def total(self) -> Tensor:
        """Weighted sum of the losses, which training minimises."""
        return self.mask + IOU_WEIGHT * self.iou + PLACE_WEIGHT * self.place + self.dense


class Agreement(NamedTuple):
    """IoU of the answers to the M prompts whose objects are labelled by masks."""

    chosen: Tensor
    """(M,) IoU of the mask with the highest expected IoU."""
    best: Tensor
    """(M,) IoU of the best of the three masks."""
    rows: Tensor
    """(M,) row of each of these prompts in the batch."""


def losses(pyramid: Pyramid, place: Tensor, answer: RegionMasks, batch: Batch) -> tuple[Losses, Agreement]:
    """Compute the losses of the answers to the prompts of a batch.

    Args:
        pyramid: Features of the crops, with their dense maps.
        place: (N, 1, S / 16, S / 16) logits of coarse places, see :meth:`Decoder.locate`.
        answer: Masks and expected IoU of N prompts.
        batch: Batch with the N prompted objects.
    """
    mask, iou, agreement = answer_losses(answer, batch)
    computed = Losses(mask, iou, place_loss(place, batch.target[:, None]), _dense_loss(pyramid.dense.float(), batch))
    return computed, agreement


def answer_losses(answer: RegionMasks, batch: Batch) -> tuple[Tensor, Tensor, Agreement]:
    """Compute the losses that any promptable network has: of its masks and of their expected IoU."""
    target = batch.target[:, None]
    per_mask = torch.where(batch.by_box[:, None], _box_loss(answer.logits, target), mask_loss(answer.logits, target))
    # The expected IoU follows the masks; the masks must not follow the expected IoU.
    true_iou = soft_iou(answer.logits.detach(), target)
    has_mask = (~batch.by_box).to(per_mask.dtype)
    error = ((answer.iou.float() - true_iou) ** 2).mean(dim=1)
    rows = torch.nonzero(~batch.by_box)[:, 0]
    chosen = answer.iou.detach()[rows].argmax(dim=1, keepdim=True)
    agreement = Agreement(true_iou[rows].gather(1, chosen)[:, 0], true_iou[rows].amax(dim=1), rows)
    return best_mask_loss(per_mask).mean(), (error * has_mask).sum() / has_mask.sum().clamp(min=1), agreement


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the IoU (N, K) of masks, given as logits (N, K, h, w), with targets (N, 1, h, w), by shares of cells."""
    # The slope of an edge that is a cell wide: its shares come out right between cells.
    shares = torch.sigmoid(3 * logits)
    both = torch.minimum(shares, target).sum(dim=(2, 3))
    return both / torch.maximum(shares, target).sum(dim=(2, 3)).clamp(min=1e-3)


def best_mask_loss(per_mask: Tensor) -> Tensor:
    """Combine the losses (N, K) of the masks of N answers to (N,): mostly the loss of the best mask."""
    # The share of the mean keeps masks alive that are never the best.
    share = functional.one_hot(per_mask.argmin(dim=1), per_mask.shape[1]).to(per_mask.dtype)
    return (per_mask * (share * (1 - _MEAN_SHARE) + _MEAN_SHARE / per_mask.shape[1])).sum(dim=1)


def place_loss(place: Tensor, target: Tensor) -> Tensor:
    """Compute the mean cross entropy of coarse places, logits (N, 1, h / 4, w / 4), given targets (N, 1, h, w)."""
    near = functional.max_pool2d(target, _CELLS_PER_PLACE)
    return functional.binary_cross_entropy_with_logits(place.float(), (near > _MIN_SHARE).float())


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compute cross entropy per object size plus Dice (N, K) of logits (N, K, h, w), given targets (N, 1, h, w)."""
    target = target.expand_as(logits)
    shares = torch.sigmoid(logits)
    wrong = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=(2, 3))
    areas = target.sum(dim=(2, 3))
    size = areas + shares.detach().sum(dim=(2, 3)) + _EXTRA_CELLS
    return 2 * wrong / size + _dice_loss(shares, target, (2, 3))


def _box_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compute Dice of the projections on both axes (Tian et al., "BoxInst", 2021) plus the share outside the box."""
    shares, target = torch.sigmoid(logits), target.expand_as(logits)
    outside = (shares * (1 - target)).sum(dim=(2, 3)) / (target.sum(dim=(2, 3)) + _EXTRA_CELLS)
    axes = [_dice_loss(shares.amax(dim=axis), target.amax(dim=axis), (2,)) for axis in (2, 3)]
    return axes[0] + axes[1] + outside


def _dice_loss(shares: Tensor, target: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Compute 1 - Dice over some dimensions."""
    both = (shares * target).sum(dim=dims)
    return 1 - (2 * both + 1) / (shares.sum(dim=dims) + target.sum(dim=dims) + 1)


def _dense_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Compute the weighted mean cross entropy of the dense maps (B, 2, h, w)."""
    weight = batch.dense_weight[:, None]
    wrong = functional.binary_cross_entropy_with_logits(logits, batch.dense, reduction="none")
    # Edges are rare: a missed edge costs three times as much as a false one.
    importance = weight * torch.stack([torch.ones_like(batch.dense[:, 0]), 1 + 2 * batch.dense[:, 1]], dim=1)
    return (wrong * importance).sum() / weight.sum().clamp(min=1)
