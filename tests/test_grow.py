"""Growth of prompted objects, against the connected components of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geosam import corners
from geosam.geobox import Window
from geosam.grow import WindowRule, segment_prompted
from geosam.masks import MaskSet
from geosam.prompts import ScenePrompt
from geosam.testing import ThresholdSegmenter


@dataclass
class Pictured:
    """Embeds windows of a grey picture and counts them."""

    picture: np.ndarray
    segmenter: ThresholdSegmenter
    seen: int = 0

    def __call__(self, window):
        self.seen += 1
        grey = self.picture[window.slices_rc].astype(np.uint8)
        return self.segmenter.embed(np.stack([grey] * 3)[None], np.ones((1, *grey.shape), bool))[0]


def point(x, y, index=0):
    xy = np.array([[x + 0.5, y + 0.5]])
    return ScenePrompt(index, xy, np.ones(1, np.int8), None, None, "auto", (x, y, x + 1, y + 1))


def click(picture, x, y, tile_size, overlap, **rule):
    height, width = picture.shape
    rule = WindowRule(Window(0, 0, width, height), tile_size, overlap, **rule)
    prompt = point(x, y)
    first = rule.first_window(prompt.bounds_xyxy)
    (found,) = segment_prompted(Pictured(picture, ThresholdSegmenter()), [prompt], first, rule)
    return found


def component_at(picture, x, y):
    labels, _ = ndimage.label(picture == picture[y, x])
    return labels == labels[y, x]


@st.composite
def pictures_with_a_click(draw):
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.sampled_from([1, 3]))
    picture = (rng.random((height, width)) < 0.4).repeat(block, 0).repeat(block, 1)[:height, :width].astype(int)
    for _ in range(6):
        row, col = rng.integers(height), rng.integers(width)
        picture[row, col : col + 40] = 1
        picture[row : row + 40, col] = 1
    return picture, draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))


@given(pictures_with_a_click(), st.integers(5, 24), st.data())
def test_a_click_gives_the_whole_component_whatever_the_windows(case, tile_size, data):
    picture, x, y = case
    overlap = data.draw(st.integers(2, tile_size - 1))
    found = click(picture, x, y, tile_size, overlap)
    assert (corners.mask_of(found.corners, Window(0, 0, *picture.shape[::-1])) == component_at(picture, x, y)).all()
    assert not found.truncated


def test_an_object_larger_than_three_windows_arrives_whole_and_says_how_many_it_took():
    picture = np.zeros((64, 400), int)
    picture[20:30, 5:390] = 1
    found = click(picture, 200, 25, 64, 16)
    assert corners.area(found.corners) == picture.sum()
    assert found.n_tiles > 3
    assert not found.touches_edge


def test_growth_stops_at_the_limit_and_says_so():
    picture = np.ones((32, 600), int)
    found = click(picture, 300, 16, 32, 8, limit_px=128)
    assert found.truncated
    assert corners.bounds(found.corners).width <= 128


def test_neighbouring_prompts_share_a_window():
    rule = WindowRule(Window(0, 0, 5000, 5000))
    assert rule.first_window((2000, 2000, 2001, 2001)) == rule.first_window((2060, 1990, 2061, 1991))


@pytest.mark.parametrize("centre", [0, 100, 700, 4990])
def test_the_first_window_has_the_prompt_well_inside(centre):
    window = WindowRule(Window(0, 0, 5000, 3000)).first_window((centre, centre / 2, centre + 1, centre / 2 + 1))
    assert window.shape_hw == (1024, 1024)
    assert Window(0, 0, 5000, 3000).contains(window)
    assert abs(np.clip(centre, 512, 5000 - 512) - (window.col_off + 512)) <= 128


class OneSided(ThresholdSegmenter):
    """Sees nothing but the first window."""

    def decode(self, embedding, prompts, *, multimask, keep):
        masks = super().decode(embedding, prompts, multimask=multimask, keep=keep)
        return MaskSet.empty(masks.shape_hw) if len(prompts.points[0]) and prompts.points[0][0, 0] < 20 else masks


def test_a_neighbour_that_sees_nothing_leaves_the_object_truncated():
    picture = np.zeros((64, 200), int)
    picture[20:30, 5:190] = 1
    height, width = picture.shape
    rule = WindowRule(Window(0, 0, width, height), 64, 16)
    prompt = point(100, 25)
    (found,) = segment_prompted(Pictured(picture, OneSided()), [prompt], rule.first_window(prompt.bounds_xyxy), rule)
    assert found.truncated
