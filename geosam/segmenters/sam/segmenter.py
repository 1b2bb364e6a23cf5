"""The networks of the SAM family behind the segmenter protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch

from geosam.segmenters.compute import computing
from geosam.segmenters.masks import Granularity, MaskSet
from geosam.segmenters.sam.enlarged_crops import enlarge, enlarged_hw
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.mask_decoder import Decoded, TileContext, decode, dynamic_columns, prepare
from geosam.segmenters.sam.model import normalised
from geosam.segmenters.sam.prompt_encoder import PromptTensors
from geosam.segmenters.sam.prompt_tensors import groups
from geosam.segmenters.sam.upsampling import masks_from_logits
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec
from geosam.segmenters.torch_arrays import DecoderCache, TileBatches, check_finite, embeddings, valid_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam._arrays import BoolArray
    from geosam.segmenters.compute import Compute
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.sam.model import SamModel

#: Pictures that are encoded together, by device. CUDA batches are always full, if need be with empty pictures, so that
#: the bytes of an embedding do not depend on the rest of its batch.
PICTURES = {"cpu": 1, "cuda": 4}
#: SAM 2's predictor clips the logits that it returns (sam2/sam2_image_predictor.py, _predict).
_SAM2_LIMIT = 32.0


class Loader(Protocol):
    """Picklable callable with which another process loads the same model."""

    def __call__(self) -> SamSegmenter:
        """Load the model."""


class SamSegmenter:
    """Segmenter with a network of the SAM family. Its embeddings are the features of the image encoder.

    With `multimask`, `decode` returns part, whole and group. Otherwise it returns the network's single mask; for SAM 2,
    if that mask is unstable, the best of the other three, as its authors do. Without a keep rule, masks come with
    low-resolution logits for the next click.

    Args:
        model: the network, on its device and in its precision.
        compute: device and precision.
        spec: facts about the model.
        loader: loads the same model in another process; None for a model that stays in this process.
    """

    def __init__(self, model: SamModel, compute: Compute, spec: ModelSpec, loader: Loader | None = None) -> None:
        self._model = model
        self._compute = compute
        self._spec = spec
        self._loader = loader
        self._batches = TileBatches(PICTURES[compute.device])
        self._contexts: DecoderCache[TileContext] = DecoderCache(spec.fingerprint)

    def __reduce__(self) -> tuple[Callable[[], SamSegmenter], tuple[()]]:
        if self._loader is None:
            raise TypeError(f"{self.spec.name} was made in memory and cannot be loaded in another process")
        return self._loader, ()

    @property
    def _side(self) -> int:
        """Side of the network's input in pixels."""
        return self._model.prompt_encoder.frame

    @property
    def _limit(self) -> float:
        """Largest logit that the next click receives."""
        return float("inf") if self._model.memory is None else _SAM2_LIMIT

    @property
    def spec(self) -> ModelSpec:
        """Name, fingerprint, side of the network's input, and default thresholds."""
        return self._spec

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Encode pictures (B, 3, S, S) with valid pixels (B, S, S). Invalid pixels get the mean colour.

        S is the side of the network's input, 1024 pixels for all official networks.

        Raises:
            ValueError: the pictures have another size.
        """
        side = self._side
        if rgb.shape[1:] != (3, side, side) or valid.shape[1:] != (side, side):
            raise ValueError(f"pictures: found shapes {rgb.shape} and {valid.shape}, expected (B, 3, {side}, {side})")
        return self._batches.embed(self._embed, rgb, valid)

    def _embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_], at_once: int) -> list[Embedding]:
        padding = [(0, at_once - len(rgb)), (0, 0), (0, 0), (0, 0)]
        with computing(self._spec.name, self._compute.device):
            pictures, masks = self._to_device(np.pad(rgb, padding)), self._to_device(np.pad(valid, padding[:3]))
            features = self._model.encode(normalised(pictures, masks, self._compute.dtype))
            check_finite([features.image], self._spec.name, self._compute.precision)
            arrays = [features.to_arrays(row) for row in range(len(rgb))]
        return embeddings(arrays, valid, self._spec)

    def embed_enlarged(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Embedding:
        """Encode a picture (3, h, w), enlarged until its longer side is that of the network's input."""
        shape_hw = (valid.shape[0], valid.shape[1])
        size_hw = enlarged_hw(shape_hw, self._side)
        nearest_rows, nearest_cols = (
            np.arange(size) * side // size for size, side in zip(size_hw, shape_hw, strict=True)
        )
        padding = [(0, self._side - size) for size in size_hw]
        picture = np.pad(enlarge(rgb, self._side), [(0, 0), *padding])
        enlarged_valid = np.pad(valid[np.ix_(nearest_rows, nearest_cols)], padding)
        (embedding,) = self.embed(picture[None], enlarged_valid[None])
        arrays = {**embedding.arrays, "valid": np.packbits(valid, axis=1), "enlarged_hw": np.array(size_hw)}
        return Embedding(arrays, shape_hw, embedding.fingerprint)

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Return masks in pixels of the padded tile, as the class describes."""
        valid = valid_pixels(embedding)
        if not valid.any():
            return MaskSet.empty(embedding.input_hw)
        frame = _Frame.of(embedding, valid)
        parts = []
        with computing(self._spec.name, self._compute.device):
            context = self._contexts.of(embedding, self._context)
            pads_boxes = self._model.memory is not None
            logits_size = self._model.prompt_encoder.mask_size
            for rows, tensors in groups(prompts, valid, logits_size, scale=frame.scale, pads_boxes=pads_boxes):
                decoded = self._decode(context, tensors, multimask=multimask, keep=keep)
                parts.append(_mask_set(decoded, rows, frame, keep, self._limit))
        masks = MaskSet.concatenate(embedding.input_hw, parts)
        return masks.select(np.argsort(masks.prompt_index, kind="stable"))

    def _decode(
        self, context: TileContext, prompts: PromptTensors, *, multimask: bool, keep: KeepRule | None
    ) -> Decoded:
        model = self._model
        dynamic = model.memory is not None and not multimask
        min_iou = -torch.inf if keep is None else keep.min_predicted_iou

        def choose(iou: Tensor, object_logit: Tensor | None) -> Tensor:
            del object_logit
            chosen = torch.zeros_like(iou, dtype=torch.bool)
            if multimask:
                chosen[:, 1:] = iou[:, 1:] >= min_iou
            else:
                chosen[:, 0] = dynamic | (iou[:, 0] >= min_iou)
            if dynamic:  # the mask that replaces an unstable single mask
                chosen.scatter_(1, iou[:, 1:].argmax(dim=1, keepdim=True) + 1, value=True)
            return chosen

        device = self._compute.device
        masks = None if prompts.masks is None else prompts.masks.to(device)
        tensors = PromptTensors(prompts.points.to(device), prompts.labels.to(device), masks)
        decoded = decode(model.prompt_encoder, model.mask_decoder, context, tensors, choose)
        if not dynamic:
            return decoded
        best = dynamic_columns(decoded)
        return best.rows(best.iou >= min_iou)

    def _context(self, embedding: Embedding) -> TileContext:
        """Compute the state of the decoder for one tile."""
        features = ImageFeatures.from_arrays(embedding.arrays, self._compute.dtype, self._compute.device)
        return prepare(self._model.prompt_encoder, self._model.mask_decoder, features)

    def _to_device(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self._compute.device == "cpu":
            return tensor
        return tensor.pin_memory().to(self._compute.device, non_blocking=True)


class _Frame(NamedTuple):
    """Place of the pixels of a picture in the network's input."""

    valid: BoolArray
    """(H, W) pixels of the picture that may belong to objects."""
    input_hw: tuple[int, int]
    """(height, width) of the picture in the input, without invalid rows at the bottom and columns at the right."""
    output_hw: tuple[int, int] | None
    """(height, width) of an enlarged picture before the enlargement; None for other pictures."""
    scale: float
    """Pixels of the input for one pixel of the picture."""

    @classmethod
    def of(cls, embedding: Embedding, valid: BoolArray) -> _Frame:
        """Return the frame of the picture of an embedding."""
        enlarged = embedding.arrays.get("enlarged_hw")
        if enlarged is None:
            height, width = (int(np.flatnonzero(valid.any(axis))[-1]) + 1 for axis in (1, 0))
            return cls(valid, (height, width), None, 1.0)
        height, width = enlarged.tolist()
        return cls(valid, (height, width), embedding.input_hw, max(height, width) / max(valid.shape))


