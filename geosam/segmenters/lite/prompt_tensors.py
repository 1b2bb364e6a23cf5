"""Prompts of a tile, clipped to its valid pixels, as tensors of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from geosam.segmenters.clipped_prompt import ClippedPrompt, clip_prompt
from geosam.segmenters.lite.prompt_maps import Prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam._arrays import BoolArray
    from geosam.segmenters.pixel_prompts import PixelPrompts

#: Logits of pixels wholly inside a drawn mask; negative for those wholly outside.
SURE: Final = 8.0


def clip_to_tile(prompts: PixelPrompts, row: int, valid: BoolArray, logits_hw: tuple[int, int]) -> ClippedPrompt | None:
    """Clip one prompt to the valid pixels of its tile. Return None if no including part is left.

    Args:
        prompts: prompts in corner-based pixels of the tile.
        row: row of the prompt.
        valid: (H, W) pixels of the tile that may belong to objects.
        logits_hw: size of the tile's logits. They reach over the tile if its sides are no multiples of 32.

    Raises:
        ValueError: the prompt has logits of another size.
    """
    logits = prompts.logits[row] if prompts.logits else None
    if logits is not None and logits.shape != logits_hw:
        raise ValueError(f"logits of an earlier answer: found shape {logits.shape}, expected {logits_hw}")
    return clip_prompt(prompts, row, valid, logits_hw, sure=SURE)


def as_tensors(prompts: Sequence[ClippedPrompt], logits_hw: tuple[int, int], device: torch.device) -> Prompts:
    """Stack N prompts, in pixels of the tile, for the network."""
    # The network cannot take prompts without points: at least one padding point is there.
    most = max((len(prompt.labels) for prompt in prompts), default=0) or 1
    count = len(prompts)
    points, labels = np.zeros((count, most, 2), np.float32), np.full((count, most), -1, np.int64)
    boxes, prior = np.full((count, 4), np.nan, np.float32), np.zeros((count, 1, *logits_hw), np.float32)
    for row, prompt in enumerate(prompts):
        points[row, : len(prompt.labels)], labels[row, : len(prompt.labels)] = prompt.points, prompt.labels
        if prompt.box_xyxy is not None:
            boxes[row] = prompt.box_xyxy
        if prompt.logits is not None:
            prior[row, 0] = prompt.logits
    has_prior = np.array([prompt.logits is not None for prompt in prompts], bool)
    return Prompts(*(torch.from_numpy(column).to(device) for column in (points, labels, boxes, prior, has_prior)))
