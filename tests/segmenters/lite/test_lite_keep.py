"""Thresholds that nobody gave are the model's own."""

from contextlib import closing
from dataclasses import replace

import pytest
from scenes import picture, write_scene

from geosam.errors import UsageError
from geosam.objects.everything import AutomaticRule
from geosam.run.arguments import Arguments
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import open_scene
from geosam.segmenters.lite.segmenter import KEEP
from geosam.segmenters.segmenter import KeepRule, ModelSpec
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

SPEC = ModelSpec("noting", "noting-1", keep=KEEP)
NOTHING = dict.fromkeys(("min_iou", "min_stability", "spacing", "crop_layers", "min_region"))


class Noting(ThresholdSegmenter):
    """Notes what it is told to keep."""

    def __init__(self):
        super().__init__()
        self.told = []

    @property
    def spec(self):
        return SPEC

    def propose(self, embedding, keep):
        self.told.append(keep)
        return super().propose(embedding, keep)


@pytest.mark.parametrize(("given", "expected"), [(None, KEEP), (KeepRule(0.1, 0.2, 0.3), KeepRule(0.1, 0.2, 0.3))])
def test_a_run_keeps_what_the_model_finds_worth_it_unless_told_otherwise(tmp_path, given, expected):
    segmenter = Noting()
    with closing(open_scene(write_scene(tmp_path / "scene.tif", picture()))) as scene:
        segment_scene(scene, segmenter, tmp_path / "out.gpkg", RunOptions(keep=given))
    assert segmenter.told == [expected]


def test_models_that_say_nothing_keep_what_sam_keeps():
    assert ModelSpec("any", "any-1").keep == KeepRule()


def test_options_change_only_the_thresholds_they_name():
    nothing = Arguments(NOTHING).run_options(SPEC, prompted=True)
    assert (nothing.keep, nothing.automatic) == (KEEP, AutomaticRule())
    some = Arguments({**NOTHING, "min_stability": 0.0, "spacing": 16}).run_options(SPEC, prompted=False)
    assert (some.keep, some.automatic) == (replace(KEEP, min_stability=0.0), AutomaticRule(spacing_px=16))
    with pytest.raises(UsageError, match=r"`min_iou` is for finding everything"):
        Arguments({**NOTHING, "min_iou": 0.5}).run_options(SPEC, prompted=True)
