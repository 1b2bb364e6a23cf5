"""Pictures that take long to make, kept on disk: a training that is continued does not make them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geosam.training.samples import LabelledPicture
from geosam.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def cached_picture(path: Path, make: Callable[[], LabelledPicture]) -> LabelledPicture:
    """Read the picture in the file `path` (.npz); make and write it first if the file does not exist."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft, draft.open("xb") as file:  # numpy would change a name without .npz
            np.savez_compressed(file, **vars(make()))
    with np.load(path) as columns:
        fields: dict[str, Any] = {name: columns[name] for name in columns.files}
    return LabelledPicture(**fields | {name: fields[name].item() for name in ("name", "gsd")})
