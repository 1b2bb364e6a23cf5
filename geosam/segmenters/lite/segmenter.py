"""geosam_lite behind the segmenter protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from geosam.segmenters.compute import computing
from geosam.segmenters.lite.encoder import STRIDES, Pyramid, normalised
from geosam.segmenters.lite.layers import fold_norms
from geosam.segmenters.lite.mask_set import mask_set
from geosam.segmenters.lite.prompt_tensors import clip_to_tile
from geosam.segmenters.lite.proposals import proposals
from geosam.segmenters.lite.refinement import outlines
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec
from geosam.segmenters.torch_arrays import (
    DecoderCache,
    TileBatches,
    check_finite,
    embeddings,
    from_array,
    to_array,
    valid_pixels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam._arrays import BoolArray
    from geosam.segmenters.compute import Compute
    from geosam.segmenters.lite.decoder import LevelFeatures
    from geosam.segmenters.lite.model import LiteModel
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Segmenter

    #: Picklable callable with which another process loads the same model.
    _Loader = Callable[[], Segmenter]

#: Sides of pictures are padded to multiples of this.
MULTIPLE = 32
#: Pictures that are encoded together, and cells of prompts that are decoded together, by device. On a CPU there is one
#: of each, so that no byte depends on the rest of a batch. For that reason, CUDA batches of pictures are always full.
PICTURES = {"cpu": 1, "cuda": 4}
CELLS = {"cpu": 1, "cuda": 1 << 16}
#: Default thresholds of :meth:`LiteSegmenter.propose`.
KEEP = KeepRule(min_predicted_iou=0.4, min_stability=0.4, max_duplicate_iou=0.6)


class Context(NamedTuple):
    """State of the decoder for one tile, which does not depend on prompts."""

    features: tuple[LevelFeatures, ...]
    """Features of the decoder at strides 4, 8, 16."""
    innerness: NDArray[np.float32]
    """(h, w) at stride 4: 1 at the innermost point of an object, 0 at its edge and outside."""
    valid: BoolArray
    """(H, W) pixels of the tile that may belong to objects."""

    @property
    def logits_hw(self) -> tuple[int, int]:
        """(height, width) of the tile's logits."""
        height, width = self.innerness.shape
        return height, width


class LiteSegmenter:
    """Segmenter with geosam_lite. Its embeddings are feature pyramids, and its tiles may have any size.

    With `multimask`, `decode` returns up to three masks: by area part, whole and group. Otherwise it returns the mask
    of highest predicted IoU. Stability scores are those of SAM, from logits enlarged from stride 4. The decoder always
    computes in fp32.

    Args:
        model: network with batch norms. They are folded in place.
        compute: device and precision.
        spec: facts about the model.
        loader: loads the same model in another process; None for a model that stays in this process.
    """

    def __init__(self, model: LiteModel, compute: Compute, spec: ModelSpec, loader: _Loader | None = None) -> None:
        model = model.eval().requires_grad_(requires_grad=False)
        fold_norms(model)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's annotations
        self._encoder = model.encoder.to(compute.device, compute.dtype)
        self._decoder = model.decoder.to(compute.device)
        self._compute = compute
        self._spec = spec
        self._loader = loader
        self._batches = TileBatches(PICTURES[compute.device])
        self._contexts: DecoderCache[Context] = DecoderCache(spec.fingerprint)

    def __reduce__(self) -> tuple[_Loader, tuple[()]]:
        if self._loader is None:
            raise TypeError(f"{self.spec.name} was made in memory and cannot be loaded in another process")
        return self._loader, ()

    @property
    def spec(self) -> ModelSpec:
        """Name, fingerprint and default thresholds. The input size is None: tiles may have any size."""
        return self._spec

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Encode pictures (B, 3, H, W). The network sees which pixels (B, H, W) are invalid."""
        return self._batches.embed(self._embed, rgb, valid)

    def _embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_], at_once: int) -> list[Embedding]:
        height, width = valid.shape[1:]
        padding = [(0, at_once - len(rgb)), *((0, -side % MULTIPLE) for side in (height, width))]
        pictures, masks = np.pad(rgb, [padding[0], (0, 0), *padding[1:]]), np.pad(valid, padding)
        with computing(self._spec.name, self._compute.device):
            pixels, visible = (torch.from_numpy(array).to(self._compute.device) for array in (pictures, masks))
            pyramid = self._encoder(normalised(pixels, visible, self._compute.dtype))
            check_finite((*pyramid.features, pyramid.dense), self._spec.name, self._compute.precision)
            arrays = [_to_arrays(pyramid, row) for row in range(len(rgb))]
        return embeddings(arrays, valid, self._spec)

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Return masks in pixels of the tile, as the class describes."""
        with computing(self._spec.name, self._compute.device):
            context = self._contexts.of(embedding, self._context)
            clipped = [clip_to_tile(prompts, row, context.valid, context.logits_hw) for row in range(len(prompts))]
            visible = {row: prompt for row, prompt in enumerate(clipped) if prompt is not None}
            answers = outlines(
                self._decoder,
                context.features,
                list(visible.values()),
                cells=CELLS[self._compute.device],
                min_iou=None if multimask else -np.inf,
            )
            parts = [
                mask_set(answer, row, context.valid, context.logits_hw, multimask=multimask, keep=keep)
                for row, answer in zip(visible, answers, strict=True)
            ]
        return MaskSet.concatenate(embedding.input_hw, parts)

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """Return the objects of a tile, each found by a click at its innermost point."""
        with computing(self._spec.name, self._compute.device):
            context = self._contexts.of(embedding, self._context)
            return proposals(self._decoder, context.features, context.innerness, context.valid, keep)

    def _context(self, embedding: Embedding) -> Context:
        """Compute the state of the decoder for one tile."""
        pyramid = from_arrays(embedding.arrays, self._compute.dtype, self._compute.device)
        innerness = torch.sigmoid(pyramid.dense[0, 0]).cpu().numpy()
        return Context(self._decoder.prepare(pyramid), innerness, valid_pixels(embedding))


def _to_arrays(pyramid: Pyramid, row: int) -> dict[str, NDArray[Any]]:
    """Return the maps of one picture by name."""
    maps = {str(stride): values for stride, values in zip(STRIDES, pyramid.features, strict=True)}
    return {name: to_array(values[row]) for name, values in {**maps, "dense": pyramid.dense}.items()}


def from_arrays(arrays: Mapping[str, NDArray[Any]], dtype: torch.dtype, device: str) -> Pyramid:
    """Return the pyramid of one picture (B = 1) in fp32, from the arrays of an embedding that was made in `dtype`."""

    def read(name: str) -> Tensor:
        maps = from_array(arrays[name], dtype, device)[None].float()
        return maps.contiguous(memory_format=torch.channels_last)

    fine, middle, coarse = (read(str(stride)) for stride in STRIDES)
    return Pyramid((fine, middle, coarse), read("dense"))
