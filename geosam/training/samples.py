"""What is learnt from: pictures with labels, and the crops cut out of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture with the objects known in it; coordinates are corner-based pixels."""

    name: str
    """Where it comes from, for reports."""
    rgb: NDArray[np.uint8]
    """(3, H, W); 0 where invalid."""
    valid: NDArray[np.bool_]
    """(H, W) pixels that have been imaged."""
    instances: NDArray[np.int32]
    """(H, W) 0 for no object, otherwise the number of the object whose mask holds the pixel."""
    complete: NDArray[np.bool_]
    """(H, W) where every object is labelled, so that a pixel without a label is background."""
    gsd: float
    """Metres on the ground per pixel."""
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """(K, 4) x0, y0, x1, y1 of objects known by their boxes alone."""
    points: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    """(M, 2) x, y of objects known by one point alone."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A square crop, as the network sees it in training; coordinates are corner-based pixels of the crop."""

    rgb: NDArray[np.uint8]
    """(3, S, S); 0 where invalid."""
    valid: NDArray[np.bool_]
    """(S, S)."""
    instances: NDArray[np.int32]
    """(S, S) 0 for no object, else 1 to N; pieces of an object that the crop cuts off keep one number."""
    complete: NDArray[np.bool_]
    """(S, S) where a pixel without a label is background."""
    boxes: NDArray[np.float32]
    """(K, 4) boxes that lie in the crop with at least half of their area, clipped to it."""
    points: NDArray[np.float32]
    """(M, 2) points in the crop."""
