"""The networks of the SAM family by name: variants are numbers, and this is where they stand.

`load` turns the tensors of a checkpoint into a network. Parameters have the official names; where SAM and SAM 2 differ,
SAM 2's, without its prefixes `sam_`. What SAM 2 has for time series lies below `memory.`.
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
    """A network of the family."""

    encoder: EncoderConfig
    """Numbers of its image encoder."""
    decoder: DecoderConfig
    """Numbers of its mask decoder."""
    memory: MemoryConfig | None = None
    """SAM 2: what follows objects through time."""
    frame: int = 1024
    """Side of the pictures in pixels."""


def _with_early(encoder: ViTConfig | TinyViTConfig) -> Variant:
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
    **{f"sam_hq_{name}": _with_early(config) for name, config in _VITS.items()},
    "sam_hq_vit_tiny": _with_early(TINY_VIT),
}

#: Official names -> ours, the first that fits.
_RENAMES = (
    (re.compile(r"sam_(prompt_encoder|mask_decoder)\."), r"\1."),
    (re.compile(r"(mask_decoder\.transformer\.layers\.\d+\.mlp)\.lin1\."), r"\1.layers.0."),
    (re.compile(r"(mask_decoder\.transformer\.layers\.\d+\.mlp)\.lin2\."), r"\1.layers.1."),
    (re.compile(r"(image_encoder|prompt_encoder|mask_decoder)\."), r"\1."),
    (re.compile(r""), r"memory."),
)


def image_encoder(config: EncoderConfig) -> nn.Module:
    """An image encoder with random weights."""
    if isinstance(config, ViTConfig):
        return ViT(config)
    return TinyViT(config) if isinstance(config, TinyViTConfig) else HieraEncoder(config)


def build(variant: Variant) -> SamModel:
    """A network with random weights, in evaluation mode."""
    return SamModel(
        image_encoder(variant.encoder),
        PromptEncoder(frame=variant.frame),
        MaskDecoder(variant.decoder),
        None if variant.memory is None else Memory(variant.memory),
    ).eval()


def canonical(name: str) -> str:
    """Our name of a parameter with an official one."""
    pattern, ours = next(rename for rename in _RENAMES if rename[0].match(name))
    return pattern.sub(ours, name, count=1)


def load(variant: Variant, state: Mapping[str, Tensor], source: str) -> SamModel:
    """The network with the tensors of a checkpoint under official names, none missing and none left over.

    Args:
        variant: which one.
        state: float32 tensors; they become the network's.
        source: where they come from, for messages.

    Raises:
        CheckpointMismatch: names or shapes differ from the variant's.
    """
    with torch.device("meta"):
        model = build(variant)
        if variant.memory is not None and not any(name.startswith(MEMORY_PREFIXES) for name in state):
            model.memory = StillImage()  # the image half of SAM 2, which Hugging Face Transformers can save alone
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        if canonical(name) in ours:
            raise CheckpointMismatch(
                f"a tensor stands there twice: {source}: {name}, once wanted. Use the official file."
            )
        ours[canonical(name)] = value
    wanted = {name: _facts(value) for name, value in model.state_dict().items()}
    found = {name: _facts(value) for name, value in ours.items()}
    if found != wanted:
        raise CheckpointMismatch(
            f"the tensors do not fit the network: {source}: {_difference(found, wanted)}. "
            "Use the official file, or one with the same tensors."
        )
    model.load_state_dict(ours, assign=True)
    return model.requires_grad_(requires_grad=False)


_Facts: TypeAlias = tuple[tuple[int, ...], str]


def _facts(value: Tensor) -> _Facts:
    """Shape and kind; how long floating point numbers are does not matter."""
    return tuple(value.shape), "floating point" if value.is_floating_point() else "whole numbers"


def _difference(found: dict[str, _Facts], wanted: dict[str, _Facts]) -> str:
    """The first tensor that differs, and how many do."""
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    first, more = names[0], f" and {len(names) - 1} more" if len(names) > 1 else ""
    if first not in found:
        return f"{first} is missing{more}"
    if first not in wanted:
        return f"{first} {found[first][0]} is unknown{more}"
    different = 0 if found[first][0] != wanted[first][0] else 1
    return f"{first} {found[first][different]} found, {wanted[first][different]} wanted{more}"
