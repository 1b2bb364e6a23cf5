"""Tensors of Hugging Face Transformers under the names of the authors' checkpoints.

    SamModel, SamHQModel       -> segment_anything, segment_anything_hq   (image_encoder.blocks..., mask_decoder...)
    Sam2Model, Sam2VideoModel  -> sam2                                    (image_encoder.trunk..., sam_mask_decoder...)

Each row of the tables reads Transformers' name: the authors' name. No value and no layout changes, except that the
point embeddings of SAM 2, one matrix in Transformers, become rows. `SamModel`, `SamHQModel` and `Sam2VideoModel`
contain all tensors of the authors. `Sam2Model` is the image half of a `Sam2VideoModel`, without the tensors of
`MEMORY_PREFIXES`. Images need none of them; `no_mem_embed`, which images need, is there.

Sources: transformers/models/{sam,sam_hq,sam2,sam2_video}/modeling_*.py for one side, segment_anything/modeling,
segment_anything_hq/modeling and sam2/modeling for the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

import torch

from geosam.errors import CheckpointMismatch

if TYPE_CHECKING:
    from torch import Tensor

#: Prefixes, in the authors' names, of the tensors that a `Sam2VideoModel` has and a `Sam2Model` lacks. For SAM 2.0
#: nobody has `no_obj_embed_spatial` and `obj_ptr_tpos_proj`: they came with 2.1.
MEMORY_PREFIXES: Final = (
    "mask_downsample.",
    "maskmem_tpos_enc",
    "memory_attention.",
    "memory_encoder.",
    "no_mem_pos_enc",
    "no_obj_embed_spatial",
    "no_obj_ptr",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
)

#: Patterns of the blanks in the tables.
_BLANKS: Final = {
    "i": r"\d+",
    "axis": "[hw]",
    "kind": "weight|bias",
    "proj": "[qkv]_proj",
    "attention": "self_attn|cross_attn_token_to_image|cross_attn_image_to_token",
    "memory": "self_attn|cross_attn_image",
}


def _below(theirs: str, authors: str, *tables: Mapping[str, str]) -> dict[str, str]:
    """Return the rows of the tables with a prefix for the names on each side."""
    return {theirs + name: authors + official for table in tables for name, official in table.items()}


def _mlp(theirs: str, authors: str) -> dict[str, str]:
    """Return the rows of a perceptron with three layers."""
    layers = {"proj_in": 0, "layers.0": 1, "proj_out": 2}
    return {f"{theirs}.{name}.{{kind}}": f"{authors}.layers.{number}.{{kind}}" for name, number in layers.items()}


def _sequence(authors: str, modules: Mapping[str, int]) -> dict[str, str]:
    """Return the rows of modules that have numbers in the authors' sequence, where activations count too."""
    return {f"{name}.{{kind}}": f"{authors}.{number}.{{kind}}" for name, number in modules.items()}


#: The image encoder of SAM and HQ-SAM.
_VIT: Final = {
    "pos_embed": "pos_embed",
    "patch_embed.projection.{kind}": "patch_embed.proj.{kind}",
    "layers.{i}.layer_norm{i}.{kind}": "blocks.{i}.norm{i}.{kind}",
    "layers.{i}.attn.rel_pos_{axis}": "blocks.{i}.attn.rel_pos_{axis}",
    "layers.{i}.attn.qkv.{kind}": "blocks.{i}.attn.qkv.{kind}",
    "layers.{i}.attn.proj.{kind}": "blocks.{i}.attn.proj.{kind}",
    "layers.{i}.mlp.lin{i}.{kind}": "blocks.{i}.mlp.lin{i}.{kind}",
    **_sequence("neck", {"neck.conv1": 0, "neck.layer_norm1": 1, "neck.conv2": 2, "neck.layer_norm2": 3}),
}

#: The image encoder of SAM 2: Hiera and the pyramid on it.
_HIERA: Final = {
    "backbone.pos_embed": "trunk.pos_embed",
    "backbone.pos_embed_window": "trunk.pos_embed_window",
    "backbone.patch_embed.projection.{kind}": "trunk.patch_embed.proj.{kind}",
    "backbone.blocks.{i}.layer_norm{i}.{kind}": "trunk.blocks.{i}.norm{i}.{kind}",
    "backbone.blocks.{i}.attn.qkv.{kind}": "trunk.blocks.{i}.attn.qkv.{kind}",
    "backbone.blocks.{i}.attn.proj.{kind}": "trunk.blocks.{i}.attn.proj.{kind}",
    "backbone.blocks.{i}.mlp.proj_in.{kind}": "trunk.blocks.{i}.mlp.layers.0.{kind}",
    "backbone.blocks.{i}.mlp.proj_out.{kind}": "trunk.blocks.{i}.mlp.layers.1.{kind}",
    "backbone.blocks.{i}.proj.{kind}": "trunk.blocks.{i}.proj.{kind}",
    "neck.convs.{i}.{kind}": "neck.convs.{i}.conv.{kind}",
}

