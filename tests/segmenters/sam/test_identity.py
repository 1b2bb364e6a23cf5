"""The oracle is the authors' code (and Transformers): their modules, built without memory, name the tensors."""

import warnings
from functools import partial

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchvision_shim  # noqa: F401 - before the references
    from hydra import compose
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from sam2 import build_sam  # noqa: F401 - registers its configurations
    from segment_anything import sam_model_registry
    from segment_anything_hq import sam_model_registry as hq_registry
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2Model,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VisionConfig,
        SamConfig,
        SamHQConfig,
        SamHQModel,
        SamModel,
    )

from geosam.segmenters.sam.identity import Identity, identify

SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
#: What HQ-SAM adds to the decoder.
HQ = tuple(
    f"mask_decoder.{part}"
    for part in ("hf_token", "hf_mlp", "compress_vit_feat", "embedding_encoder", "embedding_maskfeature")
)


def shapes_of(build):
    """Tensor name -> shape of a model that is built on the meta device, schedules of drop rates apart."""
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
        return {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def sam2(family, size):
    config = compose(config_name=f"configs/{family}/{family}_hiera_{size}.yaml")
    OmegaConf.resolve(config)
    return shapes_of(lambda: instantiate(config.model, _recursive_=True))


@pytest.mark.fault("C11")
@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_sam_is_told_by_its_encoder(size):
    assert identify(shapes_of(sam_model_registry[f"vit_{size}"])) == (f"sam_vit_{size}", "official")


@pytest.mark.fault("C11")
@pytest.mark.parametrize("size", ["b", "l", "h", "tiny"])
def test_hq_sam_is_told_by_its_token(size):
    assert identify(shapes_of(hq_registry[f"vit_{size}"])) == (f"sam_hq_vit_{size}", "official")


@pytest.mark.fault("C11")
def test_mobile_sam_is_light_hq_sam_without_its_token():
    tensors = shapes_of(hq_registry["vit_tiny"])
    tensors = {name: shape for name, shape in tensors.items() if not name.startswith(HQ)}
    assert len(tensors) == 439
    assert identify(tensors) == ("mobile_sam", "official")


@pytest.mark.fault("C11")
@pytest.mark.parametrize("family", ["sam2", "sam2.1"])
@pytest.mark.parametrize("size", list(SIZES))
def test_sam_2_and_2_1_are_told_apart(family, size):
    assert identify(sam2(family, size)) == (f"{family}_hiera_{SIZES[size]}", "official")


@pytest.mark.fault("C11")
@pytest.mark.parametrize(("size", "width", "depth"), [("b", 768, 12), ("l", 1024, 24), ("h", 1280, 32)])
@pytest.mark.parametrize("name", ["sam", "sam_hq"])
def test_sam_in_the_layout_of_transformers(name, size, width, depth):
    config, model = {"sam": (SamConfig, SamModel), "sam_hq": (SamHQConfig, SamHQModel)}[name]
    encoder = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": width // 64}
    found = identify(shapes_of(lambda: model(config(vision_config=encoder))))
    assert found == (f"{name}_vit_{size}", "huggingface")


BACKBONES = {
    "tiny": ((96, 192, 384, 768), (1, 2, 7, 2)),
    "small": ((96, 192, 384, 768), (1, 2, 11, 2)),
    "base_plus": ((112, 224, 448, 896), (2, 3, 16, 3)),
    "large": ((144, 288, 576, 1152), (2, 6, 36, 4)),
}


def vision(size):
    widths, blocks = BACKBONES[size]
    backbone = Sam2HieraDetConfig(
        hidden_size=widths[0], embed_dim_per_stage=list(widths), blocks_per_stage=list(blocks), num_attention_heads=1
    )
    return Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=list(widths[::-1]))


@pytest.mark.fault("C11")
@pytest.mark.parametrize("size", list(BACKBONES))
def test_sam_2_in_the_layout_of_transformers(size):
    tensors = shapes_of(lambda: Sam2VideoModel(Sam2VideoConfig(vision_config=vision(size))))
    assert identify(tensors) == (f"sam2.1_hiera_{size}", "huggingface")
    first = {name: shape for name, shape in tensors.items() if name != "occlusion_spatial_embedding_parameter"}
    assert identify(first) == (f"sam2_hiera_{size}", "huggingface")


def test_an_image_only_sam_2_of_transformers_is_called_2_1():
    tensors = shapes_of(lambda: Sam2Model(Sam2Config(vision_config=vision("tiny"))))
    assert identify(tensors) == ("sam2.1_hiera_tiny", "huggingface")


@pytest.mark.fault("C12")
def test_a_tensor_too_many_or_too_few_does_not_hide_the_model():
    tensors = shapes_of(sam_model_registry["vit_b"])
    del tensors["mask_decoder.iou_token.weight"]
    assert identify(tensors | {"more": (1,)}) == Identity("sam_vit_b", "official")


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"conv1.weight": (64, 3, 7, 7)},
        {"image_encoder.pos_embed": (1, 64, 64, 512)},
        {"image_encoder.pos_embed": (768,)},
        {"image_encoder.pos_embed": (1, 64, 64, 768), "image_encoder.blocks.0.norm1.weight": (768,)},
        {"image_encoder.trunk.patch_embed.proj.weight": (96, 3, 7, 7)},
    ],
)
def test_other_networks_are_not_named(tensors):
    assert identify(tensors) is None


def test_hq_sam_2_is_not_taken_for_sam_2():
    assert identify(sam2("sam2.1", "t") | {"sam_mask_decoder.hf_token.weight": (1, 256)}) is None
