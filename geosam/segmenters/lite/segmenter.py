"""LiteSegmenter: geosam_lite behind geosam's segmenter protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from geosam.segmenters.compute import computing
from geosam.segmenters.lite.encoder import STRIDES, Pyramid, normalised
from geosam.segmenters.lite.layers import fold_norms
from geosam.segmenters.lite.mask_set import mask_set
from geosam.segmenters.lite.prompt_tensors import asked
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
    from geosam.segmenters.lite.decoder import Prepared
    from geosam.segmenters.lite.model import LiteModel
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Segmenter

    #: How another process gets the same model; can be pickled.
    _Loader = Callable[[], Segmenter]

#: Sides of pictures are filled up to multiples of this.
MULTIPLE = 32
#: Pictures encoded together, and cells of prompts that are decoded together. On a CPU both go one by one, so that bytes
#: never depend on what else is asked; on CUDA batches of pictures are always full, for the same reason.
PICTURES = {"cpu": 1, "cuda": 4}
CELLS = {"cpu": 1, "cuda": 1 << 16}
#: What :meth:`LiteSegmenter.propose` keeps unless told otherwise.
KEEP = KeepRule(min_predicted_iou=0.4, min_stability=0.4, max_duplicate_iou=0.6)


class Context(NamedTuple):
    """What is computed of a tile before any prompt."""

    known: tuple[Prepared, ...]
    """The decoder's, at strides 4, 8, 16."""
    innerness: NDArray[np.float32]
    """(h, w) at stride 4, 0 to 1: how far inside an object each place is."""
    valid: BoolArray
    """(H, W)."""

    @property
    def logits_hw(self) -> tuple[int, int]:
        """Size of the tile's logits."""
        height, width = self.innerness.shape
        return height, width


class LiteSegmenter:
    """Segmenter with geosam_lite; what it remembers of a tile is the feature pyramid. Tiles may have any size.

    `decode` gives, for `multimask`, up to three masks, by area part, whole and group, else the one of highest predicted
    IoU. Its stability scores are counted like those of SAM, from logits enlarged from stride 4. The decoder computes in
    fp32 whatever the encoder's precision.
    """

    def __init__(self, model: LiteModel, compute: Compute, spec: ModelSpec, loader: _Loader | None = None) -> None:
        model = model.eval().requires_grad_(requires_grad=False)
        fold_norms(model)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch forgot this one
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
        """Name, fingerprint, any input size."""
        return self._spec

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Pyramids of (B, 3, H, W) pictures; invalid pixels are shown to the network as such."""
        return self._batches.embed(self._embed, rgb, valid)

    def _embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_], at_once: int) -> list[Embedding]:
        height, width = valid.shape[1:]
        room = [(0, at_once - len(rgb)), *((0, -side % MULTIPLE) for side in (height, width))]
        pictures, masks = np.pad(rgb, [room[0], (0, 0), *room[1:]]), np.pad(valid, room)
        with computing(self._spec.name, self._compute.device):
            sent, shown = (torch.from_numpy(array).to(self._compute.device) for array in (pictures, masks))
            pyramid = self._encoder(normalised(sent, shown, self._compute.dtype))
            check_finite((*pyramid.features, pyramid.dense), self._spec.name, self._compute.precision)
            kept = [_to_arrays(pyramid, row) for row in range(len(rgb))]
        return embeddings(kept, valid, self._spec)

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Masks in pixels of the tile; see the class."""
        with computing(self._spec.name, self._compute.device):
            context = self._contexts.of(embedding, self._context)
            seen = [asked(prompts, row, context.valid, context.logits_hw) for row in range(len(prompts))]
            batch = {row: one for row, one in enumerate(seen) if one is not None}
            answers = outlines(
                self._decoder,
                context.known,
                list(batch.values()),
                cells=CELLS[self._compute.device],
                worth=None if multimask else -np.inf,
            )
            found = [
                mask_set(answer, row, context.valid, context.logits_hw, multimask=multimask, keep=keep)
                for row, answer in zip(batch, answers, strict=True)
            ]
        return MaskSet.concatenate(embedding.input_hw, found)

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """The objects of a tile, found at the places that lie deepest inside of them."""
        with computing(self._spec.name, self._compute.device):
            context = self._contexts.of(embedding, self._context)
            return proposals(self._decoder, context.known, context.innerness, context.valid, keep)

    def _context(self, embedding: Embedding) -> Context:
        """What is computed from a tile alone."""
        pyramid = from_arrays(embedding.arrays, self._compute.dtype, self._compute.device)
        innerness = torch.sigmoid(pyramid.dense[0, 0]).cpu().numpy()
        return Context(self._decoder.prepare(pyramid), innerness, valid_pixels(embedding))


def _to_arrays(pyramid: Pyramid, row: int) -> dict[str, NDArray[Any]]:
    """The maps of one picture by name."""
    maps = {str(stride): found for stride, found in zip(STRIDES, pyramid.features, strict=True)}
    return {name: to_array(found[row]) for name, found in {**maps, "dense": pyramid.dense}.items()}


def from_arrays(arrays: Mapping[str, NDArray[Any]], dtype: torch.dtype, device: str) -> Pyramid:
    """A batch of one picture, in fp32, from the arrays of its embedding, which was made in `dtype`."""

    def read(name: str) -> Tensor:
        maps = from_array(arrays[name], dtype, device)[None].float()
        return maps.contiguous(memory_format=torch.channels_last)

    fine, middle, coarse = (read(str(stride)) for stride in STRIDES)
    return Pyramid((fine, middle, coarse), read("dense"))
