"""Scores of held-out objects."""

from contextlib import closing

import numpy as np
import pytest
from finetune_cases import RADIUS, discs_picture, rng, square, windows_of
from scenes import write_scene

from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.training.finetune.scores import scores
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