_PROMPT_ENCODER: Final = {
    "shared_embedding.positional_embedding": "pe_layer.positional_encoding_gaussian_matrix",
    "no_mask_embed.weight": "no_mask_embed.weight",
    "not_a_point_embed.weight": "not_a_point_embed.weight",
    **_below(
        "mask_embed.",
        "",
        _sequence("mask_downscaling", {"conv1": 0, "layer_norm1": 1, "conv2": 3, "layer_norm2": 4, "conv3": 6}),
    ),
}

_MASK_DECODER: Final = {
    "iou_token.weight": "iou_token.weight",
    "mask_tokens.weight": "mask_tokens.weight",
    "transformer.layers.{i}.{attention}.{proj}.{kind}": "transformer.layers.{i}.{attention}.{proj}.{kind}",
    "transformer.layers.{i}.layer_norm{i}.{kind}": "transformer.layers.{i}.norm{i}.{kind}",
    "transformer.final_attn_token_to_image.{proj}.{kind}": "transformer.final_attn_token_to_image.{proj}.{kind}",
    "transformer.layer_norm_final_attn.{kind}": "transformer.norm_final_attn.{kind}",
    **_sequence("output_upscaling", {"upscale_conv1": 0, "upscale_layer_norm": 1, "upscale_conv2": 3}),
    **_mlp("output_hypernetworks_mlps.{i}", "output_hypernetworks_mlps.{i}"),
    **_mlp("iou_prediction_head", "iou_prediction_head"),
}

#: Rows of the mask decoders of SAM and HQ-SAM only.
_FIRST_DECODER: Final = {
    "transformer.layers.{i}.{attention}.out_proj.{kind}": "transformer.layers.{i}.{attention}.out_proj.{kind}",
    "transformer.layers.{i}.mlp.lin{i}.{kind}": "transformer.layers.{i}.mlp.lin{i}.{kind}",
    "transformer.final_attn_token_to_image.out_proj.{kind}": "transformer.final_attn_token_to_image.out_proj.{kind}",
    "hq_token.weight": "hf_token.weight",
    **_mlp("hq_mask_mlp", "hf_mlp"),
    **_sequence("compress_vit_feat", {"compress_vit_conv1": 0, "compress_vit_norm": 1, "compress_vit_conv2": 3}),
    **_sequence("embedding_encoder", {"encoder_conv1": 0, "encoder_norm": 1, "encoder_conv2": 3}),
    **_sequence("embedding_maskfeature", {"mask_conv1": 0, "mask_norm": 1, "mask_conv2": 3}),
}

#: Rows of the mask decoder of SAM 2 only.
_SECOND_DECODER: Final = {
    "transformer.layers.{i}.{attention}.o_proj.{kind}": "transformer.layers.{i}.{attention}.out_proj.{kind}",
    "transformer.layers.{i}.mlp.proj_in.{kind}": "transformer.layers.{i}.mlp.layers.0.{kind}",
    "transformer.layers.{i}.mlp.proj_out.{kind}": "transformer.layers.{i}.mlp.layers.1.{kind}",
    "transformer.final_attn_token_to_image.o_proj.{kind}": "transformer.final_attn_token_to_image.out_proj.{kind}",
    "obj_score_token.weight": "obj_score_token.weight",
    **_mlp("pred_obj_score_head", "pred_obj_score_head"),
    "conv_s{i}.{kind}": "conv_s{i}.{kind}",
}

#: Rows of the memory of SAM 2. `no_memory_embedding` is added to every image without earlier frames.
_MEMORY: Final = {
    "no_memory_embedding": "no_mem_embed",
    "no_memory_positional_encoding": "no_mem_pos_enc",
    "memory_temporal_positional_encoding": "maskmem_tpos_enc",
    "no_object_pointer": "no_obj_ptr",
    "occlusion_spatial_embedding_parameter": "no_obj_embed_spatial",
    "mask_downsample.{kind}": "mask_downsample.{kind}",
    "temporal_positional_encoding_projection_layer.{kind}": "obj_ptr_tpos_proj.{kind}",
    **_mlp("object_pointer_proj", "obj_ptr_proj"),
    **_below(
        "memory_attention.",
        "memory_attention.",
        {
            "layers.{i}.{memory}.{proj}.{kind}": "layers.{i}.{memory}.{proj}.{kind}",
            "layers.{i}.{memory}.o_proj.{kind}": "layers.{i}.{memory}.out_proj.{kind}",
            "layers.{i}.linear{i}.{kind}": "layers.{i}.linear{i}.{kind}",
            "layers.{i}.layer_norm{i}.{kind}": "layers.{i}.norm{i}.{kind}",
            "layer_norm.{kind}": "norm.{kind}",
        },
    ),
    **_below(
        "memory_encoder.",
        "memory_encoder.",
        {
            "feature_projection.{kind}": "pix_feat_proj.{kind}",
            "projection.{kind}": "out_proj.{kind}",
            "memory_fuser.layers.{i}.scale": "fuser.layers.{i}.gamma",
            "memory_fuser.layers.{i}.depthwise_conv.{kind}": "fuser.layers.{i}.dwconv.{kind}",
            "memory_fuser.layers.{i}.layer_norm.{kind}": "fuser.layers.{i}.norm.{kind}",
            "memory_fuser.layers.{i}.pointwise_conv{i}.{kind}": "fuser.layers.{i}.pwconv{i}.{kind}",
        },
    ),
    **_below(
        "memory_encoder.mask_downsampler.",
        "memory_encoder.mask_downsampler.",
        _sequence("encoder", {f"layers.{level}.conv": 3 * level for level in range(4)}),
        _sequence("encoder", {f"layers.{level}.layer_norm": 3 * level + 1 for level in range(4)}),
        _sequence("encoder", {"final_conv": 12}),
    ),
}


