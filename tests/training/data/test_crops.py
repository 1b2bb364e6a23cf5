import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geosam.training.data import crops
from geosam.training.data.crops import MIN_OBJECT_PX, random_sample
from geosam.training.samples import LabelledPicture

seeds = st.integers(0, 2**32 - 1)


def blobs(height=400, width=520, pitch=65, radius=20.0, **changes):
    """A picture of bright discs on dark ground; one point is at the middle of each."""
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    centres = [(cx, cy) for cy in range(pitch // 2, height, pitch) for cx in range(pitch // 2, width, pitch)]
    instances = np.zeros((height, width), np.int32)
    for number, (cx, cy) in enumerate(centres, 1):
        instances[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = number
    rgb = np.where(instances > 0, 200, 40).astype(np.uint8)
    everywhere = np.ones((height, width), bool)
    values = {
        "name": "blobs",
        "rgb": np.stack([rgb, rgb // 2, 255 - rgb]),
        "valid": everywhere,
        "instances": instances,
        "complete": everywhere,
        "gsd": 0.5,
        "points": np.array(centres, np.float32),
    }
    return LabelledPicture(**{**values, **changes})


BLOBS = blobs()
SPECKS = blobs(radius=2.6)
SMALL = blobs(80, 70, pitch=35, radius=10)
BOXED = blobs(boxes=np.concatenate([BLOBS.points - 20, BLOBS.points + 20], axis=1), points=np.zeros((0, 2), np.float32))


def draw(picture, seed, size=96, **options):
    return random_sample(picture, size, np.random.default_rng(seed), **options)


def middle_of(mask):
    rows, cols = np.nonzero(mask)
    return np.array([cols.mean() + 0.5, rows.mean() + 0.5])


def whole(sample):
    """Masks of the objects of a sample that do not touch its edge or the edge of the picture."""
    rim = np.ones(sample.valid.shape, bool)
    rim[2:-2, 2:-2] = ~sample.valid[2:-2, 2:-2]
    numbers = np.setdiff1d(sample.instances, [0, *sample.instances[rim]])
    return [sample.instances == number for number in numbers]


@given(seeds)
def test_labels_stay_on_the_pixels_they_belong_to(seed):
    sample = draw(BLOBS, seed)
    bright, labelled = sample.rgb[0] > 120, sample.instances > 0
    within = ndimage.minimum_filter(labelled, 5, mode="constant", cval=False)
    apart = ~ndimage.maximum_filter(labelled | ~sample.complete, 5, mode="constant", cval=True)
    assert bright[within].all()
    assert not bright[apart].any()
    assert within.any() | apart.any()


@given(seeds)
def test_points_stay_in_the_middle_of_their_objects(seed):
    sample = draw(BLOBS, seed)
    for mask in whole(sample):
        distances = np.hypot(*(sample.points - middle_of(mask)).T)
        assert distances.min() < 0.6
    assert ((sample.points >= 0) & (sample.points < 96)).all()


@given(seeds)
def test_boxes_stay_around_their_objects(seed):
    sample = draw(BOXED, seed)
    for mask in whole(sample):
        rows, cols = np.nonzero(mask)
        box = np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1])
        assert np.abs(sample.boxes - box).max(axis=1).min() < 1.5
    assert (sample.boxes[:, :2] < sample.boxes[:, 2:]).all()
    assert ((sample.boxes >= 0) & (sample.boxes <= 96)).all()


@given(seeds, st.sampled_from([0.4, 0.7, 1.0, 2.0]))
def test_objects_appear_at_the_scale_that_was_drawn(seed, scale):
    for mask in whole(draw(BLOBS, seed, scale_range=(scale, scale))):
        assert mask.sum() == pytest.approx(math.pi * (20 * scale) ** 2, rel=0.08)


def test_scales_are_drawn_log_uniformly():
    rng = np.random.default_rng(0)
    steps = [crops._random_placing(BLOBS, 96, rng, (0.4, 2.0)).step for _ in range(2000)]
    logs = (np.log(1 / np.array(steps)) - math.log(0.4)) / math.log(5)
    assert logs.min() >= 0
    assert logs.max() <= 1
    assert np.histogram(logs, 5, (0, 1))[0] == pytest.approx(400, rel=0.2)


def test_half_of_the_crops_are_turned_by_any_angle_and_half_are_mirrored():
    rng = np.random.default_rng(0)
    matrices = np.array([crops._random_placing(BLOBS, 96, rng, (1, 1)).matrix for _ in range(1000)])
    aligned = (np.abs(matrices) < 1e-12).any(axis=(1, 2))
    assert aligned.mean() == pytest.approx(0.5, abs=0.06)
    assert (np.linalg.det(matrices) < 0).mean() == pytest.approx(0.5, abs=0.06)
    assert len(np.unique(matrices[aligned].round(9), axis=0)) == 8
    with_boxes = [crops._random_placing(BOXED, 96, rng, (1, 1)).matrix for _ in range(200)]
    assert (np.abs(with_boxes) < 1e-12).any(axis=(1, 2)).all()


def test_a_quarter_turn_at_native_scale_is_a_turn_of_the_pixels_up_to_half_a_pixel_of_position():
    ramp = np.add.outer(np.arange(200) * 0.2, np.arange(200) * 1.0)
    picture = blobs(200, 200, rgb=np.stack([ramp] * 3).astype(np.uint8), boxes=np.array([[50, 50, 60, 60]], np.float32))
    for seed in range(8):
        sample = draw(picture, seed, 64, scale_range=(1, 1))
        inner = sample.rgb[0, 16:48, 16:48].astype(float)
        slopes = sorted(abs(np.diff(inner, axis=axis).mean()) for axis in (0, 1))
        assert slopes == pytest.approx([0.2, 1], abs=0.06)


def test_fine_patterns_become_grey_and_not_moire_when_made_smaller():
    stripes = np.tile(np.array([0, 255], np.uint8), (3, 400, 200))
    picture = blobs(400, 400, rgb=stripes)
    for seed in range(20):
        sample = draw(picture, seed, scale_range=(0.4, 0.45))
        shown = sample.rgb[:, sample.valid].astype(float)
        assert shown.mean() == pytest.approx(127.5, abs=6)
        assert shown.std() < 40


@given(seeds)
def test_objects_are_numbered_in_sequence_and_specks_are_unknown(seed):
    sample = draw(SPECKS, seed, scale_range=(0.5, 1.2))
    numbers, counts = np.unique(sample.instances, return_counts=True)
    assert numbers.tolist() == list(range(len(numbers)))
    assert (counts[1:] >= MIN_OBJECT_PX).all()
    lost = (sample.rgb[0] > 175) & (sample.instances == 0) & sample.valid
    assert not sample.complete[lost].any()


@given(seeds)
def test_outside_the_picture_nothing_is_known(seed):
    sample = draw(SMALL, seed)
    outside = ~sample.valid
    assert not sample.rgb[:, outside].any()
    assert not sample.instances[outside].any()
    assert not sample.complete[outside].any()
    assert (sample.rgb[2][sample.valid] > 0).all(), "the picture has no black pixel, nor does its edge fade"


def test_invalid_and_unlabelled_pixels_stay_so():
    rows = np.arange(400)[:, None] < 200
    picture = blobs(valid=np.broadcast_to(rows, (400, 520)).copy(), complete=np.zeros((400, 520), bool))
    samples = [draw(picture, seed) for seed in range(30)]
    assert 0.1 < np.mean([sample.valid.mean() for sample in samples]) < 0.9
    assert not any(sample.complete.any() for sample in samples)
    assert not any(sample.instances[~sample.valid].any() for sample in samples)


def test_most_crops_show_a_label_wherever_it_is():
    lonely = blobs(1000, 1000, pitch=1000, radius=60)
    samples = [draw(lonely, seed, scale_range=(0.9, 1.1)) for seed in range(100)]
    assert np.mean([sample.instances.any() for sample in samples]) > 0.4
    dots = blobs(1000, 1000, pitch=1000, instances=np.zeros((1000, 1000), np.int32))
    middles = [one.points[0] for one in (draw(dots, seed) for seed in range(200)) if len(one.points)]
    assert len(middles) > 150
    assert np.std(middles, axis=0) == pytest.approx(96 / math.sqrt(12), rel=0.15), "anywhere, not in the middle"


def test_the_same_seed_gives_the_same_crop():
    first, second, other = draw(BLOBS, 3), draw(BLOBS, 3), draw(BLOBS, 4)
    for name in ("rgb", "valid", "instances", "complete", "boxes", "points"):
        assert (getattr(first, name) == getattr(second, name)).all()
    assert (first.rgb != other.rgb).any()


def test_types_and_shapes_are_those_of_a_sample():
    sample = draw(BOXED, 1, 80)
    assert (sample.rgb.shape, sample.rgb.dtype) == ((3, 80, 80), np.uint8)
    assert {sample.valid.shape, sample.instances.shape, sample.complete.shape} == {(80, 80)}
    assert (sample.valid.dtype, sample.complete.dtype, sample.instances.dtype) == (bool, bool, np.int32)
    assert (sample.boxes.dtype, sample.points.dtype) == (np.float32, np.float32)


def test_a_crop_takes_milliseconds_however_large_the_picture():
    picture = blobs(3000, 3000, pitch=3000)
    rng = np.random.default_rng(0)
    random_sample(picture, 256, rng)
    began = time.process_time()
    for _ in range(20):
        random_sample(picture, 256, rng)
    assert (time.process_time() - began) / 20 < 0.03, "measured: 2 ms alone on one core"
