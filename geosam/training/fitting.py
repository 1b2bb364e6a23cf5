"""The loop that fits the network: simulated users, losses, steps, and a state from which it goes on."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geosam.models.lite.decoder import Answer, Prepared
from geosam.models.lite.encoder import normalised
from geosam.models.lite.model import LiteModel
from geosam.models.lite.prompts import Prompts, Region
from geosam.training.clicks import corrective_click
from geosam.training.losses import losses
from geosam.training.lessons import STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from geosam.training.losses import Agreement, Losses
    from geosam.training.lessons import Batch

logger = logging.getLogger(__name__)

#: Share of prompts that are corrected by further clicks before they teach anything, and the most such clicks.
_CORRECTED, _MOST_CLICKS = 0.4, 3


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
        """The learning rate of a step."""
        left = (self.steps - step) / self.cool_down
        return self.rate * min((step + 1) / self.warm_up, 1.0, max(left, 0.0))


class Fit:
    """A network while it learns; its state can be saved and loaded."""

    def __init__(self, model: LiteModel, schedule: Schedule, seed: int, precision: torch.dtype) -> None:
        self.model = model.to(memory_format=torch.channels_last)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True)
        self.schedule = schedule
        self.step = 0
        self._optimizer = torch.optim.AdamW(_groups(model, schedule.weight_decay), lr=schedule.rate)
        self._rng = np.random.default_rng(seed)
        self._precision = precision

    def state(self) -> dict[str, Any]:
        """What :meth:`load` takes."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def learn(self, batch: Batch) -> tuple[Losses, Agreement, Prompts]:
        """One step."""
        self.model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate_at(self.step)
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, self._precision, enabled=self._precision != torch.float32):
            pyramid = self.model.encoder(normalised(batch.rgb, batch.valid))
            known = self.model.decoder.prepare(pyramid)
            prompts = self._corrected(tuple(k.of(batch.picture) for k in _detached(known)), batch)
            place, answer = answers(self.model, tuple(k.of(batch.picture) for k in known), prompts)
        measured, agreement = losses(pyramid, place, answer, batch)
        self._optimizer.zero_grad(set_to_none=True)
        measured.total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self._optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return measured, agreement, prompts

    def _corrected(self, known: tuple[Prepared, ...], batch: Batch) -> Prompts:
        """The prompts, some of them with what was answered to them and clicks where that was wrong."""
        prompts = first_prompts(batch)
        rows = np.flatnonzero((self._rng.random(len(batch.picture)) < _CORRECTED) & ~batch.by_box.numpy())
        for number in range(_MOST_CLICKS):
            rows = rows if number == 0 else rows[self._rng.random(len(rows)) < 0.5]
            if not len(rows):
                break
            chosen = torch.from_numpy(rows)
            with torch.no_grad():
                few = tuple(k.of(chosen) for k in known)
                _, answer = answers(self.model, few, prompts.rows(chosen))
            corrected(prompts, rows, answer, batch, self._rng)
        return prompts


def first_prompts(batch: Batch) -> Prompts:
    """The prompts of a batch before any answer."""
    prior = torch.zeros_like(batch.target)[:, None]
    has_prior = torch.zeros(len(batch.picture), dtype=torch.bool)
    return Prompts(batch.points.clone(), batch.labels.clone(), batch.boxes, prior, has_prior)


def answers(model: LiteModel, known: tuple[Prepared, ...], prompts: Prompts) -> tuple[Tensor, Answer]:
    """Coarse places and masks over whole crops, for prompts whose crops' features are `known`."""
    state, place = model.decoder.locate(known[2], prompts)
    return place, model.decoder.outline(known, state, prompts, Region(0, 0, *state.shape[-2:]))


def corrected(
    prompts: Prompts, rows: np.ndarray, answer: Answer, batch: Batch, rng: np.random.Generator | None
) -> None:
    """Add to prompts, in place, the chosen answer as prior and a click where it is most wrong."""
    best = answer.iou.argmax(dim=1)
    for number, row in enumerate(rows.tolist()):
        logits = answer.logits[number, best[number]]
        prompts.prior[row, 0] = logits.clamp(-16, 16)
        prompts.has_prior[row] = True
        free = torch.nonzero(prompts.labels[row] == -1)
        click = corrective_click((batch.target[row] > 0.5).numpy(), (logits > 0).numpy(), rng)
        if click is not None and len(free):
            prompts.points[row, free[0, 0]] = torch.tensor([click.x * STRIDE, click.y * STRIDE])
            prompts.labels[row, free[0, 0]] = click.label


def fit(fit: Fit, batches: Iterator[Batch], folder: Path, *, save_every: int = 250, until: float = math.inf) -> None:
    """Learn until the schedule's last step, or until a time (seconds since the epoch); saves its state now and then."""
    means: dict[str, list[float]] = defaultdict(list)
    begun = time.monotonic()
    while fit.step < fit.schedule.steps and time.time() < until:
        measured, agreement, prompts = fit.learn(next(batches))
        _note(means, measured, agreement, prompts)
        if fit.step % 50 == 0:
            line = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sorted(means.items()))
            logger.info("step %d, %.2f s each: %s", fit.step, (time.monotonic() - begun) / 50, line)
            means.clear()
            begun = time.monotonic()
        if fit.step % save_every == 0:
            save(fit, folder)
    save(fit, folder)


def save(fit: Fit, folder: Path) -> None:
    """Write the state whole or not at all."""
    torch.save(fit.state(), folder / "state.part")
    os.replace(folder / "state.part", folder / "state.pt")


def _note(means: dict[str, list[float]], measured: Losses, agreement: Agreement, prompts: Prompts) -> None:
    for name, value in measured._asdict().items():
        means["loss." + name].append(float(value.detach()))
    known = len(agreement.chosen) == len(prompts.has_prior)
    if known:
        boxed = prompts.boxes.isfinite().all(dim=1)
        kinds = {"box": boxed & ~prompts.has_prior, "click": ~boxed & ~prompts.has_prior, "more": prompts.has_prior}
        for name, rows in kinds.items():
            means["iou." + name] += agreement.chosen[rows].tolist()
            means["iou." + name + ".best"] += agreement.best[rows].tolist()


def _detached(known: tuple[Prepared, ...]) -> tuple[Prepared, ...]:
    return tuple(Prepared(*(maps.detach() for maps in level)) for level in known)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights, which decay; biases and norms, which do not."""
    decaying = [p for p in model.parameters() if p.ndim > 1]
    other = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": other, "weight_decay": 0.0}]