def _shared(prefix: str) -> dict[str, str]:
    """Return the rows of all models. The prefix is that of SAM 2 for the names of encoder and decoder."""
    encoder, decoder = f"{prefix}prompt_encoder.", f"{prefix}mask_decoder."
    return {
        # The frequencies of positions are one matrix. A file has it under this name, the encoder's, or both.
        "shared_image_embedding.positional_embedding": f"{encoder}pe_layer.positional_encoding_gaussian_matrix",
        **_below("prompt_encoder.", encoder, _PROMPT_ENCODER),
        **_below("mask_decoder.", decoder, _MASK_DECODER),
    }


#: SAM and HQ-SAM.
_FIRST: Final = {
    **_shared(""),
    "prompt_encoder.point_embed.{i}.weight": "prompt_encoder.point_embeddings.{i}.weight",
    **_below("vision_encoder.", "image_encoder.", _VIT),
    **_below("mask_decoder.", "mask_decoder.", _FIRST_DECODER),
}
#: SAM 2 and 2.1.
_SECOND: Final = {
    **_shared("sam_"),
    **_below("vision_encoder.", "image_encoder.", _HIERA),
    **_below("mask_decoder.", "sam_mask_decoder.", _SECOND_DECODER),
    **_MEMORY,
}
#: Prefix that distinguishes SAM 2 from SAM.
_HIERA_PREFIX: Final = "vision_encoder.backbone."
#: Point embeddings (4, 256). In the authors' checkpoints of SAM 2 each row is a separate tensor.
_POINTS: Final = "prompt_encoder.point_embed.weight"


def official_names(state: Mapping[str, Tensor], source: str = "in memory") -> dict[str, Tensor]:
    """Rename the tensors of a checkpoint of Transformers as in the authors' checkpoints.

    The tensors are not copied. The point embeddings of SAM 2 are views.

    Args:
        state: tensors by name, of a saved SamModel, SamHQModel, Sam2Model or Sam2VideoModel.
        source: name of the checkpoint, for messages.

    Returns:
        Tensors by name, which the authors' classes load strictly; of a Sam2Model without `MEMORY_PREFIXES`.

    Raises:
        CheckpointMismatch: a tensor has an unknown name, or two tensors that must be equal differ.
    """
    second = any(name.startswith(_HIERA_PREFIX) for name in state)
    official: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if second and name == _POINTS:
            rows = torch.atleast_2d(tensor)  # a wrong shape is refused later, with all shapes
            for i in range(len(rows)):
                official[f"sam_prompt_encoder.point_embeddings.{i}.weight"] = rows[i : i + 1]
            continue
        renamed = _renamed(name, source, second=second)
        if renamed in official and not torch.equal(official[renamed], tensor):
            raise CheckpointMismatch(
                f"the checkpoint contradicts itself: {source}: found two different tensors for {renamed}, one of them "
                f"{name}, expected equal ones.",
                remedy="Save the model again with Transformers, or use the authors' checkpoint.",
                code="tensors-differ",
                source=source,
                tensor=name,
            )
        official[renamed] = tensor
    return official


def _renamed(name: str, source: str, *, second: bool) -> str:
    """Return the authors' name of one tensor of SAM 2 (`second`) or of SAM.

    Raises:
        CheckpointMismatch: the name is unknown.
    """
    for pattern, template in _rules(second=second):
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    models = "Sam2Model or Sam2VideoModel" if second else "SamModel or SamHQModel"
    raise CheckpointMismatch(
        f"a tensor has an unknown name: {source}: found {name!r}, expected the names of Transformers' {models}.",
        remedy="Save the bare model (no wrapper, no adapters), or use the authors' checkpoint.",
        code="tensor-name-unknown",
        source=source,
        tensor=name,
    )


@cache
def _rules(*, second: bool) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return a table as patterns of Transformers' names and templates of the authors', with blanks in one order."""
    rules = []
    for theirs, authors in (_SECOND if second else _FIRST).items():
        pieces = re.split(r"\{(\w+)\}", theirs)
        pieces[::2] = [re.escape(text) for text in pieces[::2]]
        pieces[1::2] = [f"({_BLANKS[blank]})" for blank in pieces[1::2]]
        rules.append((re.compile("".join(pieces)), re.sub(r"\{\w+\}", "{}", authors)))
    return tuple(rules)
