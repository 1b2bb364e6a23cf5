"""A simulated user asks a network for the objects of a batch, corrects some of its answers, and sees what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from geosam.segmenters.lite.encoder import normalised
from geosam.segmenters.lite.prompt_maps import Prompts, Region
from geosam.training.data.batch import STRIDE
from geosam.training.data.clicks import corrective_click
from geosam.training.fit.losses import losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam.segmenters.lite.decoder import Answer, Prepared
    from geosam.segmenters.lite.model import LiteModel
    from geosam.training.data.batch import Batch
    from geosam.training.fit.losses import Agreement, Losses

    #: Crops (n,) and the prompts in them -> the answers.
    Answering = Callable[[Tensor, Prompts], Answer]

#: Share of prompts that get a further click before they teach anything, and of those again, and the most such clicks.
_CORRECTED, _MOST_CLICKS = 0.4, 3
#: Former answers are clipped to this before they are shown again.
_LIMIT = 16.0


class Practice(NamedTuple):
    """How the prompts of a batch were answered."""

    losses: Losses
    """With gradients."""
    agreement: Agreement
    prompts: Prompts
    """The first ones, or what the user had made of them."""


def practise(model: LiteModel, batch: Batch, rng: np.random.Generator) -> Practice:
    """Let geosam_lite answer a batch.

    What is corrected are the answers that a user would get: there, norms use what they have seen so far, and do not
    count what they see.
    """
    pyramid = model.encoder(normalised(batch.rgb, batch.valid))
    known = model.decoder.prepare(pyramid)
    model.decoder.eval()
    prompts = corrected(lambda crops, few: answers(model, _of(known, crops), few)[1], batch, rng)
    model.decoder.train()
    place, answer = answers(model, _of(known, batch.picture), prompts)
    measured, agreement = losses(pyramid, place, answer, batch)
    return Practice(measured, agreement, prompts)


@torch.no_grad()
def corrected(answering: Answering, batch: Batch, rng: np.random.Generator) -> Prompts:
    """The prompts, some of them with what was answered to them and clicks where that was wrong."""
    prompts = first_prompts(batch)
    rows = rng.permutation(np.flatnonzero(~batch.by_box.cpu().numpy()))
    for _ in range(_MOST_CLICKS):
        rows = rows[: int(len(rows) * _CORRECTED)]
        if len(rows) == 0:
            break
        chosen = torch.from_numpy(rows).to(batch.picture.device)
        correct(prompts, rows, answering(batch.picture[chosen], prompts.rows(chosen)), batch, rng)
    return prompts


def first_prompts(batch: Batch) -> Prompts:
    """The prompts of a batch before any answer."""
    prior = torch.zeros_like(batch.target)[:, None]
    return Prompts(batch.points.clone(), batch.labels.clone(), batch.boxes, prior, torch.zeros_like(batch.by_box))


def answers(model: LiteModel, known: tuple[Prepared, ...], prompts: Prompts) -> tuple[Tensor, Answer]:
    """Coarse places (N, 1, S / 16, S / 16) and masks over whole crops, whose features for each prompt are `known`."""
    used = max(1, int((prompts.labels >= 0).sum(dim=1).max()))
    prompts = prompts._replace(points=prompts.points[:, :used], labels=prompts.labels[:, :used])
    state, place = model.decoder.locate(known[2], prompts)
    return place, model.decoder.outline(known, state, prompts, Region(0, 0, state.shape[-2], state.shape[-1]))


def correct(
    prompts: Prompts, rows: NDArray[np.intp], answer: Answer, batch: Batch, rng: np.random.Generator | None
) -> None:
    """Add to some of the prompts, in place, the chosen mask of their answers and a click where it is most wrong."""
    best = answer.iou.argmax(dim=1)
    for number, row in enumerate(rows.tolist()):
        logits = answer.logits[number, best[number]]
        prompts.prior[row, 0] = logits.clamp(-_LIMIT, _LIMIT)
        prompts.has_prior[row] = True
        free = torch.nonzero(prompts.labels[row] == -1)
        click = corrective_click((batch.target[row] > 0.5).cpu().numpy(), (logits > 0).cpu().numpy(), rng)
        if click is not None and len(free):
            prompts.points[row, free[0, 0]] = prompts.points.new_tensor([click.x * STRIDE, click.y * STRIDE])
            prompts.labels[row, free[0, 0]] = click.label


def _of(known: tuple[Prepared, ...], crops: Tensor) -> tuple[Prepared, ...]:
    """What is known of the crops (n,) of n prompts."""
    return tuple(level.of(crops) for level in known)
