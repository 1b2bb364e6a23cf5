"""Windows of prompts: inside the region, around their prompts, shared by neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.geometry.geobox import Window
from geosam.objects.windows import WindowRule, group_prompts
from geosam.prompts.prompt import ScenePrompt, Steps


@st.composite
def rules(draw):
    """Rules over regions that are smaller and larger than a tile."""
    offsets, sides = st.integers(0, 300), st.integers(1, 600)
    region = Window(draw(offsets), draw(offsets), draw(sides), draw(sides))
    tile = draw(st.integers(4, 200))
    return WindowRule(region, tile, draw(st.integers(0, tile // 2)), limit_px=draw(st.integers(tile, 900)))


@st.composite
def bounds_in(draw, region, most=1.0):
    """Bounds inside a region, of a limited size."""
    x = draw(st.floats(region.col_off, region.col_end - 0.01))
    y = draw(st.floats(region.row_off, region.row_end - 0.01))
    width, height = draw(st.floats(0, most)), draw(st.floats(0, most))
    return x, y, min(x + width, region.col_end), min(y + height, region.row_end)


@st.composite
def clicked(draw, region, index=0):
    """A prompt of several clicks, of which the first includes."""
    count = draw(st.integers(1, 5))
    places = [draw(bounds_in(region, 0.0))[:2] for _ in range(count)]
    points = np.array(places, np.float64)
    labels = np.array([1, *(draw(st.integers(0, 1)) for _ in range(count - 1))], np.int8)
    bounds = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    steps = Steps(np.arange(count), 0, 0) if draw(st.booleans()) else None
    return ScenePrompt(index, points, labels, None, None, "auto", bounds, steps)


def holds(window, bounds):
    """Return True if a window holds bounds, its edges included."""
    x0, y0, x1, y1 = bounds
    return window.col_off <= x0 and window.row_off <= y0 and x1 <= window.col_end and y1 <= window.row_end


@given(rules(), st.data())
def test_a_first_window_lies_in_the_region_and_holds_a_prompt_of_less_than_three_quarters_of_a_tile(rule, data):
    bounds = data.draw(bounds_in(rule.region, rule.tile_size * 0.7 - 1))
    window = rule.first_window(bounds)
    assert rule.region.contains(window)
    assert window.width == min(rule.tile_size, rule.region.width)
    assert window.height == min(rule.tile_size, rule.region.height)
    assert holds(window, bounds)


@given(rules(), st.data())
def test_a_first_window_lies_on_the_lattice_at_most_an_eighth_of_a_tile_beside_its_prompt(rule, data):
    x0, y0, x1, y1 = data.draw(bounds_in(rule.region, 30.0))
    window = rule.first_window((x0, y0, x1, y1))
    quarter = rule.tile_size // 4 or 1
    axes = (
        ((x0 + x1) / 2, window.col_off, window.width, rule.region.col_off, rule.region.col_end),
        ((y0 + y1) / 2, window.row_off, window.height, rule.region.row_off, rule.region.row_end),
    )
    for middle, start, side, low, high in axes:
        starts = {min(max(n * quarter, low), high - side) for n in range(-1, high // quarter + 2)}
        assert start in starts
        centred = min(max(middle - side / 2, low), high - side)
        assert abs(start - centred) <= quarter / 2 + 1e-6


@given(rules(), st.data())
def test_growth_begins_with_a_window_of_its_grid_and_stays_in_the_region(rule, data):
    first = rule.first_window(data.draw(bounds_in(rule.region)))
    grid = rule.grid(first)
    windows = [grid.window(tile) for tile in range(len(grid))] if len(grid) < 500 else [first]
    assert first in windows
    assert all(rule.region.contains(window) for window in windows)
    assert rule.allows(first, first)


@given(rules(), st.data())
def test_growth_is_allowed_inside_a_square_around_the_first_window(rule, data):
    first = rule.first_window(data.draw(bounds_in(rule.region)))
    shift = st.integers(-rule.limit_px, rule.limit_px)
    window = first.shifted(data.draw(shift), data.draw(shift))
    margins = (rule.limit_px - first.width) // 2, (rule.limit_px - first.height) // 2
    inside = abs(window.col_off - first.col_off) <= margins[0] and abs(window.row_off - first.row_off) <= margins[1]
    assert rule.allows(window, first) == inside


@given(rules(), st.data())
def test_the_states_of_a_prompt_belong_to_one_window_and_end_with_the_prompt(rule, data):
    prompt = data.draw(clicked(rule.region))
    window, states = rule.follow(prompt)
    history = prompt.history()
    assert states[-1] is prompt
    assert [len(state.labels) for state in states] == [len(state.labels) for state in history[-len(states) :]]
    if len(states) > 1 or len(history) == 1:
        assert window == rule.first_window(states[0].bounds_xyxy)
    for state in states[1:]:
        assert holds(window, state.bounds_xyxy) or rule.first_window(state.bounds_xyxy) == window


@given(rules(), st.data())
def test_groups_hold_every_prompt_once_and_go_row_by_row(rule, data):
    prompts = [data.draw(clicked(rule.region, number)) for number in range(data.draw(st.integers(0, 8)))]
    groups = group_prompts(prompts, rule)
    windows = [window for window, _ in groups]
    assert windows == sorted(set(windows), key=lambda window: (window.row_off, window.col_off))
    assert sorted(prompt.index for _, group in groups for prompt in group) == list(range(len(prompts)))
    for window, group in groups:
        assert [prompt.index for prompt in group] == sorted(prompt.index for prompt in group)
        assert all(rule.follow(prompt)[0] == window for prompt in group)


@pytest.mark.parametrize(("tile", "side"), [(64, 64), (64, 10), (1, 5), (3, 40)])
def test_small_regions_and_tiny_tiles_have_windows(tile, side):
    rule = WindowRule(Window(7, 9, side, side), tile, 0)
    window = rule.first_window((8, 10, 9, 11))
    assert window.shape_hw == (min(tile, side), min(tile, side))
    assert window in rule.around((8, 10, 9, 11))
