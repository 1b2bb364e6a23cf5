"""One prompt of a window, clipped to the pixels that a network sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.geometry.pixel_sets import box_around, clip_box, on_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats, Singles
    from geosam.segmenters.pixel_prompts import PixelPrompts

#: Pixels of a window for one of its low-resolution logits, along each axis. All promptable networks agree on it.
LOGITS_STRIDE = 4


class ClippedPrompt(NamedTuple):
    """The visible part of one prompt, in corner-based pixels of its window. It includes at least one pixel."""

    points: Floats
    """(K, 2) x, y, on valid pixels."""
    labels: NDArray[np.int8]
    """(K,) 1 includes, 0 excludes."""
    box_xyxy: Floats | None
    """(4,) clipped to the window; None without a box."""
    logits: Singles | None
    """(h, w) low-resolution logits of an earlier answer or of a drawn mask; None without both."""

    @property
    def extent_xyxy(self) -> tuple[float, float, float, float]:
        """Bounds of points, box and positive logits together."""
        positive = None if self.logits is None else _box_of(self.logits > 0, LOGITS_STRIDE)
        corners = [self.points, *(box.reshape(2, 2) for box in (self.box_xyxy, positive) if box is not None)]
        places = np.concatenate(corners)
        (x0, y0), (x1, y1) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
        return x0, y0, x1, y1


def clip_prompt(
    prompts: PixelPrompts, row: int, valid: BoolArray, logits_hw: tuple[int, int], *, sure: float
) -> ClippedPrompt | None:
    """Clip one prompt to the valid pixels of its window. Return None if no including part is left.

    A mask or logits without a box and without an including point get the box around them: no network was trained on a
    mask alone.

    Args:
        prompts: prompts in corner-based pixels of the window.
        row: row of the prompt.
        valid: (H, W) pixels of the window that may belong to objects.
        logits_hw: size of the window's low-resolution logits. They reach over the window if its sides are no multiples
            of what the network needs.
        sure: logits of pixels that lie wholly inside a drawn mask; negative for those wholly outside.
    """
    inside = on_pixels(prompts.points[row], valid)
    points, labels = prompts.points[row][inside], prompts.labels[row][inside]
    box, drawn = clip_box(prompts.boxes_xyxy[row], valid), prompts.masks[row]
    logits = prompts.logits[row] if prompts.logits else None
    includes = box is not None or bool(labels.any())
    if drawn is not None:
        mask = _visible(drawn, valid)
        logits = _logits_of(mask, logits_hw, sure)
        box = box if includes else _box_of(mask, 1)
    elif logits is not None:
        box = box if includes else _box_of(logits > 0, LOGITS_STRIDE)
    if box is None and not labels.any():
        return None
    return ClippedPrompt(points, labels, box, logits)


def _visible(mask: BoolArray, valid: BoolArray) -> BoolArray:
    """Return the valid pixels (H, W) of a mask, which may lack invalid rows and columns at the bottom and right."""
    height, width = mask.shape
    visible = np.zeros(valid.shape, bool)
    visible[:height, :width] = mask & valid[:height, :width]
    return visible


def _box_of(mask: BoolArray, scale: int) -> Floats | None:
    """Return the box (4,) in pixels around a mask (h, w) whose cells are `scale` pixels wide, None if it is empty."""
    box = box_around(mask)
    return None if box is None else np.array(box.bounds_xyxy, np.float64) * scale


def _logits_of(mask: BoolArray, logits_hw: tuple[int, int], sure: float) -> Singles:
    """Return logits (h, w) of a mask (H, W): the share of each cell that the mask covers, from -sure to sure."""
    padding = [(0, LOGITS_STRIDE * size - side) for size, side in zip(logits_hw, mask.shape, strict=True)]
    cells = np.pad(mask, padding).reshape(logits_hw[0], LOGITS_STRIDE, logits_hw[1], LOGITS_STRIDE)
    return np.asarray(sure * (2 * cells.mean(axis=(1, 3)) - 1), np.float32)
