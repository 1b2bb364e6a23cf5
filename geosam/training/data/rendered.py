"""Rendered scenes as pictures to learn from."""

from __future__ import annotations

from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geosam.training import synthetic
from geosam.training.data.cached import kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geosam.training.samples import LabelledPicture


def rendered_pictures(count: int, folder: Path, seed: int) -> Iterator[LabelledPicture]:
    """Pictures 0 to `count` of a seed, from `folder` where this renderer has put them there already."""
    for number in range(count):
        yield kept(folder / f"{_renderer()}-{seed}-{number:05}.npz", partial(_picture, seed, number))


@cache
def _renderer() -> str:
    """What tells the pictures of this renderer from those of another version of it."""
    digest = blake2b(digest_size=4)
    for path in sorted(Path(synthetic.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _picture(seed: int, number: int) -> LabelledPicture:
    return synthetic.render(np.random.default_rng([seed, number]))
