"""A lesson: a simulated user asks for a few objects of a tile and corrects the answers, and the network learns.

The user begins with a click or a box, and clicks where the answer is most wrong, as in training from scratch
(:mod:`geosam.training.data.batch`). Every answer counts, and its logits go into the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.training.data import clicks
from geosam.training.finetune.trainable import STRIDE
from geosam.training.fit.losses import IOU_WEIGHT, PLACE_WEIGHT, masked, of_the_best, placed, soft_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam.geometry.geobox import Window
    from geosam.segmenters.segmenter import Embedding
    from geosam.training.data.targets import Target
    from geosam.training.finetune.trainable import Attempt, Pupil

#: Objects of a lesson: they are asked for together, so what the answers need for their gradients is in memory at once.
OBJECTS = 4
#: Share of first prompts that are boxes, and the largest noise of these in parts of their size.
_BOX, _JITTER = 0.4, 0.12
#: Share of answers that are corrected, and the most corrections.
_CORRECTED, _MOST_CORRECTIONS = 0.5, 2
#: Logits of cells that an answer does not show; and, negated, the largest that are handed on.
_NOTHING = -16.0


@dataclass(eq=False)
class _Wanted:
    """An object, and what the user has said about it so far."""

    shares: NDArray[np.float32]
    """(H / 4, W / 4) share of each cell of the tile that it covers."""
    bounds_xyxy: tuple[float, float, float, float]
    """In pixels of the tile."""
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: NDArray[np.float64] = field(default_factory=lambda: np.full(4, np.nan))
    logits: NDArray[np.float32] | None = None
    """(H / 4, W / 4) of the last answer."""

    @property
    def is_ambiguous(self) -> bool:
        """Whether several masks are sensible answers, by the rule of :func:`geosam.objects.growth.refine`."""
        return self.logits is None and bool(np.isnan(self.box).any()) and len(self.points) == 1


def teach(
    pupil: Pupil, embedding: Embedding, tile: Window, targets: Sequence[Target], rng: np.random.Generator
) -> float:
    """Add the gradients of the answers to some targets of a tile, in all one for each target; returns their loss."""
    wanted = [_asked_for(target, tile, embedding.input_hw, rng) for target in targets]
    total = 0.0
    for number in range(_MOST_CORRECTIONS + 1):
        for multimask in (True, False):
            group = [one for one in wanted if one.is_ambiguous == multimask]
            if not group:
                continue
            bounds = np.array([one.bounds_xyxy for one in group])
            attempts = pupil.attempts(embedding, _prompts(group), bounds, multimask=multimask)
            if not attempts:
                continue
            loss = torch.stack([_loss(attempt, group[attempt.prompt].shares) for attempt in attempts]).sum()
            loss.backward()
            total += float(loss.detach())
            for attempt in attempts:
                _answer(group[attempt.prompt], attempt)
        drawn = rng.random(len(wanted)) < _CORRECTED
        wanted = [one for one, again in zip(wanted, drawn, strict=True) if again and _correct(one, rng)]
        if number == _MOST_CORRECTIONS or not wanted:
            break
    return total


def _asked_for(target: Target, tile: Window, input_hw: tuple[int, int], rng: np.random.Generator) -> _Wanted:
    """A target with its first prompt, in pixels of the padded tile."""
    part = target.window.intersection(tile)
    assert part is not None  # noqa: S101 - a target's tiles show it
    seen = part.relative_to(tile)
    mask = np.zeros([-(-side // STRIDE) * STRIDE for side in input_hw], bool)
    mask[seen.slices_rc] = target.mask[part.relative_to(target.window).slices_rc]
    cells = mask.reshape(mask.shape[0] // STRIDE, STRIDE, mask.shape[1] // STRIDE, STRIDE)
    shares = cells.mean(axis=(1, 3), dtype=np.float32)
    one = _Wanted(shares, (seen.col_off, seen.row_off, seen.col_end, seen.row_end))
    if rng.random() < _BOX:
        one.box = clicks.jittered_box(mask, rng, rng.random() * _JITTER)
    else:
        one.points.append(clicks.random_click(mask, rng))
        one.labels.append(1)
    return one


def _prompts(group: Sequence[_Wanted]) -> PixelPrompts:
    logits = tuple(one.logits for one in group)
    return PixelPrompts(
        tuple(np.array(one.points, np.float64).reshape(-1, 2) for one in group),
        tuple(np.array(one.labels, np.int8) for one in group),
        np.stack([one.box for one in group]),
        (None,) * len(group),
        logits if any(former is not None for former in logits) else (),
    )


def _answer(one: _Wanted, attempt: Attempt) -> None:
    """Take the mask of highest expected IoU for the answer."""
    best = attempt.logits.detach()[int(attempt.iou.argmax())]
    one.logits = np.full(one.shares.shape, _NOTHING, np.float32)
    one.logits[attempt.cells] = best.float().clamp(_NOTHING, -_NOTHING).cpu().numpy()


def _correct(one: _Wanted, rng: np.random.Generator) -> bool:
    """Click where the answer is most wrong; False where nothing is."""
    if one.logits is None:
        return False
    click = clicks.corrective_click(one.shares > 0.5, one.logits > 0, rng)
    if click is None:
        return False
    one.points.append((click.x * STRIDE, click.y * STRIDE))
    one.labels.append(click.label)
    return True


def _loss(attempt: Attempt, shares: NDArray[np.float32]) -> Tensor:
    """Of the masks that were offered, their expected IoU and their coarse places."""
    logits = attempt.logits.float()[None]
    target = torch.from_numpy(shares[attempt.cells]).to(logits.device)[None, None]
    found = soft_iou(logits.detach(), target)[0]
    loss = of_the_best(masked(logits, target))[0] + IOU_WEIGHT * ((attempt.iou.float() - found) ** 2).mean()
    return loss if attempt.place is None else loss + PLACE_WEIGHT * placed(attempt.place[None, None], target)
