"""Which official model a checkpoint belongs to, told from the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Shapes = Mapping[str, tuple[int, ...]]


class Identity(NamedTuple):
    """The model that a checkpoint belongs to."""

    variant: str
    """Its name in the registry, such as `sam_vit_b` or `sam2.1_hiera_tiny`."""
    layout: Literal["official", "huggingface"]
    """Whether the tensors have the authors' names or those of Hugging Face Transformers."""


class _Layout(NamedTuple):
    """The tensor names that tell the models apart, in one naming scheme."""

    name: Literal["official", "huggingface"]
    vit_positions: str
    """(1, 64, 64, width)."""
    vit_blocks: str
    hq_token: str
    hiera_patches: str
    """(width, 3, 7, 7)."""
    hiera_blocks: str
    tracking: str
    """In any SAM 2 checkpoint that can follow objects through a video, as all official ones can."""
    no_object: str
    """SAM 2.1 only."""


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
#: First convolution of TinyViT, which Transformers does not have.
_TINY_PATCHES: Final = "image_encoder.patch_embed.seq.0.c.weight"
#: HQ-SAM 2, which geosam does not have: a SAM 2 with one more output token.
_HQ2_TOKEN: Final = "sam_mask_decoder.hf_token.weight"  # noqa: S105 - no secret

#: (width, depth) of the encoder -> size.
_VIT: Final = {(768, 12): "b", (1024, 24): "l", (1280, 32): "h"}
_HIERA: Final = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base_plus", (144, 48): "large"}


def identify(names_and_shapes: Shapes) -> Identity | None:
    """The model that tensors of these names and shapes belong to; None if it is none that geosam knows.

    Only what tells the models apart is looked at, so that a checkpoint with a tensor too many or too few is still
    called by its name. An image-only SAM 2 from Transformers has no tensor that differs between 2.0 and 2.1: it is
    called 2.1, and computes the same under either name.

    Args:
        names_and_shapes: Tensor name -> shape, without prefixes such as `module.`.
    """
    for layout in (_OFFICIAL, _HUGGINGFACE):
        variant = _vit(names_and_shapes, layout) or _hiera(names_and_shapes, layout)
        if variant is not None:
            return Identity(variant, layout.name)
    if _TINY_PATCHES in names_and_shapes:
        return Identity("sam_hq_vit_tiny" if _OFFICIAL.hq_token in names_and_shapes else "mobile_sam", "official")
    return None


def _vit(tensors: Shapes, layout: _Layout) -> str | None:
    size = _VIT.get((_width(tensors, layout.vit_positions, -1), _depth(tensors, layout.vit_blocks)))
    if size is None:
        return None
    return f"sam_hq_vit_{size}" if layout.hq_token in tensors else f"sam_vit_{size}"


def _hiera(tensors: Shapes, layout: _Layout) -> str | None:
    size = _HIERA.get((_width(tensors, layout.hiera_patches, 0), _depth(tensors, layout.hiera_blocks)))
    if size is None or _HQ2_TOKEN in tensors:
        return None
    first = layout.tracking in tensors and layout.no_object not in tensors
    return f"sam2_hiera_{size}" if first else f"sam2.1_hiera_{size}"


def _width(tensors: Shapes, name: str, axis: int) -> int:
    """Length of one axis of a tensor of four axes; 0 if there is no such tensor."""
    shape = tensors.get(name, ())
    return shape[axis] if len(shape) == 4 else 0


def _depth(tensors: Shapes, prefix: str) -> int:
    """Number of blocks: of different numbers behind the prefix."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix)})
