"""Labelled pictures, and the crops that are cut out of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture and its labelled objects; coordinates are corner-based pixels."""

    name: str
    """Origin of the picture, for reports."""
    rgb: NDArray[np.uint8]
    """(3, H, W) colours; 0 where invalid."""
    valid: BoolArray
    """(H, W) pixels that were imaged."""
    instances: NDArray[np.int32]
    """(H, W) number of the object whose mask holds the pixel; 0 for no object."""
    complete: BoolArray
    """(H, W) pixels where every object is labelled, so that a pixel without a label is background."""
    gsd: float
    """Metres on the ground per pixel; NaN for pictures without a scale."""
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """(K, 4) x0, y0, x1, y1 of objects that are labelled by a box alone."""
    points: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    """(M, 2) x, y of objects that are labelled by one point alone."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A square crop that a network is trained on; coordinates are corner-based pixels of the crop."""

    rgb: NDArray[np.uint8]
    """(3, S, S) colours; 0 where invalid."""
    valid: BoolArray
    """(S, S) pixels that were imaged."""
    instances: NDArray[np.int32]
    """(S, S) number of the object, 1 to N; 0 for no object. Pieces of an object that the crop cuts keep one number."""
    complete: BoolArray
    """(S, S) pixels where a pixel without a label is background."""
    boxes: NDArray[np.float32]
    """(K, 4) boxes of which at least half of the area lies in the crop, clipped to it."""
    points: NDArray[np.float32]
    """(M, 2) points in the crop."""
