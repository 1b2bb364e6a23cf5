"""Fine-tuning of geosam_lite."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from finetune_cases import SIDE, WHOLE, repeated_losses, rng, windows_of
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from geosam.segmenters.compute import Compute
from geosam.segmenters.lite.prompt_maps import Region
from geosam.segmenters.lite.refinement import CELL
from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.registry import load_segmenter
from geosam.training.finetune import trainable_lite
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


@given(st.lists(st.tuples(*[st.floats(0, 900)] * 2, *[st.floats(1, 120)] * 2), min_size=1, max_size=4))
def test_windows_have_one_size_and_hold_their_objects_with_a_margin(boxes):
    bounds = np.array([(x, y, min(x + w, 1024), min(y + h, 1024)) for x, y, w, h in boxes])
    windows = trainable_lite._windows(bounds, (64, 64))
    assert len({(window.height, window.width) for window in windows}) == 1
    for window, (x0, y0, x1, y1) in zip(windows, bounds, strict=True):
        assert 0 <= window.row <= window.row + window.height <= 64
        assert 0 <= window.col <= window.col + window.width <= 64
        assert window.height >= 24
        assert window.height % 4 == 0
        assert window.col * CELL <= x0
        assert (window.col + window.width) * CELL >= min(x1, 1024)
        assert window.row * CELL <= y0
        assert (window.row + window.height) * CELL >= y1


def test_a_window_is_no_larger_than_its_tile():
    (window,) = trainable_lite._windows(np.array([(0.0, 0.0, 1000.0, 400.0)]), (32, 64))
    assert window == (0, 0, 32, 64)


def test_an_object_in_the_middle_has_its_window_around_it():
    (window,) = trainable_lite._windows(np.array([(500.0, 500.0, 530.0, 520.0)]), (64, 64))
    assert (window.height, window.width) == (24, 24)
    assert abs(window.row + 12 - 510 / CELL) <= 1
    assert abs(window.col + 12 - 515 / CELL) <= 1


def test_the_cells_of_a_window_are_four_times_finer():
    rows, cols = trainable_lite._cells(Region(2, 3, 24, 20))
    assert (rows, cols) == (slice(8, 104), slice(12, 92))


def test_prompts_on_invalid_pixels_alone_have_no_candidates(lite, scene):
    base = load_segmenter(str(lite), "cpu", "fp32")
    decoder = TrainableLite(lite, Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    nowhere = replace(embedding, arrays={**embedding.arrays, "valid": np.zeros_like(embedding.arrays["valid"])})
    click = PixelPrompts((np.array([[20.0, 20.0]]),), (np.array([1], np.int8),), np.full((1, 4), np.nan), (None,))
    bounds = np.array([[10.0, 10, 30, 30]])
    assert decoder.candidates(nowhere, click, bounds, multimask=True) == []
    assert len(decoder.candidates(embedding, click, bounds, multimask=True)) == 1


def test_only_the_decoder_has_trained_parameters(lite):
    decoder = TrainableLite(lite, Compute(), load_segmenter(str(lite), "cpu", "fp32").spec)
    assert decoder.parameters
    assert all(name.startswith("decoder.") and p.requires_grad for name, p in decoder.parameters.items())
    assert not any(p.requires_grad for p in decoder._model.encoder.parameters())


def test_a_segmenter_of_a_decoder_is_a_copy_of_its_present_state(lite, scene):
    base = load_segmenter(str(lite), "cpu", "fp32")
    decoder = TrainableLite(lite, Compute(), base.spec)
    embedding = windows_of(scene, base)(WHOLE)
    click = PixelPrompts((np.array([[32.0, 32.0]]),), (np.array([1], np.int8),), np.full((1, 4), np.nan), (None,))
    before = decoder.segmenter()
    first = before.decode(embedding, click, multimask=True, keep=None)
    with torch.no_grad():
        for parameter in decoder.parameters.values():
            parameter.add_(0.05)
    again = before.decode(embedding, click, multimask=True, keep=None)
    after = decoder.segmenter().decode(embedding, click, multimask=True, keep=None)
    assert np.array_equal(first.logits, again.logits)
    assert first.logits.shape != after.logits.shape or not np.array_equal(first.logits, after.logits)
