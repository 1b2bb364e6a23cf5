"""Fine-tuning of the SAM family."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from finetune_cases import SIDE, WHOLE, random_network, repeated_losses, rng, windows_of
from safetensors.torch import load_file, save_file

from geosam.segmenters.compute import Compute
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.sam.build import VARIANTS, build
from geosam.segmenters.sam.features import ImageFeatures
from geosam.segmenters.sam.mask_decoder import MaskDecoder, decode, prepare
from geosam.segmenters.sam.model import SamModel
from geosam.segmenters.sam.prompt_encoder import PromptEncoder, PromptTensors
from geosam.training.finetune.split import objects_in_scene
from geosam.training.finetune.trainable_sam import TrainableSam, decoded_masks


@pytest.mark.parametrize("multimask", [True, False], ids=["three", "one"])
@pytest.mark.parametrize("masks", [False, True], ids=["points", "masks"])
@pytest.mark.parametrize("name", ["mobile_sam", "sam2.1_hiera_tiny", "sam_hq_vit_tiny"])
def test_the_trained_decoder_computes_what_inference_computes(name, masks, multimask):
    config = VARIANTS[name].decoder
    model = random_network(lambda: SamModel(torch.nn.Identity(), PromptEncoder(), MaskDecoder(config)))
    draw = torch.Generator().manual_seed(1)

    def noise(*shape):
        return torch.randn(*shape, generator=draw)

    side = 16
    fine = (noise(1, 32, 4 * side, 4 * side), noise(1, 64, 2 * side, 2 * side)) if config.high_res else ()
    early = (noise(1, config.early_width, side, side),) if config.early_width else ()
    features = ImageFeatures(noise(1, 256, side, side), fine, early)
    points = 256 * torch.rand(3, 2, 2, generator=draw)
    labels = torch.tensor([[1, -1], [1, 0], [2, 3]])
    prompts = PromptTensors(points, labels, noise(3, 1, 4 * side, 4 * side) if masks else None)

    def choose(iou, object_logit):
        del object_logit
        columns = torch.arange(4) > 0 if multimask else torch.arange(4) == 0
        return columns.expand(len(iou), -1)

    context = prepare(model.prompt_encoder, model.mask_decoder, features)
    expected = decode(model.prompt_encoder, model.mask_decoder, context, prompts, choose)
    model.mask_decoder.requires_grad_()
    logits, iou = decoded_masks(model, features, prompts, multimask=multimask)
    assert torch.allclose(
        logits.detach().flatten(0, 1), expected.logits, rtol=0, atol=1e-5 * expected.logits.abs().max()
    )
    assert torch.allclose(iou.detach().flatten(), expected.iou, rtol=1e-5, atol=1e-6)
    (logits.square().mean() + iou.square().mean()).backward()
    untouched = [name for name, p in model.mask_decoder.named_parameters() if p.grad is None]
    other = [f"output_hypernetworks_mlps.{column}." for column in ([0] if multimask else [1, 2, 3])]
    assert all(name.startswith(("pred_obj_score_head.", "conv_s0.", "conv_s1.", *other)) for name in untouched)


@pytest.fixture
def mobile(tmp_path, monkeypatch):
    """A checkpoint of MobileSAM with a shrunken encoder and random weights, under official names."""
    variant = VARIANTS["mobile_sam"]
    small = replace(variant.encoder, widths=(8, 16, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 1))
    monkeypatch.setitem(VARIANTS, "mobile_sam", replace(variant, encoder=small))
    state = random_network(lambda: build(VARIANTS["mobile_sam"])).state_dict()
    for name in [name for name in state if ".mlp.layers." in name and "transformer.layers" in name]:
        official = name.replace("mlp.layers.0", "mlp.lin1").replace("mlp.layers.1", "mlp.lin2")
        state[official] = state.pop(name)
    path = tmp_path / "mobile.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def test_the_decoder_of_a_sam_learns_and_its_file_is_a_checkpoint(mobile, scene, polygons, tmp_path, monkeypatch):
    base = load_segmenter(str(mobile), "cpu", "fp32")
    decoder = TrainableSam(str(mobile), Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    targets = objects_in_scene(scene, polygons, rng())[:2]
    prompts = PixelPrompts((np.array([[32.0, 32.0]]),), (np.array([1], np.int8),), np.full((1, 4), np.nan), (None,))
    same = [m.decode(embedding, prompts, multimask=True, keep=None) for m in (base, decoder.segmenter())]
    assert np.array_equal(same[0].logits, same[1].logits)

    monkeypatch.setattr("geosam.training.finetune.training_step._CORRECTED", 0)  # so that all steps are the same
    losses = repeated_losses(decoder, embedding, targets, steps=4, rate=1e-3)
    assert min(losses[-2:]) < 0.8 * losses[0]

    path = tmp_path / "tuned.safetensors"
    decoder.save(path, {"key": "value"})
    before, after = load_file(mobile), load_file(path)
    assert before.keys() == after.keys()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"mask_decoder"}
    tuned = load_segmenter(str(path), "cpu", "fp32")
    (again,) = tuned.embed(*padded(scene))
    answers = tuned.decode(again, prompts, multimask=True, keep=None)
    expected = decoder.segmenter().decode(embedding, prompts, multimask=True, keep=None)
    assert np.array_equal(answers.logits, expected.logits)
    assert not np.array_equal(answers.logits, same[0].logits)


def padded(scene):
    tile = scene.read(WHOLE)
    room = ((0, 1024 - SIDE), (0, 1024 - SIDE))
    return np.pad(tile.rgb, ((0, 0), *room))[None], np.pad(tile.valid, room)[None]


def test_embeddings_in_half_precision_are_converted_to_full(mobile, scene):
    base = load_segmenter(str(mobile), "cpu", "bf16")
    decoder = TrainableSam(str(mobile), Compute(precision="bf16"), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    converted = decoder.training_embedding(embedding)
    rounded = torch.from_numpy(embedding.arrays["image"].copy()).view(torch.bfloat16)
    assert np.array_equal(converted.arrays["image"], rounded.float().numpy())
    assert np.array_equal(converted.arrays["valid"], embedding.arrays["valid"])
