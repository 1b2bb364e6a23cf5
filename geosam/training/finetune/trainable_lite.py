"""geosam_lite as a pupil: its mask decoder learns, encoder and batch norm statistics stay as they are.

The decoder is shown windows of a tile as if they were pictures of their own, as in training from scratch and as
:mod:`geosam.segmenters.lite.refinement` does it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch

from geosam.segmenters.lite.encoder import STRIDES
from geosam.segmenters.lite.prompt_maps import Region
from geosam.segmenters.lite.prompt_tensors import as_tensors, asked
from geosam.segmenters.lite.refinement import CELL, cut, shifted
from geosam.segmenters.lite.segmenter import LiteSegmenter, from_arrays
from geosam.segmenters.lite.weights import load, save
from geosam.segmenters.torch_arrays import valid_pixels
from geosam.training.finetune.trainable import STRIDE, Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from geosam.segmenters.compute import Compute
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Embedding, ModelSpec

#: Least side of a window, and least distance of the object from its edge, cells of stride 16.
_SIDE, _MARGIN = 24, 3
#: Sides of windows are multiples of this.
_STEP = 4


class LitePupil:
    """See the module. It learns in float32, whatever precision the embeddings were made in.

    Args:
        path: of the weights.
        compute: how the embeddings are made.
        spec: of the segmenter that makes them.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """

    rate = 5e-4

    def __init__(self, path: Path, compute: Compute, spec: ModelSpec) -> None:
        self._compute = compute
        self._spec = spec
        self._model = load(path).requires_grad_(requires_grad=False).to(compute.device)
        self.learning = dict(self._model.decoder.named_parameters(prefix="decoder"))
        for parameter in self.learning.values():
            parameter.requires_grad_()

    def received(self, embedding: Embedding) -> Embedding:
        """The embedding as it is."""
        return embedding

    def segmenter(self) -> LiteSegmenter:
        """A segmenter with a copy of the network as it is now, whose norms may be folded."""
        return LiteSegmenter(deepcopy(self._model), self._compute, self._spec)

    def attempts(
        self, embedding: Embedding, prompts: PixelPrompts, bounds_xyxy: NDArray[np.float64], *, multimask: bool
    ) -> list[Attempt]:
        """Three masks each, in windows of one size around the objects."""
        del multimask  # one answer is the best of the three
        decoder, device = self._model.decoder, torch.device(self._compute.device)
        known = decoder.prepare(from_arrays(embedding.arrays, self._compute.dtype, self._compute.device))
        tile_hw = (known[-1].own.shape[2], known[-1].own.shape[3])
        logits_hw = (tile_hw[0] * CELL // STRIDE, tile_hw[1] * CELL // STRIDE)
        valid = valid_pixels(embedding)
        seen = {row: one for row in range(len(prompts)) if (one := asked(prompts, row, valid, logits_hw)) is not None}
        if not seen:
            return []
        rows = list(seen)
        windows = _windows(bounds_xyxy[rows], tile_hw)
        parts = tuple(cut(level, windows, stride) for level, stride in zip(known, STRIDES, strict=True))
        shown = shifted(as_tensors(list(seen.values()), logits_hw, device), windows)
        state, place = decoder.locate(parts[-1], shown)
        answer = decoder.outline(parts, state, shown, Region(0, 0, *state.shape[-2:]))
        columns = zip(rows, answer.logits, answer.iou, map(_cells, windows), place[:, 0], strict=True)
        return [Attempt(*column) for column in columns]

    def save(self, path: Path, facts: Mapping[str, str]) -> None:
        """Write the network."""
        save(self._model, path, facts)


def _windows(bounds_xyxy: NDArray[np.float64], tile_hw: tuple[int, int]) -> list[Region]:
    """Windows of one size around objects with bounds (N, 4), in cells of a tile."""
    low, high = bounds_xyxy[:, :2] // CELL, -(-bounds_xyxy[:, 2:] // CELL)
    needed = int((high - low).max()) + 2 * _MARGIN
    side = max(_SIDE, -(-needed // _STEP) * _STEP)
    height, width = (min(side, most) for most in tile_hw)
    cols, rows = ((low + high) // 2).astype(int).T
    return [
        Region(
            min(max(row - height // 2, 0), tile_hw[0] - height),
            min(max(col - width // 2, 0), tile_hw[1] - width),
            height,
            width,
        )
        for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
    ]


def _cells(window: Region) -> tuple[slice, slice]:
    """The cells of stride 4 in a window."""
    k = CELL // STRIDE
    return (
        slice(window.row * k, (window.row + window.height) * k),
        slice(window.col * k, (window.col + window.width) * k),
    )
