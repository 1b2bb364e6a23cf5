"""Scores of held-out objects."""

from contextlib import closing

import numpy as np
import pytest
from finetune_cases import RADIUS, discs_picture, rng, square, windows_of
from scenes import write_scene

from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.windows import WindowRule
from geosam.run.jobs import PromptJob
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter
from geosam.training.finetune.scores import Scores, scores
from geosam.training.finetune.split import objects_in_scene


def test_scores_are_the_ious_of_the_answers(tmp_path, polygons):
    flat = np.repeat(discs_picture()[:1] > 150, 3, axis=0).astype(np.uint8) * 200
    with closing(open_scene(write_scene(tmp_path / "flat.tif", flat, photometric="rgb"))) as scene:
        targets = objects_in_scene(scene, polygons, rng())[:3]
        windows = windows_of(scene, load_segmenter("threshold"))
        assert scores(windows, windows.rule, targets) == pytest.approx((1, 1), abs=0.03)
        halves = [square(target.window.col_off, target.window.row_off, 2 * RADIUS) for target in targets]
        for half, target in zip(halves, targets, strict=True):
            half.mask[:] = target.mask
            half.mask[RADIUS:] = False
        assert scores(windows, windows.rule, halves).click == pytest.approx(0.5, abs=0.03)


def test_the_mean_of_scores_decides_and_both_are_printed():
    found = Scores(0.5, 0.75)
    assert found.mean == 0.625
    assert str(found) == "one click 0.500, box 0.750"


@pytest.fixture
def blocks(tmp_path):
    """A scene of two squares, seen through windows of 64 pixels, and the squares."""
    picture = np.full((3, 160, 200), 60, np.uint8)
    targets = [square(20, 30, 24), square(40, 100, 50)]
    for value, target in zip((150, 220), targets, strict=True):
        picture[:, *target.window.slices_rc] = value
    with closing(open_scene(write_scene(tmp_path / "blocks.tif", picture, photometric="rgb"))) as opened:
        yield opened, targets


def test_an_object_larger_than_its_window_grows(blocks):
    scene, targets = blocks
    rule = WindowRule(scene.region, 64, 16)
    embedder = PromptJob(TileEmbedder(scene, ThresholdSegmenter()), rule, ())
    assert scores(embedder, rule, targets) == (1, 1)


def test_an_object_without_an_answer_counts_as_nothing(blocks):
    scene, targets = blocks

    class Blind(ThresholdSegmenter):
        def decode(self, embedding, prompts, *, multimask, keep):
            found = super().decode(embedding, prompts, multimask=multimask, keep=keep)
            return found.select(found.boxes_xyxy[:, 1] < 60)

    windows = windows_of(scene, Blind())
    assert scores(windows, windows.rule, targets) == (0.5, 0.5)
    assert scores(windows, windows.rule, targets[1:]) == (0, 0)


def test_the_order_of_the_objects_makes_no_difference(blocks):
    scene, targets = blocks
    windows = windows_of(scene, ThresholdSegmenter())
    half = targets[0]._replace(mask=np.tri(24, dtype=bool))
    forward, backward = (scores(windows, windows.rule, some) for some in ([half, targets[1]], [targets[1], half]))
    assert forward == backward
    assert forward.click == pytest.approx((half.mask.sum() / 576 + 1) / 2)
