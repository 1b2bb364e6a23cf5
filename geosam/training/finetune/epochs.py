"""The course of learning: epochs of lessons, how far they have brought the pupil, and when to stop."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from geosam.geometry.tiles import TileGrid
from geosam.training.finetune.scores import Figures, figures
from geosam.training.finetune.split import tiles_of
from geosam.training.finetune.training_step import OBJECTS, teach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from geosam.geometry.geobox import Window
    from geosam.run.jobs import PromptJob
    from geosam.segmenters.segmenter import Embedding, Prompted
    from geosam.training.data.targets import Target
    from geosam.training.finetune.trainable import Pupil

    Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)

#: Objects whose gradients make one step, and the norm that these are cut to.
_BATCH, _NORM = 8, 1.0
#: Steps until the learning rate is reached; how much it falls when nothing is gained, and how often it may.
_WARM_UP, _SLOWER, _FALLS = 20, 0.3, 1
#: Epochs without a gain after which learning goes back to the best state; what counts as a gain of mean IoU.
_PATIENCE, _GAIN = 3, 1e-3


@dataclass(frozen=True)
class Options:
    """How to fine-tune; the defaults are those of the command line."""

    epochs: int = 40
    """Passes over the polygons at most."""
    minutes: float = 20.0
    """Time for learning at most, beside that for the embeddings; the tile that is looked at is finished."""
    seed: int = 0
    """Of what is drawn: which polygons are held out, and prompts."""
    overwrite: bool = False
    """Replace the output if it exists."""


@dataclass(frozen=True, eq=False)
class _Received:
    """Embeddings as a pupil takes them, with the segmenter that it is now."""

    pupil: Pupil
    windows: PromptJob

    @cached_property
    def segmenter(self) -> Prompted:
        return self.pupil.segmenter()

    def __call__(self, window: Window) -> Embedding | None:
        found = self.windows(window)
        return None if found is None else self.pupil.received(found)


@dataclass(frozen=True, eq=False)
class Course:
    """Everything that learning takes."""

    pupil: Pupil
    windows: PromptJob
    taught: Sequence[Target]
    asked: Sequence[Target]
    options: Options
    rng: np.random.Generator
    progress: Progress | None

    @cached_property
    def grid(self) -> TileGrid:
        """The tiles of the scene."""
        return TileGrid.over(self.windows.rule.region)

    @cached_property
    def tiles(self) -> list[list[int]]:
        """The tiles in which each target can be taught."""
        return tiles_of(self.taught, self.grid)

    @cached_property
    def used(self) -> list[int]:
        """All of these tiles."""
        return sorted({tile for own in self.tiles for tile in own})

    def embed(self) -> None:
        """Embed every tile that is used, and keep it."""
        for number, tile in enumerate(self.used, start=1):
            self.windows(self.grid.window(tile))
            self._tell(number)

    def figures(self) -> Figures:
        """How the pupil answers for the held-out polygons."""
        return figures(_Received(self.pupil, self.windows), self.windows.rule, self.asked)

    def learn(self, best: Figures, found: Callable[[Figures, int], None]) -> tuple[Figures, int]:
        """Learn until nothing is gained any more or a limit is met, and call `found` with what is best so far.

        Args:
            best: figures of the pupil as it is.
            found: told the figures and the number of the epoch whenever they are better than all before.

        Returns:
            The best figures, and epochs in all; the pupil is left in the state of the best.
        """
        until = time.monotonic() + 60 * self.options.minutes
        kept = self._state()
        rate, idle, falls, epoch = self.pupil.rate, 0, 0, 0
        optimizer = self._optimizer(rate)
        while epoch < self.options.epochs and falls <= _FALLS and (epoch == 0 or time.monotonic() < until):
            epoch += 1
            self._epoch(optimizer, epoch, until)
            now = self.figures()
            gained = now.mean > best.mean + _GAIN
            if gained:
                best, kept, idle = now, self._state(), 0
                found(now, epoch)
                logger.info("epoch %d: %s, the best so far and written", epoch, now)
                continue
            logger.info("epoch %d: %s", epoch, now)
            idle += 1
            if idle == _PATIENCE:
                rate, idle, falls = rate * _SLOWER, 0, falls + 1
                self._restore(kept)
                optimizer = self._optimizer(rate)
        self._restore(kept)
        return best, epoch

    def _epoch(self, optimizer: torch.optim.Optimizer, epoch: int, until: float) -> None:
        """Teach every target once, in one of its tiles; stop at a time."""
        lessons: dict[int, list[Target]] = {tile: [] for tile in self.rng.permutation(self.used).tolist()}
        for row in self.rng.permutation(len(self.taught)).tolist():
            lessons[int(self.rng.choice(self.tiles[row]))].append(self.taught[row])
        waiting = 0
        for number, (tile, own) in enumerate(lessons.items(), start=1):
            embedding = _Received(self.pupil, self.windows)(self.grid.window(tile)) if own else None
            for start in range(0, len(own) if embedding is not None else 0, OBJECTS):
                some = own[start : start + OBJECTS]
                assert embedding is not None  # noqa: S101 - the range is empty without
                teach(self.pupil, embedding, self.grid.window(tile), some, self.rng)
                waiting += len(some)
                if waiting >= _BATCH:
                    self._step(optimizer, waiting)
                    waiting = 0
            self._tell(epoch * len(self.used) + number)
            if time.monotonic() > until:
                break
        if waiting:
            self._step(optimizer, max(waiting, _BATCH))

    def _step(self, optimizer: torch.optim.Optimizer, objects: int) -> None:
        """One step along the mean of the gradients of some objects."""
        learning = list(self.pupil.learning.values())
        for parameter in learning:
            if parameter.grad is not None:
                parameter.grad /= objects
        torch.nn.utils.clip_grad_norm_(learning, _NORM)
        for group in optimizer.param_groups:
            group["lr"] = group["full_rate"] * min(1.0, (group["steps"] + 1) / _WARM_UP)
            group["steps"] += 1
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _optimizer(self, rate: float) -> torch.optim.Optimizer:
        group = {"params": list(self.pupil.learning.values()), "full_rate": rate, "steps": 0}
        return torch.optim.AdamW([group], lr=rate, weight_decay=1e-4)

    def _state(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.pupil.learning.items()}

    @torch.no_grad()
    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        for name, value in state.items():
            self.pupil.learning[name].copy_(value)

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, (1 + self.options.epochs) * len(self.used))
