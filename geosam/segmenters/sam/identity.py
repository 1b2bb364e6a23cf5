"""The official model of a checkpoint, recognised by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Shapes = Mapping[str, tuple[int, ...]]


class Identity(NamedTuple):
    """The official model of a checkpoint, and the naming scheme of its tensors."""

    variant: str
    """Name of the model in the registry, such as `sam_vit_b` or `sam2.1_hiera_tiny`."""
    layout: Literal["official", "huggingface"]
    """Naming scheme: the authors' names, or the names of Hugging Face Transformers."""


class _Layout(NamedTuple):
    """Names of the tensors that distinguish the models, in one naming scheme."""

    name: Literal["official", "huggingface"]
    vit_positions: str
    """Position embedding (1, 64, 64, width) of the ViT encoders."""
    vit_blocks: str
    hq_token: str
    hiera_patches: str
    """Patch embedding (width, 3, 7, 7) of the Hiera encoders."""
    hiera_blocks: str
    tracking: str
    """Tensor of every SAM 2 checkpoint with a memory, as all official ones have."""
    no_object: str
    """Tensor of SAM 2.1 only."""


_OFFICIAL: Final = _Layout(
    name="official",
    vit_positions="image_encoder.pos_embed",
    vit_blocks="image_encoder.blocks.",
    hq_token="mask_decoder.hf_token.weight",  # noqa: S106 - no secret
    hiera_patches="image_encoder.trunk.patch_embed.proj.weight",
    hiera_blocks="image_encoder.trunk.blocks.",
    tracking="maskmem_tpos_enc",
    no_object="no_obj_embed_spatial",
)
_HUGGINGFACE: Final = _Layout(
    name="huggingface",
    vit_positions="vision_encoder.pos_embed",
    vit_blocks="vision_encoder.layers.",
    hq_token="mask_decoder.hq_token.weight",  # noqa: S106 - no secret
    hiera_patches="vision_encoder.backbone.patch_embed.projection.weight",
    hiera_blocks="vision_encoder.backbone.blocks.",
    tracking="memory_temporal_positional_encoding",
    no_object="occlusion_spatial_embedding_parameter",
)
#: First convolution of TinyViT. Transformers has no TinyViT.
_TINY_PATCHES: Final = "image_encoder.patch_embed.seq.0.c.weight"
#: Token of HQ-SAM 2, which geosam does not support: a SAM 2 with one more output token.
_HQ2_TOKEN: Final = "sam_mask_decoder.hf_token.weight"  # noqa: S105 - no secret

#: (width, depth) of the encoder -> size.
_VIT: Final = {(768, 12): "b", (1024, 24): "l", (1280, 32): "h"}
_HIERA: Final = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base_plus", (144, 48): "large"}


def identify(names_and_shapes: Shapes) -> Identity | None:
    """Return the model to which tensors of these names and shapes belong, None for other models.

    A checkpoint with a tensor too many or too few is recognised too: only the tensors that distinguish models count. An
    image-only SAM 2 from Transformers has no tensor that differs between 2.0 and 2.1. It is identified as 2.1, and
    computes the same under either name.

    Args:
        names_and_shapes: shapes by tensor name, without prefixes such as `module.`.
    """
    for layout in (_OFFICIAL, _HUGGINGFACE):
        variant = _vit(names_and_shapes, layout) or _hiera(names_and_shapes, layout)
        if variant is not None:
            return Identity(variant, layout.name)
    if _TINY_PATCHES in names_and_shapes:
        return Identity("sam_hq_vit_tiny" if _OFFICIAL.hq_token in names_and_shapes else "mobile_sam", "official")
    return None


def _vit(tensors: Shapes, layout: _Layout) -> str | None:
    """Return the name of a SAM or HQ-SAM, None for other models."""
    size = _VIT.get((_width(tensors, layout.vit_positions, -1), _depth(tensors, layout.vit_blocks)))
    if size is None:
        return None
    return f"sam_hq_vit_{size}" if layout.hq_token in tensors else f"sam_vit_{size}"


def _hiera(tensors: Shapes, layout: _Layout) -> str | None:
    """Return the name of a SAM 2 or 2.1, None for other models."""
    size = _HIERA.get((_width(tensors, layout.hiera_patches, 0), _depth(tensors, layout.hiera_blocks)))
    if size is None or _HQ2_TOKEN in tensors:
        return None
    is_sam2_0 = layout.tracking in tensors and layout.no_object not in tensors
    return f"sam2_hiera_{size}" if is_sam2_0 else f"sam2.1_hiera_{size}"


def _width(tensors: Shapes, name: str, axis: int) -> int:
    """Return the length of one axis of a tensor with four axes, 0 without such a tensor."""
    shape = tensors.get(name, ())
    return shape[axis] if len(shape) == 4 else 0


def _depth(tensors: Shapes, prefix: str) -> int:
    """Count the blocks, which are the different numbers behind the prefix."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix)})
