"""A simulated user: prompt a network for the objects of a batch, and correct some of its answers by further clicks."""

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

    from geosam.segmenters.lite.decoder import LevelFeatures, RegionMasks
    from geosam.segmenters.lite.model import LiteModel
    from geosam.training.data.batch import Batch
    from geosam.training.fit.losses import Agreement, Losses

    #: Crops (n,) and the prompts in them -> answers.
    Decode = Callable[[Tensor, Prompts], RegionMasks]

#: Probability of each further corrective click, and the largest number of such clicks.
_CORRECTED, _MOST_CLICKS = 0.4, 3
#: Logits of an answer are limited to this size before the network gets them back.
_MAX_LOGIT = 16.0


class SimulationResult(NamedTuple):
    """Answers to the prompts of a batch, compared with the labels."""

    losses: Losses
    """Losses with gradients."""
    agreement: Agreement
    """IoU of the answers."""
    prompts: Prompts
    """Prompts of the answers, corrections included."""


def simulate_user(model: LiteModel, batch: Batch, rng: np.random.Generator) -> SimulationResult:
    """Prompt geosam_lite for the objects of a batch, correct some of the prompts, and compute the losses."""
    pyramid = model.encoder(normalised(batch.rgb, batch.valid))
    features = model.decoder.prepare(pyramid)
    # A user corrects answers of the network in use: there, norms use their statistics and do not update them.
    model.decoder.eval()
    prompts = corrected_prompts(
        lambda crops, prompts: decode_prompts(model, _features_of(features, crops), prompts)[1], batch, rng
    )
    model.decoder.train()
    place, answer = decode_prompts(model, _features_of(features, batch.picture), prompts)
    computed, agreement = losses(pyramid, place, answer, batch)
    return SimulationResult(computed, agreement, prompts)


@torch.no_grad()
def corrected_prompts(decode: Decode, batch: Batch, rng: np.random.Generator) -> Prompts:
    """Answer some of the first prompts of a batch and correct them: add the answer and a click where it is wrong."""
    prompts = first_prompts(batch)
    rows = rng.permutation(np.flatnonzero(~batch.by_box.cpu().numpy()))
    for _ in range(_MOST_CLICKS):
        rows = rows[: int(len(rows) * _CORRECTED)]
        if len(rows) == 0:
            break
        chosen = torch.from_numpy(rows).to(batch.picture.device)
        add_corrections(prompts, rows, decode(batch.picture[chosen], prompts.rows(chosen)), batch, rng)
    return prompts


def first_prompts(batch: Batch) -> Prompts:
    """Make the prompts of a batch before any answer."""
    prior = torch.zeros_like(batch.target)[:, None]
    return Prompts(batch.points.clone(), batch.labels.clone(), batch.boxes, prior, torch.zeros_like(batch.by_box))


def decode_prompts(
    model: LiteModel, features: tuple[LevelFeatures, ...], prompts: Prompts
) -> tuple[Tensor, RegionMasks]:
    """Decode N prompts over whole crops.

    Args:
        model: Network that decodes.
        features: Decoder's features of the crop of each prompt, by level.
        prompts: N prompts.

    Returns:
        Logits of coarse places (N, 1, S / 16, S / 16), and the answer.
    """
    # Columns of points that no prompt uses cost time.
    used = max(1, int((prompts.labels >= 0).sum(dim=1).max()))
    prompts = prompts._replace(points=prompts.points[:, :used], labels=prompts.labels[:, :used])
    state, place = model.decoder.locate(features[2], prompts)
    return place, model.decoder.outline(features, state, prompts, Region(0, 0, state.shape[-2], state.shape[-1]))


def add_corrections(
    prompts: Prompts, rows: NDArray[np.intp], answer: RegionMasks, batch: Batch, rng: np.random.Generator | None
) -> None:
    """Add to some prompts, in place, the chosen mask of their answers and a click where the mask is most wrong.

    Args:
        prompts: Prompts of the whole batch.
        rows: (n,) rows of the corrected prompts.
        answer: Answers to these n prompts.
        batch: Batch with the true masks.
        rng: Draws the place of the clicks; None takes the innermost.
    """
    best = answer.iou.argmax(dim=1)
    for number, row in enumerate(rows.tolist()):
        logits = answer.logits[number, best[number]]
        prompts.prior[row, 0] = logits.clamp(-_MAX_LOGIT, _MAX_LOGIT)
        prompts.has_prior[row] = True
        free = torch.nonzero(prompts.labels[row] == -1)
        click = corrective_click((batch.target[row] > 0.5).cpu().numpy(), (logits > 0).cpu().numpy(), rng)
        if click is not None and len(free):
            prompts.points[row, free[0, 0]] = prompts.points.new_tensor([click.x * STRIDE, click.y * STRIDE])
            prompts.labels[row, free[0, 0]] = click.label


def _features_of(features: tuple[LevelFeatures, ...], crops: Tensor) -> tuple[LevelFeatures, ...]:
    """Select the features of the crops (n,) of n prompts."""
    return tuple(level.of(crops) for level in features)
