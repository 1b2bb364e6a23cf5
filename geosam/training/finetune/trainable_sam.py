"""A network of the SAM family as a pupil: its mask decoder learns; image and prompt encoder stay as they are.

The decoder is run through the modules that inference uses, folded as they are: all of their steps can be
differentiated. Only `prepare` and `decode`, which put them together in inference mode, have a counterpart here.
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
from geosam.segmenters.sam.features import Features
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
from geosam.training.finetune.trainable import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from geosam.segmenters.compute import Compute
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.sam.model import SamModel
    from geosam.segmenters.segmenter import Embedding, ModelSpec

#: SAM 2 applies these to the encoder's finer levels, once for a tile: they are part of an embedding.
_EMBEDDED = ("conv_s0.", "conv_s1.")
_WHOLE = slice(None)


class SamPupil:
    """See the module. It learns in float32, whatever precision the embeddings were made in.

    Args:
        name: of an official checkpoint, or the path of a file.
        compute: how the embeddings are made.
        spec: of the segmenter that makes them.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """

    rate = 1e-4

    def __init__(self, name: str, compute: Compute, spec: ModelSpec) -> None:
        self._path = Path(name) if Path(name).suffix.lower() in WEIGHTS else checkpoint_path(name)
        self._made_in = compute.dtype
        self._compute = replace(compute, precision="fp32")
        self._spec = spec
        variant, state = _official_state(self._path)
        self._model = load(VARIANTS[variant], state, str(self._path))
        self._model.image_encoder = nn.Identity()  # embeddings come from elsewhere
        self._model.to(self._compute.device)
        decoder = self._model.mask_decoder.named_parameters(prefix="mask_decoder")
        self.learning = {name: p for name, p in decoder if not any(part in name for part in _EMBEDDED)}
        for parameter in self.learning.values():
            parameter.requires_grad_()

    def received(self, embedding: Embedding) -> Embedding:
        """The embedding in float32."""
        if self._made_in == torch.float32:
            return embedding
        image, high_res, early = Features.from_arrays(embedding.arrays, self._made_in, "cpu")
        exact = Features(image.float(), tuple(m.float() for m in high_res), tuple(m.float() for m in early))
        return replace(embedding, arrays={**embedding.arrays, **exact.to_arrays(0)})

    def segmenter(self) -> SamSegmenter:
        """A segmenter with the decoder as it is now."""
        return SamSegmenter(self._model, self._compute, self._spec)

    def attempts(
        self, embedding: Embedding, prompts: PixelPrompts, bounds_xyxy: NDArray[np.float64], *, multimask: bool
    ) -> list[Attempt]:
        """Masks of the whole tile: three of them, or the single one."""
        del bounds_xyxy
        device = self._compute.device
        features = Features.from_arrays(embedding.arrays, torch.float32, device)
        valid = valid_pixels(embedding)
        logits_size, pads_boxes = self._model.prompt_encoder.mask_size, self._model.memory is not None
        found = []
        for rows, tensors in groups(prompts, valid, logits_size, scale=1.0, pads_boxes=pads_boxes):
            masks = None if tensors.masks is None else tensors.masks.to(device)
            asked = PromptTensors(tensors.points.to(device), tensors.labels.to(device), masks)
            answers = zip(rows.tolist(), *answered(self._model, features, asked, multimask=multimask), strict=True)
            found += [Attempt(row, logits, iou, (_WHOLE, _WHOLE)) for row, logits, iou in answers]
        return found

    def save(self, path: Path, facts: Mapping[str, str]) -> None:
        """Write the checkpoint under the official names, with the decoder as it is now."""
        _, state = _official_state(self._path)
        tuned = {name: state[name] if (p := self.learning.get(canonical(name))) is None else p for name in state}
        told = {"geosam": json.dumps(dict(facts), sort_keys=True)}  # as in files of geosam_lite
        try:
            save_file({name: value.detach().cpu().contiguous() for name, value in tuned.items()}, path, told)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def answered(model: SamModel, features: Features, prompts: PromptTensors, *, multimask: bool) -> tuple[Tensor, Tensor]:
    """Logits (B, k, 4h, 4w) and predicted IoU (B, k) of columns 1 to 3, or of column 0 alone, with gradients."""
    encoder, decoder = model.prompt_encoder, model.mask_decoder
    _, _, height, width = features.image.shape
    image, positions = features.image.flatten(2).transpose(1, 2), encoder.grid(height, width)
    own = encoder.tokens(prompts.points, prompts.labels)
    kinds = torch.cat([decoder.output_tokens().expand(len(own), -1, -1), own], dim=1)
    masks = encoder.no_mask_embed.weight if prompts.masks is None else encoder.mask_embeddings(prompts.masks)
    image = (image + masks).expand(len(own), -1, -1)
    known = (decoder.transformer.project(image, positions), *decoder.transformer.place(positions))
    context = TileContext(
        image,
        (height, width),
        known,
        Upscaling.of(decoder.output_upscaling, features.high_res, height, width),
        None if decoder.config.early_width is None else hq_features(decoder, features),
    )
    tokens, image = decoder.transformer(kinds, image, known)
    iou, _ = decoder.scores(tokens)
    columns = slice(1, COLUMNS) if multimask else slice(0, 1)
    chosen = torch.zeros_like(iou, dtype=torch.bool)
    chosen[:, columns] = True
    logits = decoder.logits(tokens, image, chosen, context)
    return logits.unflatten(0, (len(own), -1)), iou[:, columns]


def _official_state(path: Path) -> tuple[str, dict[str, Tensor]]:
    """The variant and the tensors of a checkpoint, under official names."""
    check_file(path)
    state = read_state_dict(path, again=True)
    identity = identify({name: tuple(value.shape) for name, value in state.items()})
    if identity is None:
        raise CheckpointMismatch(
            f"the checkpoint is of no network that can learn: {path}: one of {', '.join(VARIANTS)} wanted. "
            "Name the file of another model"
        )
    official = state if identity.layout == "official" else official_names(state, str(path))
    return identity.variant, dict(official)
