"""A pool of rendered pictures, kept on disk so that a training that goes on need not render them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geosam.training.samples import LabelledPicture
from geosam.training.synthetic import render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def rendered_pictures(count: int, folder: Path, seed: int) -> Iterator[LabelledPicture]:
    """Pictures 0 to `count` of a seed, from `folder` where they lie there already."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{seed}-{number:05}.npz"
        if not path.exists():
            _write(render(np.random.default_rng([seed, number])), path)
        with np.load(path) as columns:
            fields: dict[str, Any] = {name: columns[name] for name in columns.files}
        fields |= {name: fields[name].item() for name in ("name", "gsd")}
        yield LabelledPicture(**fields)


def _write(picture: LabelledPicture, path: Path) -> None:
    temporary = path.with_suffix(".part.npz")
    np.savez_compressed(temporary, **vars(picture))
    temporary.replace(path)
