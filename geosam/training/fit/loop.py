"""The training loop: steps, their learning rate, and the state on disk from which a run continues."""

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
    from geosam.training.fit.simulated_user import SimulationResult

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)
#: Answer the prompts of a batch by a network; every random choice comes from the generator.
UserSimulation: TypeAlias = "Callable[[Network, Batch, np.random.Generator], SimulationResult]"

#: Batches of a step of the shipped network.
PARTS = 2
#: Name of the state's file.
STATE = "state.pt"
#: Decay of the averaged weights in a step. It is short, because the falling learning rate averages too.
_AVERAGE_DECAY = 0.99
#: Greatest norm of the gradients of a step.
_MAX_NORM = 2.0
#: Steps between two reports, and between two states on disk.
_REPORT, _SAVE = 50, 250


@dataclass(frozen=True)
class Schedule:
    """Number of steps and learning rate of a training."""

    # The names of the fields stand in the state on disk: see `Trainer.run`.
    steps: int
    """Number of steps."""
    rate: float = 1.5e-3
    """Learning rate after the warm-up."""
    warm_up: int = 200
    """Steps until the learning rate is reached."""
    cool_down: int = 3000
    """Last steps, over which the learning rate falls to zero; 0: it does not fall."""
    weight_decay: float = 0.03
    """Decay of weights (AdamW); biases and norms do not decay."""

    def rate_at(self, step: int) -> float:
        """Compute the learning rate of a step, counted from 0."""
        left = max(self.steps - step, 0)
        return self.rate * min((step + 1) / self.warm_up, left / self.cool_down if left < self.cool_down else 1.0)


class BatchGradients(NamedTuple):
    """Gradients of one batch."""

    result: SimulationResult
    """Answers to the prompts of the batch, and their losses."""
    gradients: tuple[Tensor | None, ...]
    """Gradient of the total loss for every parameter of the network; None for a parameter that takes no part."""


class Trainer(Generic[Network]):
    """Train a network on `parts` batches in each step, and keep the moving average of its weights.

    The result depends on the seed and the batches, not on where the training was stopped and continued.

    Args:
        model: Network.
        simulate_user: Answers a batch by the network.
        schedule: Number of steps and learning rate.
        seed: Seed of the simulated user.
        precision: Type of what may be computed in less than float32.
        parts: Batches of a step.
        run: Further values that tell this run from others; a state of another run is refused.
    """

    def __init__(
        self,
        model: Network,
        simulate_user: UserSimulation[Network],
        schedule: Schedule,
        *,
        seed: int,
        precision: torch.dtype,
        parts: int = 1,
        run: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.model: Network = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch forgot it
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(_AVERAGE_DECAY), use_buffers=True)
        self.schedule = schedule
        self.step = 0
        # Stands in the state on disk: another name of a value would refuse the states of running trainings.
        self.run = {"network": type(model).__name__, **asdict(schedule), "seed": seed, "parts": parts, **run}
        self._simulate_user = simulate_user
        self._optimizer = torch.optim.AdamW(_parameter_groups(model, schedule.weight_decay), lr=schedule.rate)
        self._seed = seed
        self._precision = precision
        # A thread and a copy of the network for each batch: small operations fill two cores that way, which they do not
        # if each is divided (0.61 s a step instead of 0.80, two cores).
        self._copies = [self.model, *(_weight_sharing_copy(self.model) for _ in range(parts - 1))]
        threads = max(1, torch.get_num_threads() // parts)
        self._pool = ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(threads,))

    def state(self) -> dict[str, Any]:
        """Collect the state that :meth:`load` takes."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "averaged": self.average.n_averaged,
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "run": self.run,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for model in self._copies:
            model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.average.n_averaged.copy_(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def train_step(self, batches: Sequence[Batch]) -> list[BatchGradients]:
        """Make one step along the mean of the gradients of the batches, of which there are as many as parts."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate_at(self.step)
        results = list(self._pool.map(self._gradients_of, range(len(batches)), self._copies, batches))
        columns = zip(self.model.parameters(), *(result.gradients for result in results), strict=True)
        for parameter, *gradients in columns:
            present = [gradient for gradient in gradients if gradient is not None]
            parameter.grad = torch.stack(present).sum(dim=0) / len(batches) if present else None
        nn.utils.clip_grad_norm_(self.model.parameters(), _MAX_NORM)
        self._optimizer.step()
        _average_statistics(self._copies)
        self.average.update_parameters(self.model)
        self.step += 1
        return results

    def _gradients_of(self, part: int, model: Network, batch: Batch) -> BatchGradients:
        """Answer a batch and differentiate the loss."""
        rng = np.random.default_rng([self._seed, self.step, part, 1])
        model.train()
        with torch.autocast(batch.rgb.device.type, self._precision, enabled=self._precision != torch.float32):
            result = self._simulate_user(model, batch, rng)
        gradients = torch.autograd.grad(result.losses.total, list(model.parameters()), allow_unused=True)
        return BatchGradients(result, gradients)


