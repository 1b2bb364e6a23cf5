"""The training step of fine-tuning: a simulated user prompts for a few objects of a tile and corrects the answers.

The user begins with a click or a box, and clicks where the answer is most wrong, as in training from scratch
(:mod:`geosam.training.data.batch`). Every answer counts, and its logits are part of the next prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.training.data import clicks
from geosam.training.data.batch import STRIDE, cell_shares
from geosam.training.fit.losses import IOU_WEIGHT, PLACE_WEIGHT, best_mask_loss, mask_loss, place_loss, soft_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam._arrays import Floats
    from geosam.geometry.geobox import Window
    from geosam.segmenters.segmenter import Embedding
    from geosam.training.data.target_objects import TargetObject
    from geosam.training.finetune.trainable_decoder import MaskCandidates, TrainableDecoder

#: Objects that are decoded together: the intermediate results of all of them are in memory at once.
OBJECTS = 4
#: Share of first prompts that are boxes, and the greatest noise of a box as a share of its size.
_BOX, _JITTER = 0.4, 0.12
#: Probability that an answer is corrected, and the largest number of corrections.
_CORRECTED, _MOST_CORRECTIONS = 0.5, 2
#: Logit of the cells that an answer does not show; logits in prompts lie between this and its negative.
_MIN_LOGIT = -16.0


@dataclass(eq=False)
class _PromptedObject:
    """An object and its prompt so far, in pixels of the tile."""

    shares: NDArray[np.float32]
    """(H / 4, W / 4) share of each cell of the tile that the object covers."""
    bounds_xyxy: tuple[float, float, float, float]
    """Box of the object."""
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: Floats = field(default_factory=lambda: np.full(4, np.nan))
    logits: NDArray[np.float32] | None = None
    """(H / 4, W / 4) logits of the last answer."""

    @property
    def is_ambiguous(self) -> bool:
        """True if several masks are sensible answers, by the rule of :func:`geosam.objects.steps.refine`."""
        return self.logits is None and bool(np.isnan(self.box).any()) and len(self.points) == 1


def accumulate_gradients(
    decoder: TrainableDecoder,
    embedding: Embedding,
    tile: Window,
    targets: Sequence[TargetObject],
    rng: np.random.Generator,
) -> float:
    """Prompt for some targets of a tile, and add the gradients of all answers to the parameters.

    Args:
        decoder: Network in training.
        embedding: Embedding of the tile.
        tile: Window of the tile in the scene.
        targets: Objects of which at least a part lies in the tile.
        rng: Source of every random choice.

    Returns:
        The sum of the losses.
    """
    objects = [_first_prompt(target, tile, embedding.input_hw, rng) for target in targets]
    total = 0.0
    for corrections in range(_MOST_CORRECTIONS + 1):
        # A lone click is answered twice: by several masks, and then by one mask with the logits of the best of them.
        for multimask in (True, False):
            group = [prompted for prompted in objects if prompted.is_ambiguous == multimask]
            if group:
                total += _answer(decoder, embedding, group, multimask=multimask)
        drawn = rng.random(len(objects)) < _CORRECTED
        objects = [obj for obj, is_drawn in zip(objects, drawn, strict=True) if is_drawn and _add_click(obj, rng)]
        if corrections == _MOST_CORRECTIONS or not objects:
            break
    return total


def _answer(
    decoder: TrainableDecoder, embedding: Embedding, group: Sequence[_PromptedObject], *, multimask: bool
) -> float:
    """Decode the prompts of some objects, differentiate the losses, and keep the logits; returns the sum of losses."""
    bounds = np.array([prompted.bounds_xyxy for prompted in group])
    answers = decoder.candidates(embedding, _pixel_prompts(group), bounds, multimask=multimask)
    if not answers:
        return 0.0
    loss = torch.stack([_loss(masks, group[masks.prompt].shares) for masks in answers]).sum()
    loss.backward()
    for masks in answers:
        _keep_logits(group[masks.prompt], masks)
    return float(loss.detach())


def _first_prompt(
    target: TargetObject, tile: Window, input_hw: tuple[int, int], rng: np.random.Generator
) -> _PromptedObject:
    """Prompt for a target by a click or a box, in pixels of the padded tile."""
    part = target.window.intersection(tile)
    assert part is not None  # noqa: S101 - a target's tiles show it
    inside = part.relative_to(tile)
    mask = np.zeros([-(-side // STRIDE) * STRIDE for side in input_hw], bool)
    mask[inside.slices_rc] = target.mask[part.relative_to(target.window).slices_rc]
    prompted = _PromptedObject(cell_shares(mask), (inside.col_off, inside.row_off, inside.col_end, inside.row_end))
    if rng.random() < _BOX:
        prompted.box = clicks.jittered_box(mask, rng, rng.random() * _JITTER)
    else:
        prompted.points.append(clicks.random_click(mask, rng))
        prompted.labels.append(1)
    return prompted


def _pixel_prompts(group: Sequence[_PromptedObject]) -> PixelPrompts:
    """Collect the prompts of some objects."""
    logits = tuple(prompted.logits for prompted in group)
    return PixelPrompts(
        tuple(np.array(prompted.points, np.float64).reshape(-1, 2) for prompted in group),
        tuple(np.array(prompted.labels, np.int8) for prompted in group),
        np.stack([prompted.box for prompted in group]),
        (None,) * len(group),
        logits if any(former is not None for former in logits) else (),
    )


def _keep_logits(prompted: _PromptedObject, masks: MaskCandidates) -> None:
    """Keep the logits of the mask with the highest expected IoU for the next prompt."""
    best = masks.logits.detach()[int(masks.iou.argmax())]
    prompted.logits = np.full(prompted.shares.shape, _MIN_LOGIT, np.float32)
    prompted.logits[masks.cells] = best.float().clamp(_MIN_LOGIT, -_MIN_LOGIT).cpu().numpy()


def _add_click(prompted: _PromptedObject, rng: np.random.Generator) -> bool:
    """Add a click where the answer is most wrong; returns False if there is no answer or nothing is wrong."""
    if prompted.logits is None:
        return False
    click = clicks.corrective_click(prompted.shares > 0.5, prompted.logits > 0, rng)
    if click is None:
        return False
    prompted.points.append((click.x * STRIDE, click.y * STRIDE))
    prompted.labels.append(click.label)
    return True


def _loss(masks: MaskCandidates, shares: NDArray[np.float32]) -> Tensor:
    """Compute the loss of an answer: of its masks, their expected IoU, and its coarse places."""
    logits = masks.logits.float()[None]
    target = torch.from_numpy(shares[masks.cells]).to(logits.device)[None, None]
    true_iou = soft_iou(logits.detach(), target)[0]
    loss = best_mask_loss(mask_loss(logits, target))[0] + IOU_WEIGHT * ((masks.iou.float() - true_iou) ** 2).mean()
    return loss if masks.place is None else loss + PLACE_WEIGHT * place_loss(masks.place[None, None], target)
