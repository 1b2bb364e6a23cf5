from dataclasses import dataclass, replace

import numpy as np
import pytest

from geosam.automatic import segment_tile
from geosam.geobox import Window
from geosam.masks import Granularity, MaskSet
from geosam.segmenter import Embedding, KeepRule, ModelSpec
from geosam.testing import ThresholdSegmenter, flat_scene

EXACT = ThresholdSegmenter()


class PromptedOnly(ThresholdSegmenter):
    """The exact segmenter, but it has to be prompted for its objects."""

    def propose(self, embedding, keep):
        del embedding, keep


@dataclass(frozen=True)
class Candidates:
    """Decodes every prompt to the same given masks, as a network that finds the same objects again and again."""

    masks: MaskSet
    calls: list

    spec = ModelSpec("candidates", "candidates-1")

    def decode(self, embedding, prompts, *, multimask, keep):
        del embedding
        self.calls.append((len(prompts), multimask, keep))
        count = len(self.masks)
        everything = self.masks.select(np.tile(np.arange(count), len(prompts)))
        return replace(everything, prompt_index=np.repeat(np.arange(len(prompts), dtype=np.int32), count))

    def propose(self, embedding, keep):
        del embedding, keep


def pixels(masks):
    return [tuple(np.flatnonzero(masks.full(row)).tolist()) for row in range(len(masks))]


def run(segmenter, rgb, valid, window, keep=KeepRule(max_duplicate_iou=1.0), **options):  # noqa: B008
    embedding = EXACT.embed(rgb[None], valid[None])[0]
    return segment_tile(segmenter, embedding, window, valid, keep, **options)


def rectangles(boxes, scores, stability=None):
    boxes = np.array(boxes, np.int32).reshape(-1, 4)
    masks = [np.ones((y1 - y0, x1 - x0), bool) for x0, y0, x1, y1 in boxes]
    return MaskSet.of((64, 64), masks, boxes, predicted_iou=scores, stability_score=stability)


def decoded(masks, keep=KeepRule(), spacing_px=16):  # noqa: B008
    embedding = Embedding({}, (64, 64), "candidates-1")
    segmenter = Candidates(masks, [])
    valid = np.ones((64, 64), bool)
    return segment_tile(segmenter, embedding, Window(0, 0, 64, 64), valid, keep, spacing_px=spacing_px), segmenter


def test_what_the_segmenter_proposes_is_taken_as_it_is():
    rgb = flat_scene(np.random.default_rng(0), 48, 80, 20)
    valid = np.ones((48, 80), bool)
    proposed = EXACT.propose(EXACT.embed(rgb[None], valid[None])[0], KeepRule())
    assert run(EXACT, rgb, valid, Window(5, 7, 80, 48)).to_bytes() == proposed.to_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_the_grid_finds_exactly_the_components_under_its_scene_anchored_points(seed):
    rng = np.random.default_rng(seed)
    window = Window(int(rng.integers(0, 200)), int(rng.integers(0, 200)), 93, 71)
    rgb = flat_scene(rng, 71, 93, 30)
    valid = rng.random((71, 93)) > 0.1
    labels = EXACT.embed(rgb[None], valid[None])[0].arrays["labels"]
    hit = {
        labels[y - window.row_off, x - window.col_off]
        for y in range(window.row_off, window.row_end)
        for x in range(window.col_off, window.col_end)
        if x % 8 == 4 and y % 8 == 4
    } - {0}
    found = run(PromptedOnly(), rgb, valid, window, spacing_px=8)
    assert len(pixels(found)) == len(set(pixels(found))) == len(hit)
    assert set(pixels(found)) == {tuple(np.flatnonzero(labels == value).tolist()) for value in hit}


def test_neighbouring_windows_ask_at_the_same_scene_pixels():
    scene = np.zeros((3, 64, 200), np.uint8)
    scene[0] = np.arange(200) % 256  # every column is an object
    found = set()
    for col in (0, 37, 100):
        window = Window(col, 3, 100, 61)
        masks = run(PromptedOnly(), scene[:, 3:, col : col + 100], np.ones((61, 100), bool), window, spacing_px=10)
        found |= {int(box[0]) + col for box in masks.boxes_xyxy}
    assert found == set(range(5, 200, 10))


def test_the_order_depends_on_the_masks_only():
    rgb = flat_scene(np.random.default_rng(5), 64, 64, 25)
    valid = np.ones((64, 64), bool)
    found = run(PromptedOnly(), rgb, valid, Window(0, 0, 64, 64), spacing_px=4)
    shuffled = rectangles(found.boxes_xyxy[::-1], np.ones(len(found)))
    again, _ = decoded(shuffled, KeepRule(max_duplicate_iou=1.0))
    straight, _ = decoded(rectangles(found.boxes_xyxy, np.ones(len(found))), KeepRule(max_duplicate_iou=1.0))
    assert len(found) > 10
    assert again.boxes_xyxy.tolist() == straight.boxes_xyxy.tolist()


def test_points_are_decoded_in_batches_with_all_granularities_and_the_keep_rule():
    keep = KeepRule(min_predicted_iou=0.5, max_duplicate_iou=1.0)
    masks = rectangles([[0, 0, 9, 9]], [0.9])
    found, segmenter = decoded(masks, keep, spacing_px=4)
    assert sum(count for count, _, _ in segmenter.calls) == 256
    assert len(segmenter.calls) > 1
    assert all(multimask and rule is keep for _, multimask, rule in segmenter.calls)
    assert len(found) == 1
    assert found.granularity.tolist() == [Granularity.WHOLE]


def test_masks_below_either_threshold_are_left_out():
    boxes = [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]
    found, _ = decoded(rectangles(boxes, [0.9, 0.87, 0.95], [0.96, 0.99, 0.94]))
    assert found.boxes_xyxy.tolist() == boxes[:1]


def test_of_masks_whose_boxes_agree_the_best_stays():
    boxes = [[0, 0, 20, 20], [0, 0, 20, 19], [0, 0, 20, 12], [30, 30, 50, 50]]
    found, _ = decoded(rectangles(boxes, [0.9, 0.95, 0.89, 0.88]))
    assert found.boxes_xyxy.tolist() == [boxes[1], boxes[2], boxes[3]]
    assert np.all(np.diff(found.predicted_iou) <= 0)


def test_p02_a_tile_without_valid_pixels_gives_nothing():
    rgb = np.zeros((3, 40, 40), np.uint8)
    assert len(run(PromptedOnly(), rgb, np.zeros((40, 40), bool), Window(0, 0, 40, 40), spacing_px=4)) == 0


def test_a_tile_between_the_grid_points_gives_nothing():
    rgb = np.zeros((3, 3, 3), np.uint8)
    assert len(run(PromptedOnly(), rgb, np.ones((3, 3), bool), Window(33, 33, 3, 3))) == 0
