"""Losses of the promptable network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from geosam.segmenters.lite.decoder import Answer
    from geosam.segmenters.lite.encoder import Pyramid
    from geosam.training.data.batch import Batch

#: What the errors of the expected IoU, and of the coarse places, count beside those of masks.
IOU_WEIGHT, PLACE_WEIGHT = 2.0, 0.5
#: Of three masks the best one learns; the share of the loss that all of them get keeps the others alive.
_TO_ALL = 0.15
#: Cells added to the size of an object, so that the smallest do not outweigh all others.
_CELLS = 48.0
#: Cells of stride 4 in one of stride 16, along a side.
_PLACE = 4
#: A coarse cell holds the object if one of its fine ones is covered by more than this.
_TOUCHED = 0.05


class Losses(NamedTuple):
    """Means over a batch."""

    mask: Tensor
    """Cross entropy and Dice of the masks; of their projections where only the box is known."""
    iou: Tensor
    """Squared error of the expected IoU."""
    place: Tensor
    """Cross entropy of the coarse cells that hold the object."""
    dense: Tensor
    """Cross entropy of the dense maps."""

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.mask + IOU_WEIGHT * self.iou + PLACE_WEIGHT * self.place + self.dense


class Agreement(NamedTuple):
    """How good the answers were."""

    chosen: Tensor
    """(N,) IoU of the mask of highest expected IoU."""
    best: Tensor
    """(N,) IoU of the best of the three."""
    rows: Tensor
    """(N,) which prompts those are: the ones whose masks are known."""


def losses(pyramid: Pyramid, place: Tensor, answer: Answer, batch: Batch) -> tuple[Losses, Agreement]:
    """Losses of the answers to a batch's prompts; `place` (N, 1, S / 16, S / 16), see :meth:`Decoder.locate`."""
    mask, iou, agreement = of_answers(answer, batch)
    measured = Losses(mask, iou, placed(place, batch.target[:, None]), _dense(pyramid.dense.float(), batch))
    return measured, agreement


def of_answers(answer: Answer, batch: Batch) -> tuple[Tensor, Tensor, Agreement]:
    """The part of the losses that any network has: of its masks, and of the IoU that it expects of them."""
    target = batch.target[:, None]
    each = torch.where(batch.by_box[:, None], _projected(answer.logits, target), masked(answer.logits, target))
    found = soft_iou(answer.logits.detach(), target)
    known = (~batch.by_box).to(each.dtype)
    error = ((answer.iou.float() - found) ** 2).mean(dim=1)
    rows = torch.nonzero(~batch.by_box)[:, 0]
    chosen = answer.iou.detach()[rows].argmax(dim=1, keepdim=True)
    agreement = Agreement(found[rows].gather(1, chosen)[:, 0], found[rows].amax(dim=1), rows)
    return of_the_best(each).mean(), (error * known).sum() / known.sum().clamp(min=1), agreement


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """(N, K) IoU of masks given by logits (N, K, h, w) with shares (N, 1, h, w), cells counting by their shares."""
    # The slope of an edge that is a cell wide: its shares come out right between cells.
    shares = torch.sigmoid(3 * logits)
    both = torch.minimum(shares, target).sum(dim=(2, 3))
    return both / torch.maximum(shares, target).sum(dim=(2, 3)).clamp(min=1e-3)


def of_the_best(each: Tensor) -> Tensor:
    """(N,) losses of N answers, given those (N, K) of their masks: mostly that of the best one."""
    share = functional.one_hot(each.argmin(dim=1), each.shape[1]).to(each.dtype)
    return (each * (share * (1 - _TO_ALL) + _TO_ALL / each.shape[1])).sum(dim=1)


def placed(place: Tensor, target: Tensor) -> Tensor:
    """Mean cross entropy of coarse places (N, 1, h / 4, w / 4), given shares (N, 1, h, w)."""
    near = functional.max_pool2d(target, _PLACE)
    return functional.binary_cross_entropy_with_logits(place.float(), (near > _TOUCHED).float())


def masked(logits: Tensor, target: Tensor) -> Tensor:
    """(N, K) cross entropy over the object's size, and Dice, of logits (N, K, h, w) given shares (N, 1, h, w)."""
    target = target.expand_as(logits)
    shares = torch.sigmoid(logits)
    wrong = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=(2, 3))
    areas = target.sum(dim=(2, 3))
    size = areas + shares.detach().sum(dim=(2, 3)) + _CELLS
    return 2 * wrong / size + _dice(shares, target, (2, 3))


def _projected(logits: Tensor, target: Tensor) -> Tensor:
    """(N, K) Dice of the projections on both axes (Tian et al., "BoxInst", 2021), and what lies outside of the box."""
    shares, target = torch.sigmoid(logits), target.expand_as(logits)
    outside = (shares * (1 - target)).sum(dim=(2, 3)) / (target.sum(dim=(2, 3)) + _CELLS)
    axes = [_dice(shares.amax(dim=axis), target.amax(dim=axis), (2,)) for axis in (2, 3)]
    return axes[0] + axes[1] + outside


def _dice(shares: Tensor, target: Tensor, dims: tuple[int, ...]) -> Tensor:
    both = (shares * target).sum(dim=dims)
    return 1 - (2 * both + 1) / (shares.sum(dim=dims) + target.sum(dim=dims) + 1)


def _dense(logits: Tensor, batch: Batch) -> Tensor:
    weight = batch.dense_weight[:, None]
    wrong = functional.binary_cross_entropy_with_logits(logits, batch.dense, reduction="none")
    # Edges are few: what is missed of them counts more than what is too much.
    importance = weight * torch.stack([torch.ones_like(batch.dense[:, 0]), 1 + 2 * batch.dense[:, 1]], dim=1)
    return (wrong * importance).sum() / weight.sum().clamp(min=1)
