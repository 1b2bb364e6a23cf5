"""Growth of prompted objects, against the connected components of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geosam.geometry import corners
from geosam.geometry.geobox import Window
from geosam.objects.growth import segment_prompted
from geosam.objects.windows import WindowRule
from geosam.prompts.prompt import ScenePrompt
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


@dataclass
class Pictured:
    """Embeds windows of a grey picture and counts them."""

    picture: np.ndarray
    segmenter: ThresholdSegmenter
    seen: int = 0
    padding: int = 0

    def __call__(self, window):
        self.seen += 1
        grey = self.picture[window.slices_rc].astype(np.uint8)
        beyond = (0, self.padding)
        valid = np.pad(np.ones(grey.shape, bool), (beyond, beyond))
        return self.segmenter.embed(np.pad(np.stack([grey] * 3), ((0, 0), beyond, beyond))[None], valid[None])[0]


def point(x, y, index=0):
    xy = np.array([[x + 0.5, y + 0.5]])
    return ScenePrompt(index, xy, np.ones(1, np.int8), None, None, "auto", (x, y, x + 1, y + 1))


def click(picture, x, y, tile_size, overlap, *, padding=0, **rule):
    height, width = picture.shape
    rule = WindowRule(Window(0, 0, width, height), tile_size, overlap, **rule)
    prompt = point(x, y)
    first = rule.first_window(prompt.bounds_xyxy)
    (found,) = segment_prompted(Pictured(picture, ThresholdSegmenter(), padding=padding), [prompt], first, rule)
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
    found = click(picture, x, y, tile_size, overlap, padding=data.draw(st.sampled_from([0, 7])))
    assert (corners.mask_of(found.corners, Window(0, 0, *picture.shape[::-1])) == component_at(picture, x, y)).all()
    assert not found.truncated


def test_an_object_larger_than_three_windows_arrives_whole_and_says_how_many_it_took():
    picture = np.zeros((64, 400), int)
    picture[20:30, 5:390] = 1
    found = click(picture, 200, 25, 64, 16)
    assert corners.area(found.corners) == picture.sum()
    assert found.n_tiles > 3
    assert not found.touches_edge


@dataclass(frozen=True)
class Listening(ThresholdSegmenter):
    """Keeps the points it is asked about."""

    asked: list = field(default_factory=list)

    def decode(self, embedding, prompts, *, multimask, keep):
        self.asked.append((prompts.points[0].tolist(), prompts.labels[0].tolist(), multimask))
        return super().decode(embedding, prompts, multimask=multimask, keep=keep)


def test_the_next_window_is_prompted_with_points_along_the_strip():
    picture = np.zeros((64, 120), int)
    picture[2:62, 5:110] = 1
    rule, listening = WindowRule(Window(0, 0, 120, 64), 64, 16), Listening()
    (found,) = segment_prompted(Pictured(picture, listening), [point(32, 32)], Window(0, 0, 64, 64), rule)
    assert corners.area(found.corners) == picture.sum()
    first, (points, labels, multimask) = listening.asked[:2]
    assert first == ([[32.5, 32.5]], [1], True)
    assert (labels, multimask) == ([1, 1, 1], True)
    xs, ys = zip(*points, strict=True)
    assert all(3 < x < 13 for x in xs)
    assert max(ys) - min(ys) > 40


def test_what_was_excluded_stays_excluded_in_windows_to_come():
    picture = np.zeros((64, 400), int)
    picture[20:30, 5:390] = 1
    xy, labels = np.array([[200.5, 25.5], [330.5, 25.5]]), np.array([1, 0], np.int8)
    prompt = ScenePrompt(0, xy, labels, None, None, "auto", (200.5, 25.5, 330.5, 25.5))
    rule = WindowRule(Window(0, 0, 400, 64), 64, 16)
    (found,) = segment_prompted(Pictured(picture, ThresholdSegmenter()), [prompt], Window(176, 0, 64, 64), rule)
    bounds = corners.bounds(found.corners)
    assert found.truncated
    assert bounds.col_off == 5
    assert 250 < bounds.col_end <= 330


def test_growth_stops_at_the_limit_and_says_so():
    picture = np.ones((32, 600), int)
    found = click(picture, 300, 16, 32, 8, limit_px=128)
    assert found.truncated
    assert corners.bounds(found.corners).width <= 128


def test_a_polygon_is_burnt_into_the_whole_of_a_padded_tile():
    picture = np.zeros((20, 30), int)
    picture[4:12, 6:20] = 1
    polygon = shapely.box(7, 5, 16, 11)
    prompt = ScenePrompt(0, np.empty((0, 2)), np.empty(0, np.int8), None, polygon, "auto", polygon.bounds)
    window = Window(0, 0, 30, 20)
    (found,) = segment_prompted(
        Pictured(picture, ThresholdSegmenter(), padding=12), [prompt], window, WindowRule(window)
    )
    assert (corners.mask_of(found.corners, window) == (picture == 1)).all()


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
