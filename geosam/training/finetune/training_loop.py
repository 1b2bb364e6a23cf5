"""The training loop of fine-tuning: epochs, scores of the held-out objects, and early stopping."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from geosam.geometry.tiles import TileGrid
from geosam.training.finetune.scores import Scores, scores
from geosam.training.finetune.split import training_tiles
from geosam.training.finetune.training_step import OBJECTS, accumulate_gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from geosam.geometry.geobox import Window
    from geosam.run.jobs import PromptJob
    from geosam.segmenters.segmenter import Embedding, Prompted
    from geosam.training.data.target_objects import TargetObject
    from geosam.training.finetune.trainable_decoder import TrainableDecoder

    Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)

#: Objects of an optimizer step, and the greatest norm of its gradients.
_BATCH, _MAX_NORM = 8, 1.0
#: Steps of the warm-up; factor of the learning rate when the scores stop rising, and how often it is applied.
_WARM_UP, _DECAY, _MOST_DECAYS = 20, 0.3, 1
#: Epochs without a gain after which the loop returns to the best state, and the least gain in mean IoU.
_PATIENCE, _MIN_GAIN = 3, 1e-3


@dataclass(frozen=True)
class FineTuneOptions:
    """Limits and seed of fine-tuning; the defaults are those of the command line."""

    epochs: int = 40
    """Largest number of passes over the polygons."""
    minutes: float = 20.0
    """Greatest time of the training, without the embeddings; the tile in work is finished."""
    seed: int = 0
    """Seed of the held-out polygons and of the prompts."""
    overwrite: bool = False
    """True to replace an existing output."""


@dataclass(frozen=True, eq=False)
class _TrainingEmbeddings:
    """Embeddings converted for a decoder, with a segmenter in the decoder's present state."""

    decoder: TrainableDecoder
    windows: PromptJob

    @cached_property
    def segmenter(self) -> Prompted:
        return self.decoder.segmenter()

    def __call__(self, window: Window) -> Embedding | None:
        embedding = self.windows(window)
        return None if embedding is None else self.decoder.training_embedding(embedding)


@dataclass(frozen=True, eq=False)
class TrainingLoop:
    """Training of a decoder on some objects of a scene, judged by others."""

    decoder: TrainableDecoder
    """Network in training, changed in place."""
    windows: PromptJob
    """Embeddings of the original network by window."""
    training_objects: Sequence[TargetObject]
    """Objects that the decoder is trained on."""
    held_out_objects: Sequence[TargetObject]
    """Objects that the scores are computed from."""
    options: FineTuneOptions
    """Limits of the training."""
    rng: np.random.Generator
    """Source of every random choice."""
    progress: Progress | None
    """Called with (tiles done, tiles at most)."""

    @cached_property
    def grid(self) -> TileGrid:
        """Tiles of the scene."""
        return TileGrid.over(self.windows.rule.region)

    @cached_property
    def object_tiles(self) -> list[list[int]]:
        """Tiles that show each training object."""
        return training_tiles(self.training_objects, self.grid)

    @cached_property
    def tiles(self) -> list[int]:
        """Tiles that show any training object, in order."""
        return sorted({tile for own in self.object_tiles for tile in own})

    def embed(self) -> None:
        """Embed every tile that shows a training object; the store of the embedder keeps the embeddings."""
        for number, tile in enumerate(self.tiles, start=1):
            self.windows(self.grid.window(tile))
            self._report(number)

    def evaluate(self) -> Scores:
        """Compute the scores of the held-out objects with the decoder in its present state."""
        return scores(_TrainingEmbeddings(self.decoder, self.windows), self.windows.rule, self.held_out_objects)

    def train(self, best: Scores, on_gain: Callable[[Scores, int], None]) -> tuple[Scores, int]:
        """Train until the scores stop rising or a limit is reached; leave the decoder in its best state.

        Args:
            best: Scores of the decoder in its first state.
            on_gain: Called with the scores and the number of the epoch whenever the scores are the best so far.

        Returns:
            The best scores, and the number of epochs.
        """
        until = time.monotonic() + 60 * self.options.minutes
        best_state = self._state()
        rate, idle, decays, epoch = self.decoder.learning_rate, 0, 0, 0
        optimizer = self._optimizer(rate)
        while epoch < self.options.epochs and decays <= _MOST_DECAYS and (epoch == 0 or time.monotonic() < until):
            epoch += 1
            self._epoch(optimizer, epoch, until)
            current = self.evaluate()
            if current.mean > best.mean + _MIN_GAIN:
                best, best_state, idle = current, self._state(), 0
                on_gain(current, epoch)
                logger.info("epoch %d: %s, the best so far and written", epoch, current)
                continue
            logger.info("epoch %d: %s", epoch, current)
            idle += 1
            if idle == _PATIENCE:
                rate, idle, decays = rate * _DECAY, 0, decays + 1
                self._restore(best_state)
                optimizer = self._optimizer(rate)  # a new one: the moments of the old one belong to dropped states
        self._restore(best_state)
        return best, epoch

    def _epoch(self, optimizer: torch.optim.Optimizer, epoch: int, until: float) -> None:
        """Train on every object once, in one of its tiles; stop at a time."""
        groups: dict[int, list[TargetObject]] = {tile: [] for tile in self.rng.permutation(self.tiles).tolist()}
        for row in self.rng.permutation(len(self.training_objects)).tolist():
            groups[int(self.rng.choice(self.object_tiles[row]))].append(self.training_objects[row])
        waiting = 0  # objects whose gradients are not part of a step yet
        for number, (tile, targets) in enumerate(groups.items(), start=1):
            window = self.grid.window(tile)
            embedding = _TrainingEmbeddings(self.decoder, self.windows)(window) if targets else None
            for start in range(0, len(targets) if embedding is not None else 0, OBJECTS):
                group = targets[start : start + OBJECTS]
                assert embedding is not None  # noqa: S101 - the range is empty without an embedding
                accumulate_gradients(self.decoder, embedding, window, group, self.rng)
                waiting += len(group)
                if waiting >= _BATCH:
                    self._step(optimizer, waiting)
                    waiting = 0
            self._report(epoch * len(self.tiles) + number)
            if time.monotonic() > until:
                break
        if waiting:
            self._step(optimizer, max(waiting, _BATCH))  # the few objects left over count as such: the step is shorter

    def _step(self, optimizer: torch.optim.Optimizer, objects: int) -> None:
        """Make one step along the mean of the gradients of some objects."""
        parameters = list(self.decoder.parameters.values())
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad /= objects
        torch.nn.utils.clip_grad_norm_(parameters, _MAX_NORM)
        for group in optimizer.param_groups:
            group["lr"] = group["full_rate"] * min(1.0, (group["steps"] + 1) / _WARM_UP)
            group["steps"] += 1
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _optimizer(self, rate: float) -> torch.optim.Optimizer:
        """Make an optimizer that begins with a warm-up."""
        group = {"params": list(self.decoder.parameters.values()), "full_rate": rate, "steps": 0}
        return torch.optim.AdamW([group], lr=rate, weight_decay=1e-4)

    def _state(self) -> dict[str, torch.Tensor]:
        """Copy the trained parameters."""
        return {name: value.detach().clone() for name, value in self.decoder.parameters.items()}

    @torch.no_grad()
    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        """Set the trained parameters to a copy."""
        for name, value in state.items():
            self.decoder.parameters[name].copy_(value)

    def _report(self, done: int) -> None:
        """Report the tiles done: embedded once, then trained on in every epoch."""
        if self.progress is not None:
            self.progress(done, (1 + self.options.epochs) * len(self.tiles))