def _mask_set(
    decoded: Decoded, prompts: NDArray[np.intp], frame: _Frame, keep: KeepRule | None, limit: float
) -> MaskSet:
    """Return the masks of decoded logits. `prompts` are the numbers of the decoded prompts."""
    masks = masks_from_logits(
        decoded.logits,
        frame.input_hw,
        frame.valid,
        output_hw=frame.output_hw,
        min_stability=None if keep is None else keep.min_stability,
    )
    mask_rows = torch.from_numpy(masks.rows).to(decoded.iou.device)
    rows = decoded.rows(mask_rows)
    score = None if rows.object_logit is None else rows.object_logit.cpu().numpy()
    prompt, column = rows.prompt.cpu().numpy(), rows.column.cpu().numpy()
    return MaskSet.of(
        (frame.valid.shape[0], frame.valid.shape[1]),
        masks.masks,
        masks.boxes_xyxy,
        predicted_iou=rows.iou.cpu().numpy(),
        stability_score=masks.stability,
        prompt_index=prompts[prompt],
        granularity=_granularity(prompt, column, np.array([mask.sum() for mask in masks.masks])),
        object_score=score,
        logits=None if keep is not None else rows.logits.clamp(-limit, limit).cpu().numpy(),
    )


def _granularity(prompt: NDArray[np.intp], column: NDArray[np.intp], areas: NDArray[np.intp]) -> NDArray[np.int8]:
    """Return the granularity (R,) of masks: by area for prompts with all three, otherwise by column.

    The network's single mask is the whole.
    """
    # The networks do not always order the three masks by size.
    levels = np.where(column == 0, Granularity.WHOLE, column - 1).astype(np.int8)
    numbers, counts = np.unique(prompt, return_counts=True)
    for number in numbers[counts == len(Granularity)]:
        rows = np.flatnonzero(prompt == number)
        levels[rows[np.argsort(areas[rows], kind="stable")]] = list(Granularity)
    return levels
