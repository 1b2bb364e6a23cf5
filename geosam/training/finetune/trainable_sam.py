"""Fine-tuning of the SAM family: the mask decoder is trained; image and prompt encoder stay as they are.

The decoder runs through the modules of inference, folded as they are: all of their steps can be differentiated.
Only `prepare` and `decode`, which combine the modules in inference mode, have a counterpart here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from geosam.errors import CheckpointMismatch
from geosam.segmenters.registry import WEIGHTS
from geosam.segmenters.sam.build import VARIANTS, canonical, load
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.hq import hq_features
from geosam.segmenters.sam.huggingface import official_names
from geosam.segmenters.sam.identity import identify
from geosam.segmenters.sam.mask_decoder import COLUMNS, TileContext
from geosam.segmenters.sam.prompt_encoder import PromptTensors
from geosam.segmenters.sam.prompt_tensors import groups
from geosam.segmenters.sam.segmenter import SamSegmenter
from geosam.segmenters.sam.upscaling import Upscaling
from geosam.segmenters.torch_arrays import valid_pixels
from geosam.segmenters.weights.folder import check_file, checkpoint_path
from geosam.segmenters.weights.reading import read_state_dict
from geosam.training.finetune.trainable_decoder import MaskCandidates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from geosam._arrays import Floats
    from geosam.segmenters.compute import Compute
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.sam.model import SamModel
    from geosam.segmenters.segmenter import Embedding, ModelSpec

#: Convolutions that SAM 2 applies to the finer levels of the encoder once a tile: their output is in the embedding.
_EMBEDDED = ("conv_s0.", "conv_s1.")
_WHOLE = slice(None)


class TrainableSam:
    """A network of the SAM family with a trainable mask decoder; the training computes in float32.

    Args:
        name: Name of an official checkpoint, or the path of a file.
        compute: Device and precision of the embeddings.
        spec: Specification of the segmenter that makes them.

    Raises:
        CheckpointError: The file is missing, damaged, or of another network.
    """

    learning_rate = 1e-4

    def __init__(self, name: str, compute: Compute, spec: ModelSpec) -> None:
        self._path = Path(name) if Path(name).suffix.lower() in WEIGHTS else checkpoint_path(name)
        self._embedding_dtype = compute.dtype
        self._compute = replace(compute, precision="fp32")
        self._spec = spec
        variant, state = _official_state(self._path)
        self._model = load(VARIANTS[variant], state, str(self._path))
        self._model.image_encoder = nn.Identity()  # the segmenter has made the embeddings: free the memory
        self._model.to(self._compute.device)
        decoder = self._model.mask_decoder.named_parameters(prefix="mask_decoder")
        self.parameters = {name: p for name, p in decoder if not any(part in name for part in _EMBEDDED)}
        for parameter in self.parameters.values():
            parameter.requires_grad_()

    def training_embedding(self, embedding: Embedding) -> Embedding:
        """Convert the embedding to float32."""
        if self._embedding_dtype == torch.float32:
            return embedding
        image, high_res, early = ImageFeatures.from_arrays(embedding.arrays, self._embedding_dtype, "cpu")
        exact = ImageFeatures(image.float(), tuple(m.float() for m in high_res), tuple(m.float() for m in early))
        return replace(embedding, arrays={**embedding.arrays, **exact.to_arrays(0)})

    def segmenter(self) -> SamSegmenter:
        """Make a segmenter with the decoder in its present state."""
        return SamSegmenter(self._model, self._compute, self._spec)

    def candidates(
        self, embedding: Embedding, prompts: PixelPrompts, bounds_xyxy: Floats, *, multimask: bool
    ) -> list[MaskCandidates]:
        """Compute masks of the whole tile, three or one for each prompt."""
        del bounds_xyxy  # this decoder always computes the whole tile
        device = self._compute.device
        features = ImageFeatures.from_arrays(embedding.arrays, torch.float32, device)
        valid = valid_pixels(embedding)
        logits_size, pads_boxes = self._model.prompt_encoder.mask_size, self._model.memory is not None
        results = []
        for rows, tensors in groups(prompts, valid, logits_size, scale=1.0, pads_boxes=pads_boxes):
            masks = None if tensors.masks is None else tensors.masks.to(device)
            moved = PromptTensors(tensors.points.to(device), tensors.labels.to(device), masks)
            logits, iou = decoded_masks(self._model, features, moved, multimask=multimask)
            columns = zip(rows.tolist(), logits, iou, strict=True)
            results += [MaskCandidates(*column, cells=(_WHOLE, _WHOLE)) for column in columns]
        return results

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the checkpoint under the official names, with the decoder in its present state."""
        _, state = _official_state(self._path)
        tuned = {name: state[name] if (p := self.parameters.get(canonical(name))) is None else p for name in state}
        entry = {"geosam": json.dumps(dict(metadata), sort_keys=True)}  # as in files of geosam_lite
        try:
            save_file({name: value.detach().cpu().contiguous() for name, value in tuned.items()}, path, entry)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def decoded_masks(
    model: SamModel, features: ImageFeatures, prompts: PromptTensors, *, multimask: bool
) -> tuple[Tensor, Tensor]:
    """Compute logits (B, k, 4h, 4w) and predicted IoU (B, k) of mask columns 1 to 3, or of column 0, with gradients."""
    encoder, decoder = model.prompt_encoder, model.mask_decoder
    _, _, height, width = features.image.shape
    image, positions = features.image.flatten(2).transpose(1, 2), encoder.grid(height, width)
    own = encoder.tokens(prompts.points, prompts.labels)
    kinds = torch.cat([decoder.output_tokens().expand(len(own), -1, -1), own], dim=1)
    masks = encoder.no_mask_embed.weight if prompts.masks is None else encoder.mask_embeddings(prompts.masks)
    image = (image + masks).expand(len(own), -1, -1)
    projections = (decoder.transformer.project(image, positions), *decoder.transformer.place(positions))
    context = TileContext(
        image,
        (height, width),
        projections,
        Upscaling.of(decoder.output_upscaling, features.high_res, height, width),
        None if decoder.config.early_width is None else hq_features(decoder, features),
    )
    tokens, image = decoder.transformer(kinds, image, projections)
    iou, _ = decoder.scores(tokens)
    columns = slice(1, COLUMNS) if multimask else slice(0, 1)
    chosen = torch.zeros_like(iou, dtype=torch.bool)
    chosen[:, columns] = True
    logits = decoder.logits(tokens, image, chosen, context)
    return logits.unflatten(0, (len(own), -1)), iou[:, columns]


def _official_state(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Read the variant and the tensors of a checkpoint, under their official names."""
    check_file(path)
    state = read_state_dict(path, again=True)
    identity = identify({name: tuple(value.shape) for name, value in state.items()})
    if identity is None:
        raise CheckpointMismatch(
            f"the checkpoint cannot be fine-tuned: {path}: found an unknown network, expected one of "
            f"{', '.join(VARIANTS)}.",
            remedy="Name the file of another model.",
            code="checkpoint-not-trainable",
            path=str(path),
        )
    official = state if identity.layout == "official" else official_names(state, str(path))
    return identity.variant, dict(official)
