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
    """N prompts in corner-based pixels of one window. The centre of the first pixel is (0.5, 0.5)."""

    points: tuple[Floats, ...]
    """N arrays (K, 2) of points (x, y); K may be 0."""
    labels: tuple[NDArray[np.int8], ...]
    """N arrays (K,): 1 for points inside the object, 0 for points outside."""
    boxes_xyxy: Floats
    """(N, 4) boxes; NaN in the rows of prompts without a box."""
    masks: tuple[BoolArray | None, ...]
    """N masks (H, W) of the window; None for prompts without a mask."""
    logits: tuple[Logits | None, ...] = ()
    """N low-resolution logits (h, w) of an earlier answer, as in :attr:`MaskSet.logits`, that the prompt refines.

    None for prompts without an earlier answer and for prompts with a mask. The tuple is empty if no prompt has logits.
    Logits alone are a prompt, as a mask alone is: the points may all lie outside the object.
    """

    def __post_init__(self) -> None:
        lengths = (len(self.points), len(self.labels), len(self.boxes_xyxy), len(self.masks))
        if len({*lengths, len(self.logits) or lengths[0]}) != 1:
            raise ValueError(
                f"the columns of PixelPrompts differ in length: found {lengths} points, labels, boxes and masks and "
                f"{len(self.logits)} logits, expected one number for all; logits may be empty"
            )
        if any(mask is not None and former is not None for mask, former in zip(self.masks, self.logits, strict=False)):
            raise ValueError("a prompt has a mask and logits: found both, expected at most one of them")

    def __len__(self) -> int:
        return len(self.points)
