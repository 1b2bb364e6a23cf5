"""Prompts in pixels of one window: the input of a segmenter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Floats

Logits: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PixelPrompts:
    """N prompts in corner-based pixels of one window: what a segmenter is given."""

    points: tuple[Floats, ...]
    """N arrays (K, 2), K may be 0."""
    labels: tuple[NDArray[np.int8], ...]
    """N arrays (K,): 1 includes, 0 excludes."""
    boxes_xyxy: Floats
    """(N, 4), NaN in the rows without a box."""
    masks: tuple[BoolArray | None, ...]
    """N masks (H, W) of the window, None where there is none."""
    logits: tuple[Logits | None, ...] = ()
    """N low-resolution logits (h, w), as :attr:`MaskSet.logits`, of the answer that a prompt goes on from; None where
    it does not, and for prompts with a mask. Empty where no prompt goes on. Like masks they are enough to go on from,
    even if all points exclude."""

    def __post_init__(self) -> None:
        lengths = (len(self.points), len(self.labels), len(self.boxes_xyxy), len(self.masks))
        if len({*lengths, len(self.logits) or lengths[0]}) != 1:
            raise ValueError(
                f"points, labels, boxes and masks of the same number of prompts expected, got {lengths}, "
                f"and as many logits or none, got {len(self.logits)}"
            )
        if any(mask is not None and former is not None for mask, former in zip(self.masks, self.logits, strict=False)):
            raise ValueError("a prompt goes on from a mask or from logits, got both")

    def __len__(self) -> int:
        return len(self.points)
