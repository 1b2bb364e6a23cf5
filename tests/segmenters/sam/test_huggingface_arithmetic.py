"""Renamed checkpoints in the authors' classes compute the same from random weights."""

import warnings
from functools import partial
from typing import NamedTuple

import pytest
import torch
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch
from transformers_models import GRID, SIZE, image_model, randomised, video_model, vit_config

from geosam.segmenters.sam.huggingface import official_names

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import segment_anything
    import segment_anything_hq
    import transformers
    from sam2.build_sam import build_sam2

#: About ten times the rounding of float32.
ATOL = 2e-5


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
    """Output of one of Transformers' models: among others, logits and predicted IoU."""
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


def assert_same(found, expected):
    assert found[0].std() > 0.01  # random weights that make an answer of zeros would prove nothing
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=ATOL)


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
    expected = answer(theirs, task, kinds, multimask=multimask)
    assert_same(found, [expected.pred_masks[0], expected.iou_scores[0]])


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
    expected = answer(theirs, task, kinds, multimask=False)
    assert_same(found[:1], [expected.pred_masks[0]])
    torch.testing.assert_close(found[1], expected.iou_scores[0], rtol=0, atol=ATOL)


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
    return video_model()


@pytest.fixture(scope="module")
def image_only(video):
    return image_model(video)


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
    expected = answer(image_only, task, kinds, multimask=multimask)
    masks, iou, _, object_score = official_answer(official_sam2, task, kinds, multimask=multimask)
    assert_same([masks, iou], [expected.pred_masks[0], expected.iou_scores[0]])
    torch.testing.assert_close(object_score, expected.object_score_logits[0], rtol=0, atol=ATOL)


def test_the_memory_of_a_sam2_video_model_computes_the_same_in_sam2(official_sam2, video):
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(3))
    features, mask = draw(1, 256, GRID, GRID), draw(1, 1, SIZE, SIZE)
    encoded = official_sam2.memory_encoder(features, mask, skip_mask_sigmoid=True)["vision_features"]
    assert_same([encoded], [video.memory_encoder(features, mask)[0]])

    now, positions, memory, past = (
        draw(GRID**2 + extra, 1, width) for extra, width in ((0, 256), (0, 256), (4, 64), (4, 64))
    )
    attended = official_sam2.memory_attention(now, memory, positions, past, num_obj_ptr_tokens=4)
    expected = video.memory_attention(now, memory, positions, past, num_object_pointer_tokens=4)
    assert_same([attended.flatten()], [expected.flatten()])

    pointer = draw(5, 256)
    assert_same([official_sam2.obj_ptr_proj(pointer)], [video.object_pointer_proj(pointer)])
