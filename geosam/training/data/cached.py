"""Pictures that took long to make, kept on disk so that a training that goes on need not make them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geosam.training.samples import LabelledPicture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def kept(path: Path, make: Callable[[], LabelledPicture]) -> LabelledPicture:
    """The picture in the file `path` (.npz), which is made and written first where it does not lie there already."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part.npz")
        np.savez_compressed(temporary, **vars(make()))
        temporary.replace(path)
    with np.load(path) as columns:
        fields: dict[str, Any] = {name: columns[name] for name in columns.files}
    return LabelledPicture(**fields | {name: fields[name].item() for name in ("name", "gsd")})
