"""The loop that fits a network: losses, steps, and a state to go on from.

A step learns from several batches at once, each in a thread of its own with a copy of the network that shares its
weights: small operations fill two cores that way, which they do not by dividing each one (0.61 s instead of 0.80 a
step, two cores).
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from geosam.errors import UsageError
from geosam.segmenters.weights.reading import read_pickled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from geosam.training.data.batch import Batch
    from geosam.training.fit.simulated_user import Practice

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)
#: How a network answers a batch; all that is random in it comes from the generator.
Practise: TypeAlias = "Callable[[Network, Batch, np.random.Generator], Practice]"

#: Batches that the shipped network learnt from at a time.
PARTS = 2
#: Name of the state's file.
STATE = "state.pt"
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
    """Last steps, over which it falls to zero; 0: it does not fall."""
    weight_decay: float = 0.03
    """Of weights; biases and norms do not decay (AdamW)."""

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        left = max(self.steps - step, 0)
        return self.rate * min((step + 1) / self.warm_up, left / self.cool_down if left < self.cool_down else 1.0)


class Lesson(NamedTuple):
    """What was learnt from a batch."""

    practice: Practice
    """How its prompts were answered."""
    gradients: tuple[Tensor | None, ...]
    """Of the total loss, for every parameter of the network; None where it takes no part."""


class Learner(Generic[Network]):
    """A network while it learns from `parts` batches at a time, in `precision` where it may; its state can be saved.

    What it does depends on its seed and its state, not on where it was stopped.

    Args:
        model: The network.
        practise: How it answers a batch.
        schedule: How long and how fast.
        seed: Of those generators.
        precision: Of what may be computed in less than float32.
        parts: Batches of a step.
        run: What else makes the run what it is; a state tells it, and that of another run is refused.
    """

    def __init__(
        self,
        model: Network,
        practise: Practise[Network],
        schedule: Schedule,
        *,
        seed: int,
        precision: torch.dtype,
        parts: int = 1,
        run: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.model: Network = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch forgot it
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(_KEPT), use_buffers=True)
        self.schedule = schedule
        self.step = 0
        self.run = {"network": type(model).__name__, **asdict(schedule), "seed": seed, "parts": parts, **run}
        self._practise = practise
        self._optimizer = torch.optim.AdamW(_groups(model, schedule.weight_decay), lr=schedule.rate)
        self._seed = seed
        self._precision = precision
        self._copies = [self.model, *(_sharing(self.model) for _ in range(parts - 1))]
        threads = max(1, torch.get_num_threads() // parts)
        self._pool = ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(threads,))

    def state(self) -> dict[str, Any]:
        """What :meth:`load` takes."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "averaged": self.average.n_averaged,
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "run": self.run,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for model in self._copies:
            model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.average.n_averaged.copy_(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def learn(self, batches: Sequence[Batch]) -> list[Lesson]:
        """One step, from as many batches as the learner has parts."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate_at(self.step)
        lessons = list(self._pool.map(self._lesson, range(len(batches)), self._copies, batches))
        for parameter, *found in zip(self.model.parameters(), *(one.gradients for one in lessons), strict=True):
            given = [one for one in found if one is not None]
            parameter.grad = torch.stack(given).sum(dim=0) / len(batches) if given else None
        nn.utils.clip_grad_norm_(self.model.parameters(), _LONGEST)
        self._optimizer.step()
        _share_statistics(self._copies)
        self.average.update_parameters(self.model)
        self.step += 1
        return lessons

    def _lesson(self, part: int, model: Network, batch: Batch) -> Lesson:
        """Answer a batch and see what is wrong."""
        rng = np.random.default_rng([self._seed, self.step, part, 1])
        model.train()
        with torch.autocast(batch.rgb.device.type, self._precision, enabled=self._precision != torch.float32):
            practice = self._practise(model, batch, rng)
        gradients = torch.autograd.grad(practice.losses.total, list(model.parameters()), allow_unused=True)
        return Lesson(practice, gradients)


def _sharing(model: Network) -> Network:
    """A copy of a network with the same parameters, but with buffers of its own."""
    twin = copy.deepcopy(model)
    for module, other in zip(model.modules(), twin.modules(), strict=True):
        for name, parameter in module.named_parameters(recurse=False):
            setattr(other, name, parameter)
    return twin


@torch.no_grad()
def _share_statistics(copies: Sequence[nn.Module]) -> None:
    """Give all copies the mean of what their norms have seen."""
    for buffers in zip(*(model.buffers() for model in copies), strict=True):
        if buffers[0].is_floating_point():
            mean = torch.stack(buffers).mean(dim=0)
            for buffer in buffers:
                buffer.copy_(mean)


def fit(learner: Learner[Any], batches: Iterator[Sequence[Batch]], folder: Path, *, until: float = math.inf) -> None:
    """Learn until the schedule's last step, or a time (seconds since the epoch); the state is saved on the way.

    Args:
        learner: Who learns.
        batches: Those of each step.
        folder: Where the state is kept.
        until: Seconds since the epoch.
    """
    means: dict[str, list[float]] = defaultdict(list)
    device = next(learner.model.parameters()).device
    begun = time.monotonic()
    while learner.step < learner.schedule.steps and time.time() < until:
        for lesson in learner.learn([batch.to(device) for batch in next(batches)]):
            _note(means, lesson.practice)
        if learner.step % _REPORT == 0:
            line = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sorted(means.items()))
            logger.info("step %d, %.2f s each: %s", learner.step, (time.monotonic() - begun) / _REPORT, line)
            means.clear()
            begun = time.monotonic()
        if learner.step % _SAVE == 0:
            save(learner, folder)
    save(learner, folder)


def save(learner: Learner[Any], folder: Path) -> None:
    """Write the state, whole or not at all."""
    part = folder / f"{STATE}.part"
    torch.save(learner.state(), part)
    part.replace(folder / STATE)


def resume(learner: Learner[Any], folder: Path) -> None:
    """Go on from the state in a folder, if there is one.

    Raises:
        UsageError: it is of another run.
        UnreadableCheckpoint: it is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return
    state = cast("Any", read_pickled(path))
    run = state.get("run") if isinstance(state, dict) else None
    if run != learner.run:
        begun = run if isinstance(run, dict) else {}
        known = [(name, begun.get(name), wanted) for name, wanted in learner.run.items()]
        differing = "; ".join(
            f"{name} {found} found, {wanted} wanted" for name, found, wanted in known if found != wanted
        )
        raise UsageError(
            f"the state is of another run: {path}: {differing}. Give the options that it was begun with, or name "
            "another output folder."
        )
    learner.load(state)
    logger.info("goes on at step %d", learner.step)


def _note(means: dict[str, list[float]], practice: Practice) -> None:
    for name, value in practice.losses._asdict().items():
        means[f"loss.{name}"].append(float(value.detach()))
    prompts, agreement = practice.prompts, practice.agreement
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
