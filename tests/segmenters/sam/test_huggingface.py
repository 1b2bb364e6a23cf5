"""Renamed checkpoints in the authors' classes: names, shapes, and what the networks compute from random weights."""

import re
import warnings
from functools import partial
from typing import NamedTuple

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch

from geosam.errors import CheckpointMismatch
from geosam.segmenters.sam.huggingface import MEMORY_PREFIXES, official_names

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import segment_anything
    import segment_anything_hq
    import transformers
    from sam2.build_sam import build_sam2

SIZE = 256
GRID = SIZE // 16
#: About ten times the rounding of float32.
ATOL = 2e-5

#: How the sizes differ in Transformers; the defaults are ViT-B and Hiera-T.
VIT_SIZES = {
    "vit_b": {},
    "vit_l": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "vit_h": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}
HIERA_SIZES = {
    "t": {},
    "s": {"blocks_per_stage": [1, 2, 11, 2]},
    "b+": {
        "hidden_size": 112,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "blocks_per_stage": [2, 3, 16, 3],
        "window_positional_embedding_background_size": [14, 14],
    },
    "l": {
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "blocks_per_stage": [2, 6, 36, 4],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}


def vit_config(kind, image_size=1024, **vision):
    config_class = {"sam": transformers.SamConfig, "hq": transformers.SamHQConfig}[kind]
    return config_class(
        vision_config={"image_size": image_size, **vision},
        prompt_encoder_config={"image_size": image_size},
        mask_decoder_config={"vit_dim": vision.get("hidden_size", 768)} if kind == "hq" else {},
    )


def hiera_config(config_class, backbone, pixels=1024, **options):
    config = transformers.Sam2HieraDetConfig(image_size=[pixels, pixels], **backbone)
    vision = transformers.Sam2VisionConfig(
        backbone_config=config,
        backbone_channel_list=config.embed_dim_per_stage[::-1],
        backbone_feature_sizes=[[pixels // stride] * 2 for stride in (4, 8, 16)],
    )
    return config_class(vision_config=vision, prompt_encoder_config={"image_size": pixels}, **options)


#: How large random weights are, so that each of them shows in the answer and rounding does not.
SCALES = {
    r"rel_pos|no_mask|bias$": 0.3,
    r"[qk]_proj\.weight|qkv\.weight": 0.1,
    r"embed\.(\d\.)?weight|point_embed|token\.weight|tokens\.weight": 1.0,
}


def randomised(model):
    """The model with every tensor drawn anew, tables that start as zeros and single embeddings included."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        scale = next((scale for words, scale in SCALES.items() if re.search(words, name)), 0.03)
        tensor.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else noise * scale)
    for twin in ("shared_image_embedding", "prompt_encoder.shared_embedding"):
        model.get_submodule(twin).positional_embedding.copy_(torch.randn(2, 128, generator=generator.manual_seed(8)))
    return model.eval()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


class Task(NamedTuple):
    image: torch.Tensor
    points: torch.Tensor
    """(B, N, 2) in index coordinates; B is 1."""
    labels: torch.Tensor
    box: torch.Tensor
    """(B, 4)"""
    mask: torch.Tensor
    """(B, 1, 64, 64) logits."""


@pytest.fixture(scope="module")
def task():
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(1))
    return Task(
        image=draw(1, 3, SIZE, SIZE),
        points=torch.tensor([[[40.0, 90.0], [200.0, 15.0]]]),
        labels=torch.tensor([[1, 0]]),
        box=torch.tensor([[20.0, 30.0, 150.0, 222.0]]),
        mask=draw(1, 1, 4 * GRID, 4 * GRID),
    )


PROMPTS = pytest.mark.parametrize("kinds", ["points", "points and box", "points, box and mask"])
MASKS = pytest.mark.parametrize("multimask", [False, True], ids=["single mask", "three masks"])


def answer(model, task, kinds, *, multimask):
    """What one of Transformers' models says: among others, logits and predicted IoU."""
    _, points, labels, box, mask = task
    return model(
        pixel_values=task.image,
        input_points=points[None],
        input_labels=labels[None],
        input_boxes=box[None] if "box" in kinds else None,
        input_masks=mask if "mask" in kinds else None,
        multimask_output=multimask,
    )


def official_prompts(encoder, task, kinds):
    """Sparse and dense embeddings from one of the authors' prompt encoders."""
    _, points, labels, box, mask = task
    return encoder(
        points=(points, labels), boxes=box if "box" in kinds else None, masks=mask if "mask" in kinds else None
    )


def assert_same(found, wanted):
    assert found[0].std() > 0.01  # random weights that make an answer of zeros would prove nothing
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=ATOL)


def small_sam(package, decoder_class):
    """One of the authors' two SAM classes with a small encoder."""
    parts = package.modeling
    transformer = parts.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    extra = {"vit_dim": 32} if decoder_class == "MaskDecoderHQ" else {}
    return parts.Sam(
        image_encoder=parts.ImageEncoderViT(
            img_size=SIZE,
            embed_dim=32,
            depth=3,
            num_heads=2,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=parts.PromptEncoder(256, (GRID, GRID), (SIZE, SIZE), 16),
        mask_decoder=getattr(parts, decoder_class)(transformer_dim=256, transformer=transformer, **extra),
    ).eval()


def small_vit(model_class, kind):
    config = vit_config(kind, SIZE, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, global_attn_indexes=[1])
    return randomised(model_class(config))


@MASKS
@PROMPTS
def test_sam_from_transformers_computes_the_same_in_segment_anything(task, kinds, multimask):
    theirs = small_vit(transformers.SamModel, "sam")
    official = small_sam(segment_anything, "MaskDecoder")
    official.load_state_dict(official_names(theirs.state_dict()), strict=True)
    sparse, dense = official_prompts(official.prompt_encoder, task, kinds)
    found = official.mask_decoder(
        official.image_encoder(task.image),
        official.prompt_encoder.get_dense_pe(),
        sparse,
        dense,
        multimask_output=multimask,
    )
    wanted = answer(theirs, task, kinds, multimask=multimask)
    assert_same(found, [wanted.pred_masks[0], wanted.iou_scores[0]])


class WithoutImage(torch.nn.Module):
    """A two-way transformer whose image side is thrown away, for the image as it came in, rows and columns swapped.

    So it is in Transformers 5.23 (SamHQMaskDecoder.forward assigns the result to a name that it does not read again).
    So the masks of a SamHQModel are not those of HQ-SAM, while names and values of the weights are right.
    """

    def __init__(self, transformer):
        super().__init__()
        self.transformer = transformer

    def forward(self, image, positions, tokens):
        return self.transformer(image, positions, tokens)[0], image.transpose(2, 3).flatten(2).transpose(1, 2)


@PROMPTS
def test_sam_hq_from_transformers_computes_the_same_in_segment_anything_hq(task, kinds):
    theirs = small_vit(transformers.SamHQModel, "hq")
    official = small_sam(segment_anything_hq, "MaskDecoderHQ")
    official.load_state_dict(official_names(theirs.state_dict()), strict=True)
    sparse, dense = official_prompts(official.prompt_encoder, task, kinds)
    features, early = official.image_encoder(task.image)
    official.mask_decoder.transformer = WithoutImage(official.mask_decoder.transformer)
    found = official.mask_decoder(
        features,
        official.prompt_encoder.get_dense_pe(),
        sparse,
        dense,
        multimask_output=False,
        hq_token_only=False,
        interm_embeddings=early,
    )
    wanted = answer(theirs, task, kinds, multimask=False)
    assert_same(found[:1], [wanted.pred_masks[0]])
    torch.testing.assert_close(found[1], wanted.iou_scores[0], rtol=0, atol=ATOL)


SMALL_HIERA = {
    "hidden_size": 32,
    "embed_dim_per_stage": [32, 64, 128, 256],
    "blocks_per_stage": [1, 2, 3, 2],
    "global_attention_blocks": [4],
}
SMALL_OFFICIAL = [
    f"model.image_size={SIZE}",
    "model.image_encoder.trunk.embed_dim=32",
    "model.image_encoder.trunk.stages=[1,2,3,2]",
    "model.image_encoder.trunk.global_att_blocks=[4]",
    "model.image_encoder.neck.backbone_channel_list=[256,128,64,32]",
    "model.memory_attention.num_layers=2",
    f"model.memory_attention.layer.self_attention.feat_sizes=[{GRID},{GRID}]",
    f"model.memory_attention.layer.cross_attention.feat_sizes=[{GRID},{GRID}]",
]


@pytest.fixture(scope="module")
def video():
    config = hiera_config(
        transformers.Sam2VideoConfig,
        SMALL_HIERA,
        SIZE,
        image_size=SIZE,
        memory_attention_num_layers=2,
        memory_attention_rope_feat_sizes=[GRID, GRID],
    )
    with torch.inference_mode():
        return randomised(transformers.Sam2VideoModel(config))


@pytest.fixture(scope="module")
def official_sam2(video):
    with torch.inference_mode():
        model = build_sam2(
            "configs/sam2.1/sam2.1_hiera_t.yaml",
            device="cpu",
            hydra_overrides_extra=SMALL_OFFICIAL,
            apply_postprocessing=False,  # what it chooses for an unstable mask would hide the single mask
        )
        model.load_state_dict(official_names(video.state_dict()), strict=True)
        return model.eval()


@pytest.fixture(scope="module")
def image_only(video):
    """The Sam2Model that Transformers makes of the Sam2VideoModel."""
    single = {"dynamic_multimask_via_stability": False}
    config = hiera_config(transformers.Sam2Config, SMALL_HIERA, SIZE, mask_decoder_config=single)
    with torch.inference_mode():
        model = transformers.Sam2Model(config)
        model.load_state_dict({name: video.state_dict()[name] for name in model.state_dict()}, strict=True)
        return model.eval()


def official_answer(model, task, kinds, *, multimask):
    _, (high, middle, low), *_ = model._prepare_backbone_features(model.forward_image(task.image))
    maps = [
        features.permute(1, 2, 0).reshape(1, -1, GRID * scale, GRID * scale)
        for features, scale in ((high, 4), (middle, 2), (low + model.no_mem_embed, 1))
    ]
    _, points, labels, box, mask = task
    if "box" in kinds:  # sam2's predictor gives boxes as two more points, and Transformers does what that amounts to
        points = torch.cat([points, box.reshape(1, 2, 2)], dim=1)
        labels = torch.cat([labels, torch.tensor([[2, 3]])], dim=1)
    sparse, dense = model.sam_prompt_encoder(
        points=(points, labels), boxes=None, masks=mask if "mask" in kinds else None
    )
    return model.sam_mask_decoder(
        image_embeddings=maps[2],
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        repeat_image=False,
        high_res_features=maps[:2],
    )


@MASKS
@PROMPTS
def test_sam2_from_transformers_computes_the_same_in_sam2(official_sam2, image_only, task, kinds, multimask):
    wanted = answer(image_only, task, kinds, multimask=multimask)
    masks, iou, _, object_score = official_answer(official_sam2, task, kinds, multimask=multimask)
    assert_same([masks, iou], [wanted.pred_masks[0], wanted.iou_scores[0]])
    torch.testing.assert_close(object_score, wanted.object_score_logits[0], rtol=0, atol=ATOL)


def test_the_memory_of_a_sam2_video_model_computes_the_same_in_sam2(official_sam2, video):
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(3))
    features, mask = draw(1, 256, GRID, GRID), draw(1, 1, SIZE, SIZE)
    encoded = official_sam2.memory_encoder(features, mask, skip_mask_sigmoid=True)["vision_features"]
    assert_same([encoded], [video.memory_encoder(features, mask)[0]])

    now, positions, memory, past = (
        draw(GRID**2 + extra, 1, width) for extra, width in ((0, 256), (0, 256), (4, 64), (4, 64))
    )
    attended = official_sam2.memory_attention(now, memory, positions, past, num_obj_ptr_tokens=4)
    wanted = video.memory_attention(now, memory, positions, past, num_object_pointer_tokens=4)
    assert_same([attended.flatten()], [wanted.flatten()])

    pointer = draw(5, 256)
    assert_same([official_sam2.obj_ptr_proj(pointer)], [video.object_pointer_proj(pointer)])


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
    with pytest.raises(CheckpointMismatch, match=f"unknown name: some/file: '{name}' found"):
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
