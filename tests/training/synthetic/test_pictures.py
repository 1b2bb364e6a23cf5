"""From the canvas to the picture: numbers, exposure, and the kinds of scenes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.training.synthetic import pictures, render
from geosam.training.synthetic.canvas import Canvas


@given(st.integers(0, 2**32 - 1))
def test_objects_are_renumbered_in_order_without_the_small_ones(seed):
    rng = np.random.default_rng(seed)
    instances = rng.choice([0, 2, 5, 6, 30], (16, 16), p=[0.3, 0.4, 0.2, 0.06, 0.04]).astype(np.int32)
    found = pictures._renumbered(instances)
    kept = [number for number in (2, 5, 6, 30) if (instances == number).sum() >= pictures.LEAST_PIXELS]
    for new, old in enumerate(kept, start=1):
        assert np.array_equal(found == new, instances == old)
    assert found.max() == len(kept)


def test_an_exposed_picture_is_black_where_nothing_was_imaged_and_only_there():
    canvas = Canvas(48, 0.5, np.random.default_rng(0))
    canvas.rgb[:] = -50
    valid = np.ones((48, 48), bool)
    valid[:, :10] = False
    shown = pictures.expose(canvas, valid)
    assert (shown.shape, shown.dtype) == ((3, 48, 48), np.uint8)
    assert not shown[:, ~valid].any()
    assert (shown[:, valid] > 0).all()


def test_a_brighter_canvas_gives_a_brighter_picture():
    means = []
    for value in (40, 110, 200):
        canvas = Canvas(48, 0.5, np.random.default_rng(0))
        canvas.rgb[:] = value
        means.append(pictures.expose(canvas, np.ones((48, 48), bool)).mean())
    assert means == sorted(means)
    assert means[2] > 3 * means[0]


def test_kinds_and_resolutions_are_drawn_as_they_are_listed():
    scenes = [render(np.random.default_rng([7, seed]), 32) for seed in range(120)]
    shares = Counter(scene.name.removeprefix("synthetic ") for scene in scenes)
    for kind, (share, (finest, coarsest)) in pictures._KINDS.items():
        assert shares[kind] / 120 == pytest.approx(share, abs=0.13)
        assert all(finest <= scene.gsd <= coarsest for scene in scenes if scene.name.endswith(kind))
