from dataclasses import dataclass, replace

import numpy as np
import pytest
from known_answers import PromptedOnly, flat_scene

from geosam.geometry.geobox import Window
from geosam.objects.everything import AutomaticRule, _best, segment_tile
from geosam.segmenters.masks import Granularity, MaskSet
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

EXACT = ThresholdSegmenter()


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


def pixels(masks):
    return [tuple(np.flatnonzero(masks.full(row)).tolist()) for row in range(len(masks))]


def run(segmenter, rgb, valid, window, keep=KeepRule(max_duplicate_iou=1.0), **options):  # noqa: B008
    embedding = EXACT.embed(rgb[None], valid[None])[0]
    return segment_tile(segmenter, embedding, window, valid, keep, **options)


def rectangles(boxes, scores, stability=None):
    boxes = np.array(boxes, np.int32).reshape(-1, 4)
    masks = [np.ones((y1 - y0, x1 - x0), bool) for x0, y0, x1, y1 in boxes]
    return MaskSet.of((64, 64), masks, boxes, predicted_iou=scores, stability_score=stability)


def decoded(masks, keep=KeepRule(), **options):  # noqa: B008
    embedding = Embedding({}, (64, 64), "candidates-1")
    segmenter = Candidates(masks, [])
    valid = np.ones((64, 64), bool)
    options = {"spacing_px": 16} | options
    return segment_tile(segmenter, embedding, Window(0, 0, 64, 64), valid, keep, **options), segmenter


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


@pytest.mark.fault("P02")
def test_a_tile_without_valid_pixels_gives_nothing():
    rgb = np.zeros((3, 40, 40), np.uint8)
    assert len(run(PromptedOnly(), rgb, np.zeros((40, 40), bool), Window(0, 0, 40, 40), spacing_px=4)) == 0


def test_a_tile_between_the_grid_points_gives_nothing():
    rgb = np.zeros((3, 3, 3), np.uint8)
    assert len(run(PromptedOnly(), rgb, np.ones((3, 3), bool), Window(33, 33, 3, 3))) == 0


@dataclass(frozen=True)
class Magnifier:
    """Sees one given rectangle of the tile in every view that holds its middle, cut off at the view's edges."""

    box: tuple[int, int, int, int]
    scores: dict
    looked: list

    spec = ModelSpec("magnifier", "magnifier-1")

    def enlarge(self, crop):
        self.looked.append(crop)
        origin = np.array([crop.col_off - 100, crop.row_off - 200])
        return Embedding({"origin": origin}, crop.shape_hw, "magnifier-1")

    def decode(self, embedding, prompts, *, multimask, keep):
        del prompts, multimask, keep
        height, width = embedding.input_hw
        shift = np.tile(embedding.arrays.get("origin", np.zeros(2, int)), 2)
        x0, y0, x1, y1 = np.clip(np.array(self.box) - shift, 0, [width, height, width, height])
        if x0 >= x1 or y0 >= y1:
            return MaskSet.empty((height, width))
        score = self.scores.get((height, width), 0.9)
        return MaskSet.of(
            (height, width), [np.ones((y1 - y0, x1 - x0), bool)], [[x0, y0, x1, y1]], predicted_iou=[score]
        )


def magnified(box, valid=None, scores=None, **rule):
    """The tile of 300 x 200 pixels at (100, 200) with crops of 184 x 134 (offsets 116 and 66)."""
    segmenter = Magnifier(box, scores or {}, [])
    valid = np.ones((200, 300), bool) if valid is None else valid
    window, embedding = Window(100, 200, 300, 200), Embedding({}, (200, 300), "magnifier-1")
    rule = AutomaticRule(crop_layers=1, **rule)
    masks = segment_tile(segmenter, embedding, window, valid, KeepRule(), rule=rule, enlarge=segmenter.enlarge)
    return masks, segmenter.looked


def test_crops_see_the_tile_at_scene_pixels_and_answer_in_its_pixels():
    masks, looked = magnified([60, 40, 70, 55])
    assert looked == [Window(x, y, 184, 134) for x in (100, 216) for y in (200, 266)]
    assert masks.shape_hw == (200, 300)
    assert masks.boxes_xyxy.tolist() == [[60, 40, 70, 55]]


def test_of_masks_of_different_crops_the_smaller_crops_stays_whatever_its_score():
    masks, _ = magnified([60, 40, 70, 55], scores={(200, 300): 0.99})
    assert masks.predicted_iou.tolist() == [np.float32(0.9)]
    masks, _ = magnified([60, 40, 70, 55], scores={(134, 184): 0.5, (200, 300): 0.99})
    assert masks.predicted_iou.tolist() == [np.float32(0.99)]


@pytest.mark.parametrize("box", [[60, 40, 165, 60], [100, 0, 200, 200], [10, 120, 290, 140]])
def test_masks_that_a_crop_may_have_cut_off_are_left_to_the_tile(box):
    masks, looked = magnified(box)
    assert len(looked) == 4
    assert masks.boxes_xyxy.tolist() == [box]
    assert len(magnified(box, scores={(200, 300): 0.1})[0]) == 0


def test_a_crop_keeps_masks_at_the_edge_of_the_tile_but_not_near_its_own():
    only_crops = {(200, 300): 0.1}
    assert len(magnified([2, 2, 30, 30], scores=only_crops)[0]) == 1
    # the first crop ends at 184, and a mask's last column is one less than its box says: 163 is 21 away, 164 is 20
    assert len(magnified([60, 10, 164, 60], scores=only_crops)[0]) == 1
    assert len(magnified([60, 10, 165, 60], scores=only_crops)[0]) == 0


