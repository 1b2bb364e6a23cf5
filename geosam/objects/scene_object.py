"""A finished object in corner form, and objects as bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geosam.geometry.corners import NO_CORNERS
from geosam.packing import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pack_objects(objects: Sequence[SceneObject]) -> bytes:
    """Objects as bytes; the inverse of :func:`unpack_objects`."""
    outlines = np.concatenate([item.corners for item in objects]) if objects else NO_CORNERS
    counts = np.array([len(item.corners) for item in objects], np.int64)
    columns = {name: np.array([getattr(item, name) for item in objects]) for name in _COLUMNS}
    return pack({"corners": outlines, "counts": counts, **columns})


def unpack_objects(data: bytes) -> list[SceneObject]:
    """Read what :func:`pack_objects` wrote; nothing from nothing."""
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


_COLUMNS = ("score", "stability", "n_tiles", "touches_edge", "truncated", "prompt_index", "class_id", "class_score")


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One finished object of the scene, in integer scene pixels."""

    corners: NDArray[np.int32]
    """(K, 3) columns x, y, weight: the corner form of its pixels (see :mod:`geosam.geometry.corners`)."""
    score: float
    """Predicted IoU, area-weighted over the tiles it was assembled from."""
    stability: float
    """Stability score, weighted likewise."""
    n_tiles: int
    """Number of tiles it was assembled from."""
    touches_edge: bool
    """Whether it touches the border of the segmented region, and so may go on outside."""
    truncated: bool
    """Whether it was cut where tiles did not agree about its continuation, or at the growth limit."""
    prompt_index: int = -1
    """Number of the prompt that asked for it; -1 without prompts."""
    class_id: int = -1
    """Class of the object; -1 without classes."""
    class_score: float = math.nan
    """Probability of that class, area-weighted like `score`; NaN where the model gives none."""
