"""From the prompts of a window to the tensors of the prompt encoder."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from geosam.geometry.geobox import corner_to_index
from geosam.geometry.pixel_sets import box_around, clip_box, on_pixels
from geosam.segmenters.sam.prompt_encoder import PromptTensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.segmenters.pixel_prompts import PixelPrompts

    Floats = NDArray[np.float64]

#: Labels of a box's corners, and of a point that is none (segment_anything/modeling/prompt_encoder.py).
_FIRST_CORNER, _LAST_CORNER, _PADDING = 2, 3, -1
#: Logits of pixels wholly inside (and, negative, outside) a mask that somebody drew.
_SURE = 10.0


class _Asked(NamedTuple):
    """What the network sees of one prompt."""

    points: Floats
    """(K, 2) index coordinates: points, box corners, padding."""
    labels: tuple[int, ...]
    """(K,) SAM's labels."""
    logits: NDArray[np.float32] | None
    """(h, w) mask input."""


def groups(
    prompts: PixelPrompts, valid: BoolArray, logits_size: int, *, scale: float, pads_boxes: bool
) -> Iterator[tuple[NDArray[np.intp], PromptTensors]]:
    """Yield (rows, tensors) for prompts that look alike to the network; rows on nothing are left out.

    A row of another length is never padded: every padding point is a token that takes part in attention, so an answer
    would depend on the prompts it is asked together with.

    Args:
        prompts: corner-based pixels of a window.
        valid: (H, W) pixels of the picture that may belong to objects.
        logits_size: side of the network's low-resolution logits.
        scale: pixels of the network's input for one of the picture's.
        pads_boxes: whether a padding point follows a box too, as SAM 2's predictor has it; SAM pads only points
            without a box.

    Raises:
        ValueError: masks or logits for an enlarged picture, on whose pixels they do not lie.
    """
    if scale != 1 and (any(mask is not None for mask in prompts.masks) or prompts.logits):
        raise ValueError("an enlarged picture is asked with points and boxes only, got masks")
    alike: dict[tuple[int, bool], list[tuple[int, _Asked]]] = defaultdict(list)
    for row in range(len(prompts)):
        asked = _asked(prompts, row, valid, logits_size, scale=scale, pads_boxes=pads_boxes)
        if asked is not None:
            alike[len(asked.labels), asked.logits is None].append((row, asked))
    for _, members in sorted(alike.items()):
        rows, found = zip(*members, strict=True)
        yield np.array(rows, np.intp), _stacked(found)


def _stacked(found: tuple[_Asked, ...]) -> PromptTensors:
    masks = [asked.logits for asked in found if asked.logits is not None]
    return PromptTensors(
        points=torch.from_numpy(np.stack([asked.points for asked in found]).astype(np.float32)),
        labels=torch.tensor([asked.labels for asked in found]),
        masks=torch.from_numpy(np.stack(masks)[:, None]) if masks else None,
    )


def _asked(
    prompts: PixelPrompts, row: int, valid: BoolArray, logits_size: int, *, scale: float, pads_boxes: bool
) -> _Asked | None:
    """The prompt as far as it can be seen in the window; None if nothing of it that includes is."""
    inside = on_pixels(prompts.points[row], valid)
    points, labels = prompts.points[row][inside], prompts.labels[row][inside].tolist()
    box, mask = clip_box(prompts.boxes_xyxy[row], valid), prompts.masks[row]
    logits = prompts.logits[row] if prompts.logits else None
    if scale != 1 and (mask is not None or logits is not None):
        raise ValueError("an enlarged picture is asked with points and boxes, got a mask or logits")
    if mask is not None:
        mask = np.pad(mask, [(0, full - side) for full, side in zip(valid.shape, mask.shape, strict=True)]) & valid
        logits = _mask_logits(mask, logits_size)
    if logits is not None and box is None and not any(labels):
        # a mask alone is nothing the networks were trained on, a box around it is
        box = _around(logits > 0, valid.shape[0] / logits_size) if mask is None else _around(mask, 1)
    if box is None and not any(labels):
        return None
    corners = np.zeros((0, 2)) if box is None else box.reshape(2, 2)
    corner_labels = [] if box is None else [_FIRST_CORNER, _LAST_CORNER]
    padding = [_PADDING] * (box is None or pads_boxes)
    where = corner_to_index(np.concatenate([points, corners, np.zeros((len(padding), 2))]), scale)
    return _Asked(where, (*labels, *corner_labels, *padding), logits)


def _around(mask: BoolArray, scale: float) -> Floats | None:
    """Box in pixels around a mask whose elements are `scale` pixels wide, None if it is empty."""
    box = box_around(mask)
    return None if box is None else np.array(box.bounds_xyxy) * scale


def _mask_logits(mask: BoolArray, size: int) -> NDArray[np.float32]:
    """(size, size) logits of a window mask (H, W): sure where a block of pixels is wholly inside or outside."""
    blocks = mask.reshape(size, mask.shape[0] // size, size, mask.shape[1] // size)
    return np.asarray(_SURE * (2 * blocks.mean(axis=(1, 3)) - 1), np.float32)
