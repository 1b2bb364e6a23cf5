"""SceneObject: a finished object in corner form, and its bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geosam.geometry import corners as corner_form
from geosam.geometry.corners import NO_CORNERS
from geosam.packing import pack, unpack

if TYPE_CHECKING:
    from geosam.geometry.corners import Corners


def pack_objects(objects: Sequence[SceneObject]) -> bytes:
    """Pack objects into bytes; the inverse of :func:`unpack_objects`."""
    outlines = np.concatenate([item.corners for item in objects]) if objects else NO_CORNERS
    counts = np.array([len(item.corners) for item in objects], np.int64)
    # Columns, not one record for each object: a tile has hundreds of them.
    columns = {name: np.array([getattr(item, name) for item in objects]) for name in _COLUMNS}
    return pack({"corners": outlines, "counts": counts, **columns})


def unpack_objects(data: bytes) -> list[SceneObject]:
    """Unpack the bytes of :func:`pack_objects`; no bytes are no objects."""
    if not data:
        return []
    stored = unpack(data)
    ends = np.cumsum(stored["counts"])
    rows = zip(*(stored[name].tolist() for name in _COLUMNS), strict=True)
    outlines = np.split(stored["corners"], ends[:-1]) if len(ends) else []
    return [
        SceneObject(outline, **dict(zip(_COLUMNS, row, strict=True)))
        for outline, row in zip(outlines, rows, strict=True)
    ]


#: Fields of an object beside its corners, in the packed bytes.
_COLUMNS = ("score", "stability", "n_tiles", "touches_edge", "truncated", "prompt_index", "class_id", "class_score")


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One finished object of the scene, in integer scene pixels."""

    corners: Corners
    """Corner form (K, 3) of its pixels: columns x, y, weight (see :mod:`geosam.geometry.corners`)."""
    score: float
    """Predicted IoU: the mean over its tiles, weighted by area."""
    stability: float
    """Stability score: the mean over its tiles, weighted by area."""
    n_tiles: int
    """Number of tiles that hold a part of it."""
    touches_edge: bool
    """True if it touches the border of the segmented region, and so may continue outside."""
    truncated: bool
    """True if it was cut where tiles disagree about its continuation, or at the growth limit."""
    prompt_index: int = -1
    """Number of its prompt; -1 without prompts."""
    class_id: int = -1
    """Number of its class; -1 without classes."""
    class_score: float = math.nan
    """Probability of the class, weighted like `score`; NaN where the model gives none."""

    def __repr__(self) -> str:
        if not len(self.corners):
            return "SceneObject(without pixels)"
        box, pixels = corner_form.bounds(self.corners), corner_form.area(self.corners)
        marks = [name for name in ("touches_edge", "truncated") if getattr(self, name)]
        marks += [f"class {self.class_id}"] if self.class_id >= 0 else []
        place = f"columns {box.col_off} to {box.col_end}, rows {box.row_off} to {box.row_end}"
        return f"SceneObject({', '.join([f'{pixels} px', place, f'score {self.score:.3f}', *marks])})"