@pytest.mark.fault("P02")
def test_crops_without_valid_grid_points_are_not_looked_at():
    valid = np.zeros((200, 300), bool)
    valid[:60, :100] = True
    _, looked = magnified([60, 40, 70, 55], valid)
    assert looked == [Window(100, 200, 184, 134)]


def lattice(spacing):
    """Middles of the scene pixels in the middle of squares of `spacing` pixels, of the magnifier's tile."""
    scene = np.array([(x, y) for y in range(200, 400) for x in range(100, 400)])
    return set(map(tuple, (scene[(scene % spacing == spacing // 2).all(axis=1)] + 0.5).tolist()))


def test_points_of_crops_are_anchored_to_the_scene_and_as_dense_as_asked_for():
    asked = []

    class Listener(Magnifier):
        def decode(self, embedding, prompts, *, multimask, keep):
            x, y = embedding.arrays.get("origin", np.zeros(2, int)).tolist()
            asked.append({(px + x + 100, py + y + 200) for px, py in np.concatenate(prompts.points).tolist()})
            return super().decode(embedding, prompts, multimask=multimask, keep=keep)

    segmenter = Listener((60, 40, 70, 55), {}, [])
    window, valid = Window(100, 200, 300, 200), np.ones((200, 300), bool)
    embedding = Embedding({}, (200, 300), "magnifier-1")
    for downscale, spacing in ((1, 16), (2, 32)):
        asked.clear()
        rule = AutomaticRule(crop_layers=1, crop_downscale_points=downscale)
        segment_tile(segmenter, embedding, window, valid, KeepRule(), rule=rule, enlarge=segmenter.enlarge)
        assert asked[0] == lattice(32)
        assert set.union(*asked[1:]) == lattice(spacing)


def test_crops_need_somebody_who_enlarges_them():
    with pytest.raises(ValueError, match="enlarge"):
        decoded(rectangles([[0, 0, 9, 9]], [0.9]), rule=AutomaticRule(crop_layers=1))


def test_small_holes_are_filled_and_small_parts_removed():
    mask = np.ones((20, 20), bool)
    mask[5:7, 5:7] = False
    mask[10:14, 10:14] = False
    mask[0:3, 16:] = False
    mask[0, 19] = True
    found, _ = decoded(MaskSet.from_full([np.pad(mask, (10, 34))], (64, 64)), rule=AutomaticRule(min_region_px=5))
    mask[5:7, 5:7] = True
    mask[0, 19] = False
    assert pixels(found) == [tuple(np.flatnonzero(np.pad(mask, (10, 34))).tolist())]


def test_a_hole_that_goes_on_outside_the_mask_is_no_hole_and_the_last_part_stays():
    mask = np.zeros((64, 64), bool)
    mask[:2, :2] = True
    mask[61:, 61:] = True
    found, _ = decoded(MaskSet.from_full([mask], (64, 64)), rule=AutomaticRule(min_region_px=50))
    assert found.boxes_xyxy.tolist() == [[61, 61, 64, 64]]


@pytest.mark.fault("P02")
def test_holes_of_invalid_pixels_are_not_filled():
    mask = np.ones((64, 64), bool)
    mask[30:32, 30:32] = False
    segmenter = Candidates(MaskSet.from_full([mask], (64, 64)), [])
    embedding, window = Embedding({}, (64, 64), "candidates-1"), Window(0, 0, 64, 64)
    found = segment_tile(segmenter, embedding, window, mask, KeepRule(), rule=AutomaticRule(min_region_px=50))
    assert np.array_equal(found.full(0), mask)


def test_of_cleared_masks_that_agree_the_one_that_needed_no_change_stays():
    clean, speckled = np.zeros((2, 64, 64), bool)
    clean[10:30, 10:30] = speckled[10:30, 10:30] = True
    speckled[40, 40] = True
    masks = MaskSet.from_full([speckled, clean], (64, 64), predicted_iou=[0.95, 0.9])
    assert len(decoded(masks)[0]) == 2
    found, _ = decoded(masks, rule=AutomaticRule(min_region_px=4))
    assert found.predicted_iou.tolist() == [np.float32(0.9)]


def test_boxes_are_compared_from_first_to_last_pixel_as_sam_does():
    # 9 x 9 and 9 x 6 between pixel centres: 2/3 agree; with full pixels it would be 0.7 and more
    boxes = [[0, 0, 10, 10], [0, 0, 10, 7]]
    assert len(decoded(rectangles(boxes, [0.95, 0.9]), KeepRule(max_duplicate_iou=0.68))[0]) == 2
    assert len(decoded(rectangles(boxes, [0.95, 0.9]), KeepRule(max_duplicate_iou=0.66))[0]) == 1


def test_masks_of_the_grid_belong_to_no_prompt():
    assert set(decoded(rectangles([[0, 0, 9, 9], [30, 30, 50, 50]], [0.9, 0.9]))[0].prompt_index) == {-1}


@pytest.mark.parametrize("wrong", [{"spacing_px": 0}, {"crop_overlap": 1.0}, {"crop_downscale_points": 0}])
def test_a_rule_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"found AutomaticRule.*expected `spacing_px`"):
        AutomaticRule(**wrong)


@pytest.mark.parametrize(("classes", "kept"), [(None, 1), ([1, 1, 1], 1), ([1, 2, 1], 2)])
def test_only_masks_of_one_class_are_duplicates_in_a_tile(classes, kept):
    full = np.zeros((20, 20), bool)
    full[3:15, 4:18] = True
    ids = None if classes is None else np.array(classes, np.int32)
    masks = MaskSet.from_full([full] * 3, full.shape, class_id=ids)
    assert len(_best(masks, np.arange(3), 0.7)) == kept
