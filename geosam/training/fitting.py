"""The loop that fits geosam_lite: a simulated user corrects its answers, losses, steps, and a state to go on from."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geosam.models.lite.encoder import normalised
from geosam.models.lite.prompts import Prompts, Region
from geosam.training.clicks import corrective_click
from geosam.training.lessons import STRIDE
from geosam.training.losses import losses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam.models.lite.decoder import Answer, Prepared
    from geosam.models.lite.model import LiteModel
    from geosam.training.lessons import Batch
    from geosam.training.losses import Agreement, Losses

logger = logging.getLogger(__name__)

#: Name of the state's file.
STATE = "state.pt"
#: Share of prompts that get a further click before they teach anything, and of those again, and the most such clicks.
_CORRECTED, _MOST_CLICKS = 0.4, 3
#: They are counted by this many: a convolution is compiled for each number of prompts, which takes longer than it runs.
_TOGETHER = 8
#: Former answers are clipped to this before they are shown again.
_LIMIT = 16.0
#: How much of the averaged weights is left after a step; short, because a falling learning rate averages too.
_KEPT = 0.99
#: Gradients longer than this are shortened to it.
_LONGEST = 2.0
#: Steps between reports, and between states.
_REPORT, _SAVE = 50, 250


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    """Batches in all."""
    rate: float = 1.5e-3
    """Learning rate after the warm-up."""
    warm_up: int = 200
    """Steps until it is reached."""
    cool_down: int = 3000
    """Last steps, over which it falls to zero."""
    weight_decay: float = 0.03
    """Of weights; biases and norms do not decay (AdamW)."""

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        left = (self.steps - step) / self.cool_down
        return self.rate * min((step + 1) / self.warm_up, 1.0, max(left, 0.0))


class Learner:
    """A network while it learns, in `precision` where it may; its state can be saved and loaded."""

    def __init__(self, model: LiteModel, schedule: Schedule, seed: int, precision: torch.dtype) -> None:
        self.model: LiteModel = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch forgot it
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(_KEPT), use_buffers=True)
        self.schedule = schedule
        self.step = 0
        self._optimizer = torch.optim.AdamW(_groups(model, schedule.weight_decay), lr=schedule.rate)
        self._rng = np.random.default_rng(seed)
        self._precision = precision

    def state(self) -> dict[str, Any]:
        """What :meth:`load` takes."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "averaged": self.average.n_averaged,
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.average.n_averaged.copy_(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def learn(self, batch: Batch) -> tuple[Losses, Agreement, Prompts]:
        """One step."""
        self.model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate_at(self.step)
        with torch.autocast(batch.rgb.device.type, self._precision, enabled=self._precision != torch.float32):
            pyramid = self.model.encoder(normalised(batch.rgb, batch.valid))
            known = self.model.decoder.prepare(pyramid)
            prompts = self._corrected(known, batch)
            place, answer = answers(self.model, tuple(level.of(batch.picture) for level in known), prompts)
        measured, agreement = losses(pyramid, place, answer, batch)
        self._optimizer.zero_grad(set_to_none=True)
        measured.total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), _LONGEST)
        self._optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return measured, agreement, prompts

    @torch.no_grad()
    def _corrected(self, known: tuple[Prepared, ...], batch: Batch) -> Prompts:
        """The prompts, some of them with what was answered to them and clicks where that was wrong."""
        prompts = first_prompts(batch)
        rows = self._rng.permutation(np.flatnonzero(~batch.by_box.cpu().numpy()))
        count = len(batch.picture)
        for _ in range(_MOST_CLICKS):
            count = int(count * _CORRECTED) // _TOGETHER * _TOGETHER
            rows = rows[:count]
            if len(rows) < _TOGETHER:
                break
            chosen = torch.from_numpy(rows).to(batch.picture.device)
            few = tuple(level.of(batch.picture[chosen]) for level in known)
            _, answer = answers(self.model, few, prompts.rows(chosen))
            correct(prompts, rows, answer, batch, self._rng)
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


def fit(learner: Learner, batches: Iterator[Batch], folder: Path, *, until: float = math.inf) -> None:
    """Learn until the schedule's last step, or a time (seconds since the epoch); the state is saved on the way."""
    means: dict[str, list[float]] = defaultdict(list)
    device = next(learner.model.parameters()).device
    begun = time.monotonic()
    while learner.step < learner.schedule.steps and time.time() < until:
        _note(means, *learner.learn(next(batches).to(device)))
        if learner.step % _REPORT == 0:
            line = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sorted(means.items()))
            logger.info("step %d, %.2f s each: %s", learner.step, (time.monotonic() - begun) / _REPORT, line)
            means.clear()
            begun = time.monotonic()
        if learner.step % _SAVE == 0:
            save(learner, folder)
    save(learner, folder)


def save(learner: Learner, folder: Path) -> None:
    """Write the state, whole or not at all."""
    part = folder / f"{STATE}.part"
    torch.save(learner.state(), part)
    part.replace(folder / STATE)


def _note(means: dict[str, list[float]], measured: Losses, agreement: Agreement, prompts: Prompts) -> None:
    for name, value in measured._asdict().items():
        means[f"loss.{name}"].append(float(value.detach()))
    boxed = prompts.boxes.isfinite().all(dim=1)
    kinds = {"box": boxed & ~prompts.has_prior, "click": ~boxed & ~prompts.has_prior, "more": prompts.has_prior}
    for name, rows in kinds.items():
        means[f"iou.{name}"] += agreement.chosen[rows[agreement.rows]].tolist()
        means[f"iou.{name}.best"] += agreement.best[rows[agreement.rows]].tolist()


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights, which decay; biases and norms, which do not."""
    decaying = [one for one in model.parameters() if one.ndim > 1]
    other = [one for one in model.parameters() if one.ndim < 2]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": other, "weight_decay": 0.0}]
