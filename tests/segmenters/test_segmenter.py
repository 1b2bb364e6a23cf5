"""Capabilities: what a segmenter declares by its methods, and what is refused before anything is computed."""

from dataclasses import dataclass

import numpy as np
import pytest
from known_answers import NullSegmenter, PromptedOnly
from scenes import SCENES

from geosam.errors import UsageError
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.session import Session
from geosam.prompts.prompt import Prompt
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.regions.segmenter import RegionsSegmenter
from geosam.segmenters.segmenter import (
    Classifies,
    Embedding,
    Embeds,
    Enlarger,
    KeepRule,
    ModelSpec,
    Prompted,
    Proposes,
    as_automatic,
    as_prompted,
)
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

SMALL = RunOptions(tile_size=64, overlap=16)


@dataclass(frozen=True)
class EmbedsOnly:
    """A model that gives features and nothing else."""

    @property
    def spec(self):
        return ModelSpec("features", "features-1")

    def embed(self, rgb, valid):
        del rgb
        return [Embedding({}, mask.shape, self.spec.fingerprint) for mask in valid]


@dataclass(frozen=True)
class Halves(EmbedsOnly):
    """A classifier: the left half of every tile is water, the right half is land; it takes no prompts."""

    classes = {1: "water", 2: "land"}  # noqa: RUF012 - never changed

    def propose(self, embedding, keep):
        del keep
        height, width = embedding.input_hw
        labels = np.ones((height, width), np.int32)
        labels[:, width // 2 :] = 2
        return MaskSet.from_labels(labels, class_id=np.array([1, 2], np.int32))


@pytest.fixture
def scene(tmp_path):
    return open_scene(SCENES["north_up"](tmp_path))


@pytest.mark.parametrize(
    ("segmenter", "capabilities"),
    [
        (ThresholdSegmenter(), {Embeds, Prompted, Proposes}),
        (RegionsSegmenter(), {Embeds, Prompted, Proposes}),
        (NullSegmenter(), {Embeds, Prompted, Proposes}),
        (PromptedOnly(), {Embeds, Prompted}),
        (EmbedsOnly(), {Embeds}),
        (Halves(), {Embeds, Proposes, Classifies}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_segmenter_declares_its_capabilities_by_having_the_methods(segmenter, capabilities):
    assert {one for one in (Embeds, Prompted, Proposes, Classifies, Enlarger) if isinstance(segmenter, one)} == (
        capabilities
    )


def test_a_network_of_the_sam_family_is_prompted_and_enlarges_but_proposes_nothing():
    from geosam.segmenters.sam.segmenter import SamSegmenter

    methods = set(vars(SamSegmenter))
    assert {"embed", "embed_enlarged", "decode"} <= methods
    assert "propose" not in methods


@pytest.mark.parametrize("segmenter", [ThresholdSegmenter(), PromptedOnly(), Halves()], ids=lambda s: s.spec.name)
def test_a_model_that_proposes_or_takes_prompts_can_find_everything(segmenter):
    assert as_automatic(segmenter) is segmenter


def test_a_model_that_takes_prompts_passes_unchanged():
    segmenter = PromptedOnly()
    assert as_prompted(segmenter) is segmenter


def test_prompts_for_a_model_that_takes_none_are_refused_before_anything_is_embedded(scene, tmp_path):
    prompts = [Prompt(0, scene.geobox.crs, np.array([scene.geobox.to_map([(5, 5)])[0]]), np.ones(1, np.int8))]
    with pytest.raises(UsageError, match=r"^the model features takes no prompts\. .*`model`") as refused:
        segment_prompts(scene, Halves(), prompts, tmp_path / "out.gpkg", SMALL)
    assert (refused.value.code, refused.value.values) == ("model-takes-no-prompts", {"model": "features"})
    assert not (tmp_path / "out.gpkg").exists()


def test_a_session_with_a_model_that_takes_no_prompts_is_refused_when_it_is_made(scene):
    with pytest.raises(UsageError, match="takes no prompts"):
        Session(scene, Halves())


def test_a_whole_scene_for_a_model_that_only_embeds_is_refused(scene, tmp_path):
    with pytest.raises(UsageError, match=r"features finds no objects") as refused:
        segment_scene(scene, EmbedsOnly(), tmp_path / "out.gpkg", SMALL)
    assert refused.value.code == "model-finds-no-objects"


def test_a_model_without_prompts_segments_a_whole_scene_by_its_proposals(scene, tmp_path):
    summary = segment_scene(scene, Halves(), tmp_path / "out.gpkg", SMALL)
    assert summary.count >= 2
    (prepared,) = [TileEmbedder(scene, Halves(), None).prepare(scene.region)]
    (embedding,) = TileEmbedder(scene, Halves(), None).finish([prepared])
    assert Halves().propose(embedding, KeepRule()).class_id.tolist() == [1, 2]


def test_the_default_thresholds_are_those_of_sams_automatic_mask_generator():
    rule = KeepRule()
    assert (rule.min_predicted_iou, rule.min_stability, rule.max_duplicate_iou) == (0.88, 0.95, 0.7)
