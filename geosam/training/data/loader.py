"""The batches of every step, cut out of pictures in other processes while the network learns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from geosam.training.data.augment import augment
from geosam.training.data.batch import make_batch
from geosam.training.data.crops import random_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from geosam.training.data.batch import Batch
    from geosam.training.samples import LabelledPicture, Sample


@dataclass(frozen=True)
class Crops:
    """How batches are cut."""

    sizes: tuple[int, ...] = (256, 384, 384, 512)
    """Sides of the crops, one for all crops of a batch, each as likely as the others; multiples of 32."""
    first_sizes: tuple[int, ...] = (192, 256, 256)
    """The same for the first steps: of smaller crops, more are seen in the same time."""
    first_steps: int = 0
    """How many those are."""
    batch_px: int = 8 * 256 * 256
    """Pixels of a batch."""
    scales: tuple[float, float] = (0.45, 2.4)
    """Least and largest magnification."""


class Batches(Dataset["list[Batch]"]):
    """For every step, `parts` random batches from groups of pictures, each group as often as its weight says.

    What a step gets depends on its number and the seed alone.
    """

    def __init__(
        self, groups: Mapping[str, tuple[float, Sequence[LabelledPicture]]], crops: Crops, seed: int, parts: int = 1
    ) -> None:
        self._groups = [pictures for _, pictures in groups.values()]
        weights = np.array([weight for weight, _ in groups.values()])
        self._weights = weights / weights.sum()
        self._crops = crops
        self._seed = seed
        self._parts = parts

    def __getitem__(self, step: int) -> list[Batch]:
        """The batches of a step."""
        return [self._batch(step, np.random.default_rng([self._seed, step, part])) for part in range(self._parts)]

    def _batch(self, step: int, rng: np.random.Generator) -> Batch:
        crops = self._crops
        size = int(rng.choice(crops.first_sizes if step < crops.first_steps else crops.sizes))
        count = max(1, crops.batch_px // size**2)
        while (batch := make_batch([self._sample(size, rng) for _ in range(count)], rng)) is None:
            pass  # not one object in all of its crops
        return batch

    def _sample(self, size: int, rng: np.random.Generator) -> Sample:
        pictures = self._groups[int(rng.choice(len(self._groups), p=self._weights))]
        picture = pictures[int(rng.integers(len(pictures)))]
        sample = random_sample(picture, size, rng, scale_range=self._crops.scales)
        return replace(sample, rgb=augment(sample.rgb, sample.valid, rng))


def feed(batches: Batches, steps: range, workers: int = 1) -> Iterator[list[Batch]]:
    """The batches of some steps in their order, made ahead by other processes."""
    ahead = 4 if workers else None
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            prefetch_factor=ahead,
            worker_init_fn=_alone,
        )
    )


def _alone(_number: int) -> None:
    """A process that cuts crops takes one core."""
    torch.set_num_threads(1)
