"""Fine-tuning of geosam_lite: the mask decoder is trained; encoder and statistics of batch norms stay as they are.

The decoder gets windows of a tile as if they were whole pictures, as in training from scratch and in
:mod:`geosam.segmenters.lite.refinement`.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch

from geosam.segmenters.lite.encoder import STRIDES
from geosam.segmenters.lite.prompt_maps import Region
from geosam.segmenters.lite.prompt_tensors import as_tensors, clip_to_tile
from geosam.segmenters.lite.refinement import CELL, cut, shifted
from geosam.segmenters.lite.segmenter import LiteSegmenter, from_arrays
from geosam.segmenters.lite.weights import load, save
from geosam.segmenters.torch_arrays import valid_pixels
from geosam.training.data.batch import STRIDE
from geosam.training.finetune.trainable_decoder import MaskCandidates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from geosam._arrays import Floats
    from geosam.segmenters.compute import Compute
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Embedding, ModelSpec

#: Least side of a window, and least distance of the object from its edge, in cells of stride 16.
_MIN_SIDE, _MARGIN = 24, 3
#: The side of a window is a multiple of this many cells.
_STEP = 4


class TrainableLite:
    """geosam_lite with a trainable mask decoder; the training computes in float32.

    Args:
        path: File of the weights.
        compute: Device and precision of the embeddings.
        spec: Specification of the segmenter that makes them.

    Raises:
        CheckpointError: The file is missing, damaged, or of another network.
    """

    learning_rate = 5e-4

    def __init__(self, path: Path, compute: Compute, spec: ModelSpec) -> None:
        self._compute = compute
        self._spec = spec
        self._model = load(path).requires_grad_(requires_grad=False).to(compute.device)
        self.parameters = dict(self._model.decoder.named_parameters(prefix="decoder"))
        for parameter in self.parameters.values():
            parameter.requires_grad_()

    def training_embedding(self, embedding: Embedding) -> Embedding:
        """Return the embedding as it is: the decoder converts features by itself."""
        return embedding

    def segmenter(self) -> LiteSegmenter:
        """Make a segmenter with a copy of the network in its present state."""
        # A copy, because a segmenter folds the norms of its network.
        return LiteSegmenter(deepcopy(self._model), self._compute, self._spec)

    def candidates(
        self, embedding: Embedding, prompts: PixelPrompts, bounds_xyxy: Floats, *, multimask: bool
    ) -> list[MaskCandidates]:
        """Compute three masks for each prompt, in windows of one size around the objects."""
        del multimask  # geosam_lite always has three masks
        decoder, device = self._model.decoder, torch.device(self._compute.device)
        features = decoder.prepare(from_arrays(embedding.arrays, self._compute.dtype, self._compute.device))
        tile_hw = (features[-1].own.shape[2], features[-1].own.shape[3])
        logits_hw = (tile_hw[0] * CELL // STRIDE, tile_hw[1] * CELL // STRIDE)
        valid = valid_pixels(embedding)
        every = {row: clip_to_tile(prompts, row, valid, logits_hw) for row in range(len(prompts))}
        usable = {row: prompt for row, prompt in every.items() if prompt is not None}
        if not usable:
            return []
        rows = list(usable)
        windows = _windows(bounds_xyxy[rows], tile_hw)
        parts = tuple(cut(level, windows, stride) for level, stride in zip(features, STRIDES, strict=True))
        tensors = shifted(as_tensors(list(usable.values()), logits_hw, device), windows)
        state, place = decoder.locate(parts[-1], tensors)
        answer = decoder.outline(parts, state, tensors, Region(0, 0, *state.shape[-2:]))
        columns = zip(rows, answer.logits, answer.iou, map(_cells, windows), place[:, 0], strict=True)
        return [MaskCandidates(*column) for column in columns]

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the network."""
        save(self._model, path, metadata)


def _windows(bounds_xyxy: Floats, tile_hw: tuple[int, int]) -> list[Region]:
    """Lay windows of one size around objects with bounds (N, 4), in cells of a tile."""
    low, high = bounds_xyxy[:, :2] // CELL, -(-bounds_xyxy[:, 2:] // CELL)
    needed = int((high - low).max()) + 2 * _MARGIN
    side = max(_MIN_SIDE, -(-needed // _STEP) * _STEP)
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
    """Rows and columns of the cells of stride 4 in a window."""
    k = CELL // STRIDE
    return (
        slice(window.row * k, (window.row + window.height) * k),
        slice(window.col * k, (window.col + window.width) * k),
    )
