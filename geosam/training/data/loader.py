"""Batches of every step, cut out of pictures by other processes while the network is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from geosam.training.data.augmentation import augment
from geosam.training.data.batch import make_batch
from geosam.training.data.crops import random_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from geosam.training.data.batch import Batch
    from geosam.training.samples import LabelledPicture, Sample


@dataclass(frozen=True)
class CropOptions:
    """Size, number and scale of the crops of a batch."""

    sizes: tuple[int, ...] = (256, 384, 384, 512)
    """Sides of the crops in pixels, multiples of 32; one is drawn for all crops of a batch."""
    first_sizes: tuple[int, ...] = (192, 256, 256)
    """Sides in the first steps: more crops are seen in the same time if they are small."""
    first_steps: int = 0
    """Number of steps with `first_sizes`."""
    batch_px: int = 8 * 256 * 256
    """Pixels of a batch."""
    scales: tuple[float, float] = (0.45, 2.4)
    """Least and greatest scale in crop pixels per picture pixel."""


class Batches(Dataset["list[Batch]"]):
    """Random batches, `parts` for every step, from groups of pictures that are drawn by their weights.

    The batches of a step depend on its number and the seed alone.

    Args:
        groups: Weight and pictures of each group, by name.
        crops: Size, number and scale of the crops.
        seed: Seed of every random choice.
        parts: Number of batches of a step.
    """

    def __init__(
        self,
        groups: Mapping[str, tuple[float, Sequence[LabelledPicture]]],
        crops: CropOptions,
        seed: int,
        parts: int = 1,
    ) -> None:
        self._groups = [pictures for _, pictures in groups.values()]
        weights = np.array([weight for weight, _ in groups.values()])
        self._weights = weights / weights.sum()
        self._crops = crops
        self._seed = seed
        self._parts = parts

    def __getitem__(self, step: int) -> list[Batch]:
        """Make the batches of a step."""
        # A generator for each part: a run that is continued gets the batches of one that was never stopped.
        return [self._batch(step, np.random.default_rng([self._seed, step, part])) for part in range(self._parts)]

    def _batch(self, step: int, rng: np.random.Generator) -> Batch:
        crops = self._crops
        size = int(rng.choice(crops.first_sizes if step < crops.first_steps else crops.sizes))
        count = max(1, crops.batch_px // size**2)
        while (batch := make_batch([self._sample(size, rng) for _ in range(count)], rng)) is None:
            pass  # no crop shows an object: cut other crops
        return batch

    def _sample(self, size: int, rng: np.random.Generator) -> Sample:
        pictures = self._groups[int(rng.choice(len(self._groups), p=self._weights))]
        picture = pictures[int(rng.integers(len(pictures)))]
        sample = random_sample(picture, size, rng, scale_range=self._crops.scales)
        return replace(sample, rgb=augment(sample.rgb, sample.valid, rng))


def load_batches(batches: Batches, steps: range, workers: int = 1) -> Iterator[list[Batch]]:
    """Yield the batches of some steps in order; `workers` processes make them ahead, 0 makes them in this process."""
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_limit_threads,
        )
    )


def _limit_threads(_number: int) -> None:
    """Limit a worker process to one thread: the other cores belong to the network."""
    torch.set_num_threads(1)
