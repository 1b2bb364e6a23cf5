"""Names and shapes of renamed checkpoints are those of the authors' classes."""

import warnings
from functools import partial

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch
from transformers_models import HIERA_SIZES, VIT_SIZES, hiera_config, image_model, video_model, vit_config

from geosam.errors import CheckpointMismatch
from geosam.segmenters.sam.huggingface import MEMORY_PREFIXES, official_names

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import segment_anything
    import segment_anything_hq
    import transformers
    from sam2.build_sam import build_sam2


@pytest.fixture(scope="module")
def video():
    return video_model()


@pytest.fixture(scope="module")
def image_only(video):
    return image_model(video)


@pytest.mark.parametrize(
    ("authors", "theirs"),
    [
        ("no_mem_embed", "no_memory_embedding"),
        ("no_mem_pos_enc", "no_memory_positional_encoding"),
        ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
        ("no_obj_ptr", "no_object_pointer"),
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
        ("obj_ptr_tpos_proj.weight", "temporal_positional_encoding_projection_layer.weight"),
        ("mask_downsample.weight", "mask_downsample.weight"),
    ],
)
def test_what_a_video_model_only_adds_keeps_its_values(video, authors, theirs):
    assert torch.equal(official_names(video.state_dict())[authors], video.state_dict()[theirs])


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def unfilled(model):
    """The state of a model on the meta device, with tensors that all read one stored zero."""
    return {name: torch.zeros(1).expand(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("size", VIT_SIZES)
@pytest.mark.parametrize("kind", ["sam", "hq"])
def test_every_size_of_sam_has_exactly_the_official_names(kind, size):
    package, model_class = {
        "sam": (segment_anything, transformers.SamModel),
        "hq": (segment_anything_hq, transformers.SamHQModel),
    }[kind]
    config = vit_config(kind, **VIT_SIZES[size])
    with torch.device("meta"):
        theirs, official = model_class(config), package.sam_model_registry[size]()
    assert shapes(official_names(unfilled(theirs))) == shapes(official.state_dict())


@pytest.mark.parametrize("size", HIERA_SIZES)
@pytest.mark.parametrize("release", ["2", "2.1"])
def test_every_size_of_sam2_has_exactly_the_official_names(release, size, monkeypatch):
    new = release == "2.1"
    config = hiera_config(
        transformers.Sam2VideoConfig,
        HIERA_SIZES[size],
        enable_occlusion_spatial_embedding=new,
        enable_temporal_pos_encoding_for_object_pointers=new,
    )
    with torch.device("meta"):
        theirs = transformers.Sam2VideoModel(config)
        # sam2 reads the values of this one while it builds its layers
        monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
        official = build_sam2(f"configs/sam{release}/sam{release}_hiera_{size}.yaml", device="meta")
    assert shapes(official_names(unfilled(theirs))) == shapes(official.state_dict())


def test_a_sam2_without_memory_lacks_exactly_the_memory(image_only, video):
    short, whole = official_names(image_only.state_dict()), official_names(video.state_dict())
    assert shapes(short) == {n: s for n, s in shapes(whole).items() if not n.startswith(MEMORY_PREFIXES)}
    for prefix in MEMORY_PREFIXES:
        assert any(name.startswith(prefix) for name in whole)


def test_no_two_names_become_one_but_the_twice_stored_frequencies(video):
    state = video.state_dict()
    one_less = {name: state[name] for name in state if name != "shared_image_embedding.positional_embedding"}
    assert len(official_names(one_less)) == len(one_less) + 3  # one matrix of points is four tensors
    assert shapes(official_names(one_less)) == shapes(official_names(state))


@pytest.mark.parametrize("stored", ["shared_image_embedding", "prompt_encoder.shared_embedding"])
def test_the_frequencies_are_found_under_either_name_alone(stored):
    state = {f"{stored}.positional_embedding": torch.randn(2, 128)}
    (name,) = official_names(state)
    assert name == "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def test_frequencies_that_contradict_each_other_are_refused():
    state = {
        "shared_image_embedding.positional_embedding": torch.zeros(2, 128),
        "prompt_encoder.shared_embedding.positional_embedding": torch.ones(2, 128),
    }
    with pytest.raises(CheckpointMismatch, match="contradicts itself: some/file:"):
        official_names(state, "some/file")


@pytest.mark.parametrize(
    "name",
    [
        "vision_encoder.layers.0.attn.qkv.lora_A.weight",
        "model.vision_encoder.pos_embed",
        "vision_encoder.layers.x.attn.qkv.weight",
        "vision_encoder.neck.conv1.weight.extra",
        "image_encoder.pos_embed",
        "obj_ptr_proj.layers.0.weight",
    ],
)
@pytest.mark.parametrize("base", ["vision_encoder.pos_embed", "vision_encoder.backbone.pos_embed"])
def test_a_name_that_the_model_does_not_have_is_refused_by_name(name, base):
    state = {base: torch.zeros(1, 4, 4, 8), name: torch.zeros(1)}
    with pytest.raises(CheckpointMismatch, match=f"unknown name: some/file: found '{name}', expected"):
        official_names(state, "some/file")


def test_a_point_embedding_without_rows_is_left_to_the_comparison_of_shapes():
    state = {
        "vision_encoder.backbone.pos_embed": torch.zeros(1),
        "prompt_encoder.point_embed.weight": torch.tensor(1.0),
    }
    assert shapes(official_names(state))["sam_prompt_encoder.point_embeddings.0.weight"] == (1, 1)


def test_nothing_is_copied(video):
    stored = {tensor.untyped_storage().data_ptr() for tensor in video.state_dict().values()}
    assert {tensor.untyped_storage().data_ptr() for tensor in official_names(video.state_dict()).values()} <= stored
