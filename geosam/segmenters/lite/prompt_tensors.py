"""From the prompts of a tile to what the network is asked: what can be seen of each, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from geosam.geometry.pixel_sets import box_around, clip_box, on_pixels
from geosam.segmenters.lite.prompt_maps import Prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.segmenters.pixel_prompts import PixelPrompts

    Floats = NDArray[np.float64]
    Logits = NDArray[np.float32]

#: Logits of pixels wholly inside (and, negative, outside) a mask that somebody drew.
SURE = 8.0
#: Pixels of a tile for one of its logits, along each axis.
STRIDE = 4


class Asked(NamedTuple):
    """What can be seen of one prompt in a tile; corner-based pixels."""

    points: Floats
    """(K, 2) on valid pixels."""
    labels: NDArray[np.int8]
    """(K,) 1 includes, 0 excludes."""
    box_xyxy: Floats
    """(4,) clipped to the tile; NaN without."""
    prior: Logits | None
    """(h, w) logits of a former answer or of a drawn mask."""

    @property
    def extent_xyxy(self) -> tuple[float, float, float, float]:
        """The bounds of all that it says; something includes, so there are some."""
        corners = [self.points, self.box_xyxy.reshape(2, 2)]
        if self.prior is not None and (inside := _bounds(self.prior > 0, STRIDE)) is not None:
            corners.append(inside.reshape(2, 2))
        known = np.concatenate(corners)
        known = known[~np.isnan(known[:, 0])]
        (x0, y0), (x1, y1) = known.min(axis=0).tolist(), known.max(axis=0).tolist()
        return x0, y0, x1, y1


def asked(prompts: PixelPrompts, row: int, valid: BoolArray, logits_hw: tuple[int, int]) -> Asked | None:
    """A prompt as far as it can be seen in the tile; None if nothing of it that includes is.

    Args:
        prompts: corner-based pixels of the tile.
        row: which of them.
        valid: (H, W) pixels of the tile that may belong to objects.
        logits_hw: size of the tile's logits, which reach over it where its sides are no multiples of 32.

    Raises:
        ValueError: logits of another size.
    """
    on = on_pixels(prompts.points[row], valid)
    points, labels = prompts.points[row][on], prompts.labels[row][on]
    box, mask = clip_box(prompts.boxes_xyxy[row], valid), prompts.masks[row]
    prior = prompts.logits[row] if prompts.logits else None
    if prior is not None and prior.shape != logits_hw:
        raise ValueError(f"logits {logits_hw} of a former answer expected, got {prior.shape}")
    if mask is not None:
        seen = np.zeros((logits_hw[0] * STRIDE, logits_hw[1] * STRIDE), bool)
        seen[: mask.shape[0], : mask.shape[1]] = mask & valid
        shares = seen.reshape(logits_hw[0], STRIDE, logits_hw[1], STRIDE).mean(axis=(1, 3))
        prior = (SURE * (2 * shares - 1)).astype(np.float32)
        around = _bounds(seen, 1)
    else:
        around = None if prior is None else _bounds(prior > 0, STRIDE)
    if box is None and not labels.any():
        if around is None:
            return None
        box = around  # a mask alone is nothing that the network learnt from, one with a click or box is
    return Asked(points, labels, np.full(4, np.nan) if box is None else box, prior)


def as_tensors(batch: Sequence[Asked], logits_hw: tuple[int, int], device: torch.device) -> Prompts:
    """N prompts as the network takes them, in pixels of the tile."""
    most = max((len(one.labels) for one in batch), default=0) or 1  # the network wants at least padding
    points, labels = np.zeros((len(batch), most, 2), np.float32), np.full((len(batch), most), -1, np.int64)
    prior = np.zeros((len(batch), 1, *logits_hw), np.float32)
    for row, one in enumerate(batch):
        points[row, : len(one.labels)], labels[row, : len(one.labels)] = one.points, one.labels
        if one.prior is not None:
            prior[row, 0] = one.prior
    boxes = np.array([one.box_xyxy for one in batch], np.float32).reshape(-1, 4)
    known = np.array([one.prior is not None for one in batch], bool)
    return Prompts(*(torch.from_numpy(column).to(device) for column in (points, labels, boxes, prior, known)))


def _bounds(mask: BoolArray, scale: int) -> Floats | None:
    """Box (4,) in pixels around a mask (h, w) whose elements are `scale` pixels wide; None if it is empty."""
    box = box_around(mask)
    return None if box is None else np.array(box.bounds_xyxy, np.float64) * scale
