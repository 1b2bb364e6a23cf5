"""Fine-tuning of geosam_lite."""

import numpy as np
import pytest
import torch
from finetune_cases import SIDE, WHOLE, repeated_losses, rng, windows_of
from safetensors.torch import load_file

from geosam.segmenters.compute import Compute
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.registry import load_segmenter
from geosam.training.finetune.split import objects_in_scene
from geosam.training.finetune.trainable_lite import TrainableLite


def test_the_decoder_of_geosam_lite_learns_and_nothing_else(lite, scene, polygons, tmp_path, monkeypatch):
    monkeypatch.setattr("geosam.training.finetune.training_step._CORRECTED", 0)  # so that all steps are the same
    base = load_segmenter(str(lite), "cpu", "fp32")
    decoder = TrainableLite(lite, Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    targets = objects_in_scene(scene, polygons, rng())[:4]
    losses = repeated_losses(decoder, embedding, targets, steps=12, rate=3e-4)
    assert min(losses) < 0.9 * losses[0]
    path = tmp_path / "tuned.safetensors"
    decoder.save(path, {})
    before, after = load_file(lite), load_file(path)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in changed} == {"decoder"}
    assert not [name for name in changed if "running" in name or "batches" in name]


def test_the_trained_decoder_of_geosam_lite_computes_what_inference_computes(lite, scene):
    """A box over the whole tile makes both look at all of it."""
    base = load_segmenter(str(lite), "cpu", "fp32")
    decoder = TrainableLite(lite, Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    box = np.array([[1.0, 1.0, SIDE - 1, SIDE - 1]])
    prompts = PixelPrompts((np.empty((0, 2)),), (np.empty(0, np.int8),), box, (None,))
    (masks,) = decoder.candidates(embedding, prompts, box, multimask=False)
    answer = base.decode(embedding, prompts, multimask=False, keep=None)
    best = int(masks.iou.argmax())
    assert masks.logits.shape == (3, SIDE // 4, SIDE // 4)
    assert np.allclose(masks.logits[best].detach(), answer.logits[0], rtol=0, atol=1e-4)
    assert float(masks.iou[best].detach().clamp(0, 1)) == pytest.approx(float(answer.predicted_iou[0]), abs=1e-4)
