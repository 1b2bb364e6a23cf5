"""Rendered scenes as training pictures."""

from __future__ import annotations

from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geosam.training import synthetic
from geosam.training.data.picture_cache import cached_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geosam.training.samples import LabelledPicture


def rendered_pictures(count: int, folder: Path, seed: int) -> Iterator[LabelledPicture]:
    """Yield the pictures 0 to `count` - 1 of a seed; a picture that lies in `folder` already is read, not rendered."""
    for number in range(count):
        path = folder / f"{_renderer_version()}-{seed}-{number:05}.npz"
        yield cached_picture(path, partial(_rendered_picture, seed, number))


@cache
def _renderer_version() -> str:
    """Digest of the renderer's source files: pictures of another version are not used."""
    digest = blake2b(digest_size=4)
    for path in sorted(Path(synthetic.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _rendered_picture(seed: int, number: int) -> LabelledPicture:
    # A generator for each picture: a picture does not depend on the number of pictures before it.
    return synthetic.render(np.random.default_rng([seed, number]))
