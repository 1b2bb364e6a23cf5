import pickle

import numpy as np
import pytest
from known_answers import PALETTE, NullSegmenter, flat_scene
from scipy import ndimage

from geosam.segmenters.pixel_prompts import PixelPrompts
from geosam.segmenters.segmenter import KeepRule, Segmenter
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

EXACT = ThresholdSegmenter()


def embed(rgb, valid=None):
    valid = np.ones(rgb.shape[1:], bool) if valid is None else valid
    return EXACT.embed(rgb[None], valid[None])[0]


def prompt(points=(), labels=None, box=None, mask=None):
    points = np.array(points, np.float64).reshape(-1, 2)
    labels = np.ones(len(points), np.int8) if labels is None else np.array(labels, np.int8)
    box = np.full(4, np.nan) if box is None else np.array(box, np.float64)
    return PixelPrompts((points,), (labels,), box[None], (mask,))


def decode(rgb, valid=None, **kwargs):
    return EXACT.decode(embed(rgb, valid), prompt(**kwargs), multimask=False, keep=None)


def components_by_colour(rgb, valid):
    """The oracle: scipy's 4-connected labels, one colour at a time."""
    colours = rgb.astype(np.int64)[0] * 65536 + rgb[1].astype(np.int64) * 256 + rgb[2]
    for colour in np.unique(colours):
        labels, count = ndimage.label((colours == colour) & valid)
        yield from (labels == value for value in range(1, count + 1))


@pytest.mark.parametrize("seed", range(6))
def test_proposals_are_the_4_connected_components_of_equal_colour(seed):
    rng = np.random.default_rng(seed)
    rgb = flat_scene(rng, 61, 83, 25)
    valid = rng.random((61, 83)) > 0.02 * seed
    found = EXACT.propose(embed(rgb, valid), KeepRule())
    wanted = sorted((np.flatnonzero(mask).tolist() for mask in components_by_colour(rgb, valid)), key=lambda p: p[0])
    assert [np.flatnonzero(found.full(i)).tolist() for i in range(len(found))] == wanted
    assert set(found.predicted_iou) == set(found.stability_score) == {1.0}


def test_pixels_touching_only_at_a_corner_are_two_objects():
    rgb = np.zeros((3, 4, 4), np.uint8)
    rgb[:, 1, 1] = rgb[:, 2, 2] = 255
    assert len(EXACT.propose(embed(rgb), KeepRule())) == 3


@pytest.fixture
def four_fields():
    """Columns 0-4, 5, 6-9 of three colours, row 9 of a fourth."""
    rgb = np.zeros((3, 10, 10), np.uint8)
    rgb[0, :, 5], rgb[1, :, 6:], rgb[2, 9, :] = 200, 100, 50
    rgb[:2, 9, :] = 0
    return rgb


def test_a_point_selects_the_component_under_it_by_corner_coordinates(four_fields):
    assert decode(four_fields, points=[(5.0, 0.0)]).boxes_xyxy.tolist() == [[5, 0, 6, 9]]
    assert decode(four_fields, points=[(4.999, 8.999)]).boxes_xyxy.tolist() == [[0, 0, 5, 9]]


def test_several_positive_points_give_one_union(four_fields):
    found = decode(four_fields, points=[(1.5, 1.5), (7.5, 1.5), (8.5, 2.5)])
    assert found.boxes_xyxy.tolist() == [[0, 0, 10, 9]]
    assert found.areas_px.tolist() == [9 * 9]
    assert found.prompt_index.tolist() == [0]


def test_a_negative_point_removes_its_component(four_fields):
    points = [(1.5, 1.5), (7.5, 1.5), (9.5, 8.5)]
    assert decode(four_fields, points=points, labels=[1, 1, 0]).boxes_xyxy.tolist() == [[0, 0, 5, 9]]
    assert len(decode(four_fields, points=points[1:], labels=[1, 0])) == 0


def test_points_outside_the_window_are_ignored(four_fields):
    points = [(-0.001, 1.5), (10.0, 1.5), (1.5, 10.0), (5.5, -3.0), (1.5, 1.5), (7.5, -1.0)]
    assert decode(four_fields, points=points, labels=[1, 1, 1, 1, 1, 0]).boxes_xyxy.tolist() == [[0, 0, 5, 9]]
    assert len(decode(four_fields, points=points[:4])) == 0


