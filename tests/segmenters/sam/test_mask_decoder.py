"""Mask decoder against the official ones of SAM, SAM 2 and HQ-SAM under shared random weights."""

from typing import NamedTuple

import pytest
import torch
import torchvision_shim  # noqa: F401 (lets the references import)
from random_weights import randomise, shapes
from sam2.modeling.sam.mask_decoder import MaskDecoder as Sam2Decoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder as Sam2Prompts
from sam2.modeling.sam.transformer import TwoWayTransformer as Sam2Transformer
from segment_anything.modeling import MaskDecoder as SamDecoder
from segment_anything.modeling import PromptEncoder as SamPrompts
from segment_anything.modeling import TwoWayTransformer as SamTransformer
from segment_anything_hq.modeling import MaskDecoderHQ
from segment_anything_hq.modeling import TwoWayTransformer as HqTransformer
from torch.nn import functional

from geosam.segmenters.sam import dense, upscaling
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.mask_decoder import (
    SAM,
    SAM2,
    Decoded,
    DecoderConfig,
    MaskDecoder,
    decode,
    dynamic_columns,
    hq_sam,
    prepare,
)
from geosam.segmenters.sam.prompt_encoder import PromptEncoder, PromptTensors

EARLY = 24
#: name -> config, and the official decoder for a width.
VARIANTS = {
    "SAM": (SAM, lambda: SamDecoder(transformer_dim=256, transformer=SamTransformer(2, 256, 8, 2048))),
    "narrow SAM": (
        DecoderConfig(width=64, inner_width=32, mlp_width=96, iou_depth=2, iou_width=48),
        lambda: SamDecoder(
            transformer_dim=64,
            transformer=SamTransformer(2, 64, 8, 96),
            iou_head_depth=2,
            iou_head_hidden_dim=48,
        ),
    ),
    "SAM 2": (SAM2, lambda: official_sam2(pred_obj_scores_mlp=True)),
    "SAM 2, linear object score": (
        DecoderConfig(iou_sigmoid=True, object_score="linear", high_res=True),
        lambda: official_sam2(pred_obj_scores_mlp=False),
    ),
    "HQ-SAM": (
        hq_sam(EARLY),
        lambda: MaskDecoderHQ(transformer_dim=256, transformer=HqTransformer(2, 256, 8, 2048), vit_dim=EARLY),
    ),
}


def official_sam2(**kwargs):
    return Sam2Decoder(
        transformer_dim=256,
        transformer=Sam2Transformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048),
        use_high_res_features=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        dynamic_multimask_via_stability=True,
        **kwargs,
    )


def canonical(state):
    """SAM's names of the two-way transformer's MLP -> SAM 2's."""
    renamed = {"mlp.lin1": "mlp.layers.0", "mlp.lin2": "mlp.layers.1"}
    return {next((k.replace(a, b) for a, b in renamed.items() if a in k), k): v for k, v in state.items()}


class Pair(NamedTuple):
    """Official modules and ours with the same weights, and random features of a tile."""

    prompts: torch.nn.Module
    decoder: torch.nn.Module
    our_prompts: PromptEncoder
    our_decoder: MaskDecoder
    features: ImageFeatures

    def official(self, sparse, dense, **kwargs):
        """All masks, IoUs and object logits; HQ-SAM: its masks are (column masks ..., HQ mask)."""
        image = {"image_embeddings": self.features.image, "image_pe": self.prompts.get_dense_pe()}
        given = {"sparse_prompt_embeddings": sparse, "dense_prompt_embeddings": dense}
        if isinstance(self.decoder, Sam2Decoder):
            kwargs = {"repeat_image": True, "high_res_features": list(self.features.high_res)}
        return self.decoder.predict_masks(**image, **given, **kwargs)

    def ours(self, prompts, choose=lambda iou, _: torch.ones_like(iou, dtype=torch.bool), **kwargs):
        context = prepare(self.our_prompts, self.our_decoder, self.features)
        return decode(self.our_prompts, self.our_decoder, context, prompts, choose, **kwargs)


def pair(name, grid=8):
    config, official = VARIANTS[name]
    decoder = randomise(official(), 1)
    encoder_type = Sam2Prompts if config.high_res else SamPrompts
    prompts = randomise(encoder_type(config.width, (grid, grid), (16 * grid, 16 * grid), 16), 2)
    with torch.no_grad():
        prompts.pe_layer.positional_encoding_gaussian_matrix *= 3
    our_prompts, our_decoder = PromptEncoder(config.width, 16 * grid).eval(), MaskDecoder(config).eval()
    our_prompts.load_state_dict(prompts.state_dict())
    our_decoder.load_state_dict(canonical(decoder.state_dict()))
    return Pair(prompts, decoder, our_prompts, our_decoder, features(config, grid))


