"""The networks of the SAM family by name, and their parameters from the tensors of a checkpoint.

Parameters have the official names. Where SAM and SAM 2 differ, they have SAM 2's names without the prefix `sam_`. The
names of SAM 2's parameters for time series begin with `memory.`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch

from geosam.errors import CheckpointMismatch
from geosam.segmenters.sam.hiera import HIERA_BASE_PLUS, HIERA_LARGE, HIERA_SMALL, HIERA_TINY, HieraConfig, HieraEncoder
from geosam.segmenters.sam.huggingface import MEMORY_PREFIXES
from geosam.segmenters.sam.mask_decoder import SAM, SAM2, DecoderConfig, MaskDecoder, hq_sam
from geosam.segmenters.sam.memory import SAM2_0, SAM2_1, Memory, MemoryConfig, StillImage
from geosam.segmenters.sam.model import SamModel
from geosam.segmenters.sam.prompt_encoder import PromptEncoder
from geosam.segmenters.sam.tiny_vit import TINY_VIT, TinyViT, TinyViTConfig
from geosam.segmenters.sam.vit import VIT_B, VIT_H, VIT_L, ViT, ViTConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

EncoderConfig: TypeAlias = ViTConfig | TinyViTConfig | HieraConfig


@dataclass(frozen=True)
class Variant:
    """Sizes of one network of the family."""

    encoder: EncoderConfig
    """Sizes of the image encoder."""
    decoder: DecoderConfig
    """Sizes of the mask decoder."""
    memory: MemoryConfig | None = None
    """Memory of SAM 2; None for the other networks."""
    frame: int = 1024
    """Side of the input in pixels."""


def _hq_variant(encoder: ViTConfig | TinyViTConfig) -> Variant:
    """Return HQ-SAM with an image encoder of SAM or MobileSAM."""
    width = encoder.widths[2] if isinstance(encoder, TinyViTConfig) else encoder.width
    return Variant(replace(encoder, keep_early=True), hq_sam(width))


_HIERAS = {"tiny": HIERA_TINY, "small": HIERA_SMALL, "base_plus": HIERA_BASE_PLUS, "large": HIERA_LARGE}
_VITS = {"vit_b": VIT_B, "vit_l": VIT_L, "vit_h": VIT_H}

#: Every network by the name of its official checkpoint.
VARIANTS: Mapping[str, Variant] = {
    **{f"sam_{name}": Variant(config, SAM) for name, config in _VITS.items()},
    "mobile_sam": Variant(TINY_VIT, SAM),
    **{f"sam2_hiera_{name}": Variant(config, SAM2, SAM2_0) for name, config in _HIERAS.items()},
    **{f"sam2.1_hiera_{name}": Variant(config, SAM2, SAM2_1) for name, config in _HIERAS.items()},
    **{f"sam_hq_{name}": _hq_variant(config) for name, config in _VITS.items()},
    "sam_hq_vit_tiny": _hq_variant(TINY_VIT),
}

#: Official names -> names of geosam. The first pattern that matches applies.
_RENAMES = (
    (re.compile(r"sam_(prompt_encoder|mask_decoder)\."), r"\1."),
    (re.compile(r"(mask_decoder\.transformer\.layers\.\d+\.mlp)\.lin1\."), r"\1.layers.0."),
    (re.compile(r"(mask_decoder\.transformer\.layers\.\d+\.mlp)\.lin2\."), r"\1.layers.1."),
    (re.compile(r"(image_encoder|prompt_encoder|mask_decoder)\."), r"\1."),
    (re.compile(r""), r"memory."),
)


def image_encoder(config: EncoderConfig) -> nn.Module:
    """Build an image encoder with random weights."""
    if isinstance(config, ViTConfig):
        return ViT(config)
    return TinyViT(config) if isinstance(config, TinyViTConfig) else HieraEncoder(config)


def build(variant: Variant) -> SamModel:
    """Build a network with random weights, in evaluation mode."""
    return SamModel(
        image_encoder(variant.encoder),
        PromptEncoder(frame=variant.frame),
        MaskDecoder(variant.decoder),
        None if variant.memory is None else Memory(variant.memory),
    ).eval()


def canonical(name: str) -> str:
    """Return geosam's name of a parameter with an official name."""
    pattern, ours = next(rename for rename in _RENAMES if rename[0].match(name))
    return pattern.sub(ours, name, count=1)


def load(variant: Variant, state: Mapping[str, Tensor], source: str) -> SamModel:
    """Build a network from the tensors of a checkpoint under official names. None may be missing or left over.

    Args:
        variant: sizes of the network.
        state: float32 tensors by name. They become the network's parameters.
        source: name of the checkpoint, for messages.

    Raises:
        CheckpointMismatch: names or shapes differ from the variant's.
    """
    with torch.device("meta"):  # without memory: every tensor comes from the checkpoint
        model = build(variant)
        if variant.memory is not None and not any(name.startswith(MEMORY_PREFIXES) for name in state):
            model.memory = StillImage()  # Transformers can save the image half of SAM 2 alone
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        if canonical(name) in ours:
            raise CheckpointMismatch(
                f"the checkpoint has a tensor twice: {source}: found {name} under two names, expected one.",
                remedy="Use the official file.",
                code="tensor-twice",
                source=source,
                tensor=name,
            )
        ours[canonical(name)] = value
    expected = {name: _signature(value) for name, value in model.state_dict().items()}
    found = {name: _signature(value) for name, value in ours.items()}
    if found != expected:
        raise CheckpointMismatch(
            f"the tensors do not fit the network: {source}: {_difference(found, expected)}.",
            remedy="Use the official file, or one with the same tensors.",
            code="tensors-do-not-fit",
            source=source,
        )
    model.load_state_dict(ours, assign=True)
    return model.requires_grad_(requires_grad=False)


#: Shape and kind of numbers of a tensor.
_Signature: TypeAlias = tuple[tuple[int, ...], str]


def _signature(value: Tensor) -> _Signature:
    """Return shape and kind of numbers. The precision of floating point numbers does not matter."""
    return tuple(value.shape), "floating point" if value.is_floating_point() else "whole numbers"


def _difference(found: dict[str, _Signature], expected: dict[str, _Signature]) -> str:
    """Describe the first tensor that differs, and the number of the others."""
    names = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    first, more = names[0], f" and {len(names) - 1} more" if len(names) > 1 else ""
    if first not in found:
        return f"{first} is missing{more}"
    if first not in expected:
        return f"{first} {found[first][0]} is unknown{more}"
    part = 0 if found[first][0] != expected[first][0] else 1
    return f"{first}: found {found[first][part]}, expected {expected[first][part]}{more}"
