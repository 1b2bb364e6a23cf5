"""Batches without end, cut out of pictures in another process while the network learns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from geosam.training.augment import augment
from geosam.training.crops import random_sample
from geosam.training.lessons import make_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from geosam.training.lessons import Batch
    from geosam.training.samples import LabelledPicture, Sample


@dataclass(frozen=True)
class Crops:
    """How batches are cut."""

    sizes: tuple[int, ...] = (256, 384, 384, 512)
    """Sides of the crops, one for all crops of a batch, each as likely as the others; multiples of 32."""
    batch_px: int = 16 * 256 * 256
    """Pixels of a batch."""
    scales: tuple[float, float] = (0.45, 2.4)
    """Least and largest magnification."""


class Batches(IterableDataset["Batch"]):
    """Random batches from groups of pictures, each group as often as its weight says."""

    def __init__(self, groups: Mapping[str, tuple[float, Sequence[LabelledPicture]]], crops: Crops, seed: int) -> None:
        self._groups = [pictures for _, pictures in groups.values()]
        weights = np.array([weight for weight, _ in groups.values()])
        self._weights = weights / weights.sum()
        self._crops = crops
        self._seed = seed

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever; every worker has its own."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng([self._seed, 0 if worker is None else worker.id])
        while True:
            size = int(rng.choice(self._crops.sizes))
            count = max(1, self._crops.batch_px // size**2)
            batch = make_batch([self._sample(size, rng) for _ in range(count)], rng)
            if batch is not None:
                yield batch

    def _sample(self, size: int, rng: np.random.Generator) -> Sample:
        pictures = self._groups[int(rng.choice(len(self._groups), p=self._weights))]
        picture = pictures[int(rng.integers(len(pictures)))]
        sample = random_sample(picture, size, rng, scale_range=self._crops.scales)
        return replace(sample, rgb=augment(sample.rgb, sample.valid, rng))


def feed(batches: Batches, workers: int = 1) -> Iterator[Batch]:
    """Batches made ahead by other processes."""
    return iter(DataLoader(batches, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None))