def _weight_sharing_copy(model: Network) -> Network:
    """Copy a network; the copy has the same parameters, but buffers of its own."""
    twin = copy.deepcopy(model)
    for module, other in zip(model.modules(), twin.modules(), strict=True):
        for name, parameter in module.named_parameters(recurse=False):
            setattr(other, name, parameter)
    return twin


@torch.no_grad()
def _average_statistics(copies: Sequence[nn.Module]) -> None:
    """Set the statistics of the norms of all copies to their mean, in place."""
    for buffers in zip(*(model.buffers() for model in copies), strict=True):
        if buffers[0].is_floating_point():
            mean = torch.stack(buffers).mean(dim=0)
            for buffer in buffers:
                buffer.copy_(mean)


def fit(trainer: Trainer[Any], batches: Iterator[Sequence[Batch]], folder: Path, *, until: float = math.inf) -> None:
    """Train until the last step of the schedule or until a time, and save the state from time to time.

    Args:
        trainer: Network in training.
        batches: Batches of each step.
        folder: Folder of the state.
        until: Time in seconds since the epoch.
    """
    means: dict[str, list[float]] = defaultdict(list)
    device = next(trainer.model.parameters()).device
    begun = time.monotonic()
    while trainer.step < trainer.schedule.steps and time.time() < until:
        for part in trainer.train_step([batch.to(device) for batch in next(batches)]):
            _record(means, part.result)
        if trainer.step % _REPORT == 0:
            line = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sorted(means.items()))
            logger.info("step %d, %.2f s each: %s", trainer.step, (time.monotonic() - begun) / _REPORT, line)
            means.clear()
            begun = time.monotonic()
        if trainer.step % _SAVE == 0:
            save(trainer, folder)
    save(trainer, folder)


def save(trainer: Trainer[Any], folder: Path) -> None:
    """Write the state to a folder; the file is complete or not there."""
    # One process writes here, and a state may have gigabytes: under a fixed name, a killed run leaves one part at most.
    part = folder / f"{STATE}.part"
    torch.save(trainer.state(), part)
    part.replace(folder / STATE)


def resume(trainer: Trainer[Any], folder: Path) -> None:
    """Continue from the state in a folder, if there is one.

    Raises:
        UsageError: The state belongs to another run.
        UnreadableCheckpoint: The state is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return
    state = cast("Any", read_pickled(path))
    run = state.get("run") if isinstance(state, dict) else None
    if run != trainer.run:
        saved = run if isinstance(run, dict) else {}
        values = [(name, saved.get(name), expected) for name, expected in trainer.run.items()]
        differing = {name: (value, expected) for name, value, expected in values if value != expected}
        words = "; ".join(
            f"{name}: found {value}, expected {expected}" for name, (value, expected) in differing.items()
        )
        raise UsageError(
            f"the state belongs to another run: {path}: {words}.",
            remedy="Give the options of that run, or name another output folder.",
            code="state-of-another-run",
            path=str(path),
            differing=differing,
        )
    trainer.load(state)
    logger.info("continues at step %d", trainer.step)


def _record(means: dict[str, list[float]], result: SimulationResult) -> None:
    """Add the losses and IoUs of a batch to the values of the next report."""
    for name, value in result.losses._asdict().items():
        means[f"loss.{name}"].append(float(value.detach()))
    prompts, agreement = result.prompts, result.agreement
    boxed = prompts.boxes.isfinite().all(dim=1)
    kinds = {"box": boxed & ~prompts.has_prior, "click": ~boxed & ~prompts.has_prior, "more": prompts.has_prior}
    for name, rows in kinds.items():
        means[f"iou.{name}"] += agreement.chosen[rows[agreement.rows]].tolist()
        means[f"iou.{name}.best"] += agreement.best[rows[agreement.rows]].tolist()


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Divide the parameters into weights, which decay, and biases and norms, which do not."""
    decaying = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    other = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": other, "weight_decay": 0.0}]