def test_a_box_selects_the_component_with_most_pixels_inside(four_fields):
    assert decode(four_fields, box=(3, 1, 9, 9)).boxes_xyxy.tolist() == [[6, 0, 10, 9]]
    assert decode(four_fields, box=(0, 8.5, 9, 12)).boxes_xyxy.tolist() == [[0, 9, 10, 10]]
    assert decode(four_fields, box=(5.2, 3.2, 5.4, 3.4)).boxes_xyxy.tolist() == [[5, 0, 6, 9]]
    assert len(decode(four_fields, box=(-5, -5, -1, -1))) == 0
    assert len(decode(four_fields, box=(10, 2, 12, 4))) == 0


def test_of_equal_counts_the_component_first_in_the_box_wins_in_any_window(four_fields):
    box = np.array([4, 2, 6, 5])
    assert decode(four_fields, box=box).boxes_xyxy.tolist() == [[0, 0, 5, 9]]
    mirrored = four_fields[:, :, ::-1]
    assert decode(mirrored, box=box).boxes_xyxy.tolist() == [[4, 0, 5, 9]]
    assert decode(mirrored[:, 2:], box=box - [0, 2, 0, 2]).boxes_xyxy.tolist() == [[4, 0, 5, 7]]


def test_a_box_with_a_negative_point_takes_the_next_component(four_fields):
    found = decode(four_fields, box=(3, 1, 9, 9), points=[(9.5, 0.5)], labels=[0])
    assert found.boxes_xyxy.tolist() == [[0, 0, 5, 9]]


def test_a_mask_selects_the_component_with_most_pixels_in_it(four_fields):
    mask = np.zeros((10, 10), bool)
    mask[7:, 6:] = mask[9, :] = True
    assert decode(four_fields, mask=mask).boxes_xyxy.tolist() == [[0, 9, 10, 10]]
    assert decode(four_fields, mask=mask, box=(0, 0, 10, 10)).boxes_xyxy.tolist() == [[0, 9, 10, 10]]


@pytest.mark.fault("P02")
def test_a_prompt_on_invalid_pixels_gives_no_row(four_fields):
    valid = np.ones((10, 10), bool)
    valid[:, :5] = False
    assert len(decode(four_fields, valid, points=[(1.5, 1.5)])) == 0
    assert len(decode(four_fields, valid, box=(0, 0, 4, 4))) == 0
    assert len(decode(four_fields, valid, mask=~valid)) == 0
    assert decode(four_fields, valid, box=(0, 0, 6, 4)).boxes_xyxy.tolist() == [[5, 0, 6, 9]]


def test_segmenters_keep_the_protocol_and_survive_pickling(four_fields):
    for segmenter in (EXACT, NullSegmenter(seed=3)):
        assert isinstance(segmenter, Segmenter)
        assert pickle.loads(pickle.dumps(segmenter)) == segmenter  # noqa: S301 our own bytes
        embedding = segmenter.embed(four_fields[None], np.ones((1, 10, 10), bool))[0]
        assert embedding.fingerprint == segmenter.spec.fingerprint
        assert embedding.input_hw == (10, 10)


def test_null_segmenter_gives_the_same_masks_with_holes_for_every_tile():
    null = NullSegmenter()
    blank = np.zeros((2, 3, 256, 192), np.uint8)
    first, second = (null.propose(e, KeepRule()) for e in null.embed(blank, np.ones((2, 256, 192), bool)))
    assert len(first) == 20
    assert first.to_bytes() == second.to_bytes()
    holes = [ndimage.label(np.pad(~first.full(i), 1, constant_values=True))[1] - 1 for i in range(20)]
    assert min(holes) >= 1
    assert any(first.touches)
    embedding = null.embed(blank, np.ones((2, 256, 192), bool))[0]
    prompts = prompt(points=[(1, 1)])
    decoded = null.decode(embedding, prompts, multimask=True, keep=None)
    assert decoded.prompt_index.tolist() == [0]
    assert np.array_equal(decoded.full(0), first.full(0))
    assert NullSegmenter(seed=1).propose(embedding, KeepRule()).to_bytes() != first.to_bytes()


def test_flat_scenes_are_seeded_and_hang_together_by_single_pixels():
    scenes = [flat_scene(np.random.default_rng(seed), 64, 48, 12) for seed in (0, 0, 1)]
    assert np.array_equal(scenes[0], scenes[1])
    assert not np.array_equal(scenes[0], scenes[2])
    assert set(map(tuple, scenes[0].reshape(3, -1).T)) <= set(map(tuple, PALETTE))
    linked = 0
    for seed in range(20):
        masks = EXACT.propose(embed(flat_scene(np.random.default_rng(seed), 64, 48, 12)), KeepRule())
        for row in range(len(masks)):
            _, pieces = ndimage.label(ndimage.binary_opening(masks.full(row), np.ones((2, 2))))
            linked += pieces > 1
    assert linked >= 20