def features(config, grid):
    generator = torch.Generator().manual_seed(3)

    def noise(channels, times):
        return torch.randn(1, channels, times * grid, times * grid, generator=generator)

    high_res = (noise(config.width // 8, 4), noise(config.width // 4, 2)) if config.high_res else ()
    early = () if config.early_width is None else (noise(config.early_width, 1),)
    return ImageFeatures(noise(config.width, 1), high_res, early)


def asked(kind, grid=8, n=3):
    """(points, labels, masks) of n prompts of a kind, with the padding points of SAM's predictor."""
    generator = torch.Generator().manual_seed(4)
    labels = {
        "point": [1, -1],
        "points": [1, 1, 1, -1],
        "points and negatives": [1, 0, 1, 0, -1],
        "box": [2, 3],
        "box and points": [1, 0, 2, 3],
        "box as SAM 2 has it": [2, 3, -1],
        "mask": [],
        "mask and point": [1, -1],
        "mask and box": [2, 3],
        "many points": [1, 0] * 9 + [-1],
    }[kind]
    points = torch.rand(n, len(labels), 2, generator=generator) * (16 * grid - 1)
    masks = 10 * torch.randn(n, 1, 4 * grid, 4 * grid, generator=generator) if "mask" in kind else None
    return PromptTensors(points, torch.tensor([labels] * n).reshape(n, len(labels)), masks)


KINDS = [
    "point", "points", "points and negatives", "box", "box and points", "box as SAM 2 has it", "mask",
    "mask and point", "mask and box", "many points",
]  # fmt: skip


def embedded(pair, prompts):
    """What the official prompt encoder makes of prompts whose points hold their padding and box corners."""
    points, labels, masks = prompts
    if isinstance(pair.prompts, Sam2Prompts):
        real = labels[0] != -1
        given = (points[:, real], labels[:, real]) if labels.shape[1] else None
        sparse, dense = pair.prompts(given, None, masks)
        if given is not None and (labels[0] == -1).sum() == 0:
            sparse = sparse[:, :-1]  # SAM 2 pads boxes too; what SAM does is asked for here
        return sparse, dense
    single, corner = (labels[0] == 0) | (labels[0] == 1), labels[0] >= 2
    given = (points[:, single], labels[:, single]) if single.any() else None
    boxes = points[:, corner].flatten(1) if corner.any() else None
    sparse, dense = pair.prompts(given, boxes, masks)
    if boxes is not None and (labels[0] == -1).any():
        padding = pair.prompts.not_a_point_embed.weight.expand(len(points), 1, -1)
        sparse = torch.cat([sparse, padding], dim=1)
    return sparse, dense


def assert_same_masks(found, expected):
    """Logits agree to rounding, and masks are equal to the bit where rounding cannot decide."""
    error = (found - expected).abs()
    scale = expected.abs().max()
    assert error.max() < 2e-5 * scale
    certain = expected.abs() > 10 * error.max()
    assert certain.float().mean() > 0.99
    assert torch.equal((found > 0)[certain], (expected > 0)[certain])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["SAM", "SAM 2"])
def test_masks_and_scores_are_the_official_ones(name, kind):
    models, prompts = pair(name), asked(kind)
    masks, iou, *rest = models.official(*embedded(models, prompts))
    decoded = models.ours(prompts)
    assert_same_masks(decoded.logits.view_as(masks), masks)
    torch.testing.assert_close(decoded.iou.view_as(iou), iou, rtol=0, atol=1e-5)
    assert decoded.prompt.tolist() == [row for row in range(3) for _ in range(4)]
    assert decoded.column.tolist() == [0, 1, 2, 3] * 3
    if name == "SAM":
        assert decoded.object_logit is None
    else:
        torch.testing.assert_close(decoded.object_logit, rest[1][:, 0].repeat_interleave(4), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["narrow SAM", "SAM 2, linear object score"])
def test_other_sizes_and_heads_decode_as_the_official_ones_do(name):
    models, prompts = pair(name), asked("points and negatives")
    masks, iou, *_ = models.official(*embedded(models, prompts))
    decoded = models.ours(prompts)
    assert_same_masks(decoded.logits.view_as(masks), masks)
    torch.testing.assert_close(decoded.iou.view_as(iou), iou, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["SAM", "SAM 2"])
def test_at_full_size_masks_are_the_official_ones(name):
    models, prompts = pair(name, 64), asked("box and points" if name == "SAM" else "mask and point", 64, 1)
    masks, iou, *_ = models.official(*embedded(models, prompts))
    decoded = models.ours(prompts)
    assert decoded.logits.shape == (4, 256, 256)
    assert_same_masks(decoded.logits.view_as(masks), masks)
    torch.testing.assert_close(decoded.iou.view_as(iou), iou, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["point", "mask and box"])
def test_hq_sam_adds_its_mask_to_the_best_of_three_or_to_the_single_one(kind):
    models, prompts = pair("HQ-SAM", 16), asked(kind, 16)
    sparse, dense = embedded(models, prompts)
    early = [models.features.early[0].permute(0, 2, 3, 1)]
    for multimask in (False, True):
        expected, iou = models.decoder(
            models.features.image, models.prompts.get_dense_pe(), sparse, dense, multimask, False, early
        )

        def choose(iou, _, first=int(multimask)):
            columns = iou[:, first : 1 + 3 * first].argmax(dim=1) + first
            return functional.one_hot(columns, 4).bool()

        decoded = models.ours(prompts, choose)
        assert_same_masks(decoded.logits, expected[:, 0])
        torch.testing.assert_close(decoded.iou, iou[:, 0], rtol=0, atol=1e-5)


def test_hq_sam_adds_its_mask_to_every_chosen_one():
    models, prompts = pair("HQ-SAM"), asked("point")
    early = models.features.early[0]
    hq = models.decoder.embedding_encoder(models.features.image) + models.decoder.compress_vit_feat(early)
    masks, _ = models.official(*embedded(models, prompts), hq_features=hq)
    assert_same_masks(models.ours(prompts).logits, (masks[:, :4] + masks[:, 4:]).flatten(0, 1))


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_have_the_official_names_and_shapes(name):
    config, official = VARIANTS[name]
    reference = official()
    assert shapes(MaskDecoder(config)) == {key: tuple(v.shape) for key, v in canonical(reference.state_dict()).items()}


def test_decoding_leaves_no_trace_in_the_modules():
    models = pair("SAM 2")
    before = [*models.our_decoder.state_dict(), *models.our_prompts.state_dict()], vars(models.our_decoder).keys()
    models.ours(asked("point"))
    after = [*models.our_decoder.state_dict(), *models.our_prompts.state_dict()], vars(models.our_decoder).keys()
    assert before == after


@pytest.fixture
def upscaled(monkeypatch):
    """How many images went through each call of the upscaling."""
    calls, real = [], upscaling.Upscaling.blocks

    def counted(self, image):
        calls.append(len(image))
        return real(self, image)

    monkeypatch.setattr(upscaling.Upscaling, "blocks", counted)
    return calls


@pytest.mark.parametrize("micro_batch", [1, 2, 8])
def test_only_chosen_masks_are_made(upscaled, micro_batch):
    models, prompts = pair("SAM"), asked("point", n=5)
    everything = models.ours(prompts)
    upscaled.clear()
    expected = torch.zeros(5, 4, dtype=torch.bool)
    expected[1, 2] = expected[3, 0] = expected[3, 3] = True
    asked_for = iter(expected.split(micro_batch))
    some = models.ours(prompts, lambda _, __: next(asked_for), micro_batch=micro_batch)
    assert sum(upscaled) == 2
    assert (some.prompt.tolist(), some.column.tolist()) == ([1, 3, 3], [2, 0, 3])
    rows = expected.flatten()
    torch.testing.assert_close(some.logits, everything.logits[rows], rtol=0, atol=1e-4)
    torch.testing.assert_close(some.iou, everything.iou[rows], rtol=0, atol=1e-5)


def test_nothing_is_upscaled_if_nothing_is_chosen(upscaled):
    decoded = pair("SAM 2").ours(asked("point"), lambda iou, _: iou > 2)
    assert upscaled == []
    assert decoded.logits.shape == (0, 32, 32)
    assert decoded.iou.shape == decoded.object_logit.shape == (0,)


def test_no_prompts_give_no_masks():
    for name in ("SAM", "HQ-SAM"):
        assert pair(name).ours(asked("point", n=0)).logits.shape == (0, 32, 32)


@pytest.mark.parametrize("kind", ["point", "mask and box"])
@pytest.mark.parametrize("name", ["SAM", "SAM 2", "HQ-SAM"])
def test_on_a_cpu_a_prompts_bytes_do_not_depend_on_its_neighbours(name, kind):
    models, prompts = pair(name), asked(kind, n=5)
    together = models.ours(prompts)
    for row in (0, 3):
        alone = models.ours(PromptTensors(*(None if t is None else t[row, None] for t in prompts)))
        own = together.prompt == row
        assert torch.equal(alone.logits, together.logits[own])
        assert torch.equal(alone.iou, together.iou[own])


@pytest.mark.parametrize("name", ["SAM", "SAM 2", "HQ-SAM"])
def test_the_size_of_micro_batches_changes_no_more_than_rounding(name):
    models, prompts = pair(name), asked("mask and point", n=5)
    one_by_one = models.ours(prompts, micro_batch=1)
    for size in (2, 5):
        together = models.ours(prompts, micro_batch=size)
        assert torch.equal(together.prompt, one_by_one.prompt)
        assert_same_masks(together.logits, one_by_one.logits)


def test_other_kernels_give_the_same_masks(monkeypatch):
    models, prompts = pair("HQ-SAM"), asked("mask and point")
    with_onednn = models.ours(prompts)
    monkeypatch.setattr(dense, "onednn_serves", lambda _: False)
    assert_same_masks(models.ours(prompts).logits, with_onednn.logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["SAM", "SAM 2", "HQ-SAM"])
def test_half_precision_gives_nearly_the_same_masks_in_float32(name, dtype):
    models, prompts = pair(name), asked("points and negatives")
    exact = models.ours(prompts)
    half = models._replace(
        our_prompts=models.our_prompts.to(dtype),
        our_decoder=models.our_decoder.to(dtype),
        features=ImageFeatures(*(
            part.to(dtype) if isinstance(part, torch.Tensor) else tuple(level.to(dtype) for level in part)
            for part in models.features
        )),
    )  # fmt: skip
    decoded = half.ours(prompts)
    assert decoded.logits.dtype == decoded.iou.dtype == torch.float32
    spread = exact.logits.std()
    assert (decoded.logits - exact.logits).pow(2).mean().sqrt() < (0.06 if dtype == torch.bfloat16 else 0.01) * spread


def test_an_unstable_single_mask_gives_way_to_the_best_of_three():
    models = pair("SAM 2")
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(6, 4, 32, 32, generator=generator)
    logits[0] *= 1000
    logits[1, 0] = -1
    logits[2, 0] = 1
    logits[3, 0, 0] = 0
    iou = torch.rand(6, 4, generator=generator)
    iou[5] = 0.5
    expected, wanted_iou = models.decoder._dynamic_multimask_via_stability(logits, iou)
    prompt, column = torch.arange(6).repeat_interleave(4) + 10, torch.arange(4).repeat(6)
    chosen = dynamic_columns(Decoded(prompt, column, iou.flatten(), None, logits.flatten(0, 1)))
    assert torch.equal(chosen.logits, expected[:, 0])
    assert torch.equal(chosen.iou, wanted_iou[:, 0])
    assert chosen.prompt.tolist() == list(range(10, 16))
    assert {0, 1, 2} <= set(torch.nonzero(chosen.column == 0).flatten().tolist())
    assert (chosen.column > 0).any()


def test_sam_2s_single_mask_is_the_official_one():
    models, prompts = pair("SAM 2"), asked("points and negatives")
    sparse, dense = embedded(models, prompts)
    expected, iou, *_ = models.decoder(
        models.features.image, models.prompts.get_dense_pe(), sparse, dense,
        multimask_output=False, repeat_image=True, high_res_features=list(models.features.high_res),
    )  # fmt: skip
    decoded = dynamic_columns(models.ours(prompts))
    assert_same_masks(decoded.logits, expected[:, 0])
    torch.testing.assert_close(decoded.iou, iou[:, 0], rtol=0, atol=1e-5)


def test_nothing_decoded_has_no_dynamic_columns():
    assert len(dynamic_columns(pair("SAM 2").ours(asked("point", n=0))).logits) == 0


@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_nested_rows_find_their_places_again(halvings):
    maps = torch.randn(5, 3 << halvings, 4 << halvings)
    rows = upscaling.nested(maps, 3, 4)
    assert rows.shape == (12 * 4**halvings, 5)
    if halvings == 2:
        assert torch.equal(upscaling.four_fold(rows.T.contiguous(), 3, 4), maps)
        assert torch.equal(upscaling.four_fold_channels(rows, 3, 4).permute(2, 0, 1), maps)
