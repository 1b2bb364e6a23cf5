"""Prompts of a window, clipped to its valid pixels, as tensors of the prompt encoder."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from geosam.geometry.geobox import corner_to_index
from geosam.segmenters.clipped_prompt import clip_prompt
from geosam.segmenters.sam.prompt_encoder import PromptTensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats, Singles
    from geosam.segmenters.clipped_prompt import ClippedPrompt
    from geosam.segmenters.pixel_prompts import PixelPrompts

#: Labels of a box's corners and of a padding point (segment_anything/modeling/prompt_encoder.py).
_FIRST_CORNER, _LAST_CORNER, _PADDING = 2, 3, -1
#: Logits of pixels wholly inside a drawn mask; negative for those wholly outside.
_SURE = 10.0


class _PromptTokens(NamedTuple):
    """Tokens and mask input of one prompt."""

    points: Floats
    """(K, 2) index coordinates of points, box corners and padding."""
    labels: tuple[int, ...]
    """(K,) SAM's labels."""
    logits: Singles | None
    """(h, w) mask input; None without."""


def groups(
    prompts: PixelPrompts, valid: BoolArray, logits_size: int, *, scale: float, pads_boxes: bool
) -> Iterator[tuple[NDArray[np.intp], PromptTensors]]:
    """Yield (rows, tensors) for prompts that have the same number of tokens. Rows without a visible part are left out.

    Args:
        prompts: prompts in corner-based pixels of a window.
        valid: (H, W) pixels of the picture that may belong to objects.
        logits_size: side of the network's low-resolution logits.
        scale: pixels of the network's input for one pixel of the picture.
        pads_boxes: add a padding point to a box too, as SAM 2's predictor does. SAM adds it only to points without a
            box.

    Raises:
        ValueError: masks or logits for an enlarged picture. They do not lie on its pixels.
    """
    if scale != 1 and (any(mask is not None for mask in prompts.masks) or prompts.logits):
        raise ValueError("prompts of an enlarged picture: found masks or logits, expected points and boxes only")
    # Rows are never padded to one length: a padding point is a token that takes part in attention, so masks would
    # depend on the other prompts of the call.
    by_tokens: dict[tuple[int, bool], list[tuple[int, _PromptTokens]]] = defaultdict(list)
    for row in range(len(prompts)):
        clipped = clip_prompt(prompts, row, valid, (logits_size, logits_size), sure=_SURE)
        if clipped is not None:
            tokens = _tokens(clipped, scale, pads_boxes=pads_boxes)
            by_tokens[len(tokens.labels), tokens.logits is None].append((row, tokens))
    for _, members in sorted(by_tokens.items()):
        rows, group = zip(*members, strict=True)
        yield np.array(rows, np.intp), _stacked(group)


def _tokens(prompt: ClippedPrompt, scale: float, *, pads_boxes: bool) -> _PromptTokens:
    """Return points, then the corners of the box, then padding, as the official predictors order them."""
    box = prompt.box_xyxy
    corners = np.zeros((0, 2)) if box is None else box.reshape(2, 2)
    corner_labels = [] if box is None else [_FIRST_CORNER, _LAST_CORNER]
    padding = [_PADDING] * (box is None or pads_boxes)
    places = corner_to_index(np.concatenate([prompt.points, corners, np.zeros((len(padding), 2))]), scale)
    return _PromptTokens(places, (*prompt.labels.tolist(), *corner_labels, *padding), prompt.logits)


def _stacked(prompts: tuple[_PromptTokens, ...]) -> PromptTensors:
    """Stack prompts that have the same number of tokens, and all a mask input or none."""
    masks = [prompt.logits for prompt in prompts if prompt.logits is not None]
    return PromptTensors(
        points=torch.from_numpy(np.stack([prompt.points for prompt in prompts]).astype(np.float32)),
        labels=torch.tensor([prompt.labels for prompt in prompts]),
        masks=torch.from_numpy(np.stack(masks)[:, None]) if masks else None,
    )
