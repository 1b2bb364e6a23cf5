"""Rendered scenes as pictures to learn from."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from geosam.training.pool import kept
from geosam.training.synthetic import render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geosam.training.samples import LabelledPicture


def rendered_pictures(count: int, folder: Path, seed: int) -> Iterator[LabelledPicture]:
    """Pictures 0 to `count` of a seed, from `folder` where they lie there already."""
    for number in range(count):
        yield kept(folder / f"{seed}-{number:05}.npz", partial(_picture, seed, number))


def _picture(seed: int, number: int) -> LabelledPicture:
    return render(np.random.default_rng([seed, number]))
