"""Windows of sessions: scopes, previews, announcements, prefetches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import SCENES
from session_cases import (
    OVERLAP,
    TILE,
    Counting,
    clicks,
    session_of,
    state_of,
)

from geosam import (
    EmbeddingMemory,
    open_scene,
)
from geosam.geometry.geobox import Window
from geosam.objects.observer import Callbacks
from geosam.objects.session import Session, WindowKey
from geosam.objects.windows import WindowRule
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


def test_an_object_larger_than_three_windows_arrives_whole_and_looking_may_be_held_back(wide):
    model = Counting()
    session = session_of(wide, model)
    draft = clicks(wide, (100.5, 25.5))
    none = session.answer(draft, "known")
    assert (none.ready, none.complete, none.found, model.embedded, model.decoded) == (False, False, None, [], [])
    first = session.answer(draft, "window")
    assert (first.ready, first.complete, len(model.embedded)) == (True, False, 1)
    assert first.found.columns["truncated"]
    assert state_of(session.answer(draft, "known")) == state_of(first)
    assert len(model.embedded) == 1
    whole = session.answer(draft)
    assert whole.complete
    assert whole.found.polygon.area == pytest.approx(10 * 185 * wide.geobox.pixel_area)
    assert (whole.found.columns["truncated"], whole.found.columns["n_tiles"] > 3) == (False, True)
    looked = len(model.embedded)
    for look in ("known", "window", "whole"):
        assert state_of(session.answer(draft, look)) == state_of(whole)
    assert len(model.embedded) == looked


def test_an_object_inside_the_first_window_is_complete_after_one_look(wide):
    model = Counting()
    session = session_of(wide, model)
    answer = session.answer(clicks(wide, (105.5, 45.5)), "window")
    assert (answer.complete, len(model.embedded)) == (True, 1)
    assert answer.found.polygon.area == pytest.approx(100 * wide.geobox.pixel_area)


def test_where_nothing_is_found_an_answer_is_complete(tmp_path):
    scene = open_scene(SCENES["nodata"](tmp_path))
    answer = session_of(scene).answer(clicks(scene, (5.5, 5.5)), "window")
    assert (answer.ready, answer.complete, answer.found) == (True, True, None)


def test_a_preview_may_come_from_a_neighbouring_window_but_is_never_complete(wide):
    model = Counting()
    session = session_of(wide, model)
    exact = session.answer(clicks(wide, (105.5, 45.5)))
    beside = clicks(wide, (109.5, 49.5))
    assert session.rule.follow(session._placed(beside)[0])[0] != exact.window
    preview = session.answer(beside, "known")
    assert (preview.ready, preview.complete, preview.window) == (True, False, exact.window)
    assert preview.found.polygon.equals(exact.found.polygon)
    assert len(model.embedded) == 1
    final = session.answer(beside)
    assert final.complete
    assert final.window != exact.window
    assert len(model.embedded) == 2
    at_the_edge = clicks(wide, (exact.window.col_off + 1.5, 45.5))
    assert not session.answer(at_the_edge, "known").ready


def test_windows_are_announced_and_an_announcement_can_stop_the_answer(wide):
    session, told = session_of(wide), []
    draft = clicks(wide, (100.5, 25.5))

    def stop(window, state):
        told.append((window, state))
        if len(told) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        session.answer(draft, observer=Callbacks(on_window=stop))
    first = session.rule.first_window((100.5, 25.5, 100.5, 25.5))
    assert told[:2] == [(first, "begun"), (first, "ended")]
    assert [state for _, state in told] == ["begun", "ended"] * 2 + ["begun"]
    assert len(session.memory) == 2
    told = []
    session.answer(draft, observer=Callbacks(on_window=lambda *one: told.append(one)))
    assert told[0] == (first, "known")
    begun, ended = ([window for window, state in told if state == wanted] for wanted in ("begun", "ended"))
    assert begun == ended
    assert len(session.memory) == 2 + len(begun)


def test_a_window_has_corners_on_the_map(tmp_path):
    session = session_of(open_scene(SCENES["rotated"](tmp_path)))
    corners = session.corners(Window(10, 20, 30, 40))
    assert session.scene.geobox.to_pixel(corners).tolist() == [[10, 20], [40, 20], [40, 60], [10, 60]]


def bounds_of(scene, window):
    xy = scene.geobox.to_map([(window.col_off, window.row_off), (window.col_end, window.row_end)])
    return (*xy.min(axis=0), *xy.max(axis=0))


def test_prefetch_makes_every_click_of_the_view_known_and_begins_where_previews_gain_most(large):
    model = Counting()
    session = session_of(large, model)
    view = Window(100, 80, 60, 50)
    made = list(session.prefetch(bounds_of(large, view), large.geobox.crs))
    assert all(made)
    assert len(made) == len(model.embedded) == len(session.memory)
    centre = session.rule.first_window((130, 105, 130, 105))
    assert next(iter(session.memory)) == WindowKey(session._embeddings.origin, centre)
    for x, y in itertools.product(range(100, 160, 7), range(80, 130, 7)):
        assert session.rule.first_window((x, y, x, y)) in session._embeddings.windows()
        assert session.answer(clicks(large, (x, y)), "known").ready
    assert len(model.embedded) == len(made)
    assert not any(session.prefetch(bounds_of(large, view), large.geobox.crs))


@given(st.data())
def test_the_first_windows_around_a_view_leave_no_place_without_a_preview(data):
    region = Window(data.draw(st.integers(0, 50)), 7, data.draw(st.integers(20, 400)), data.draw(st.integers(20, 400)))
    rule = WindowRule(region, TILE, OVERLAP)
    x0, x1 = sorted(data.draw(st.floats(region.col_off, region.col_end - 1)) for _ in range(2))
    y0, y1 = sorted(data.draw(st.floats(region.row_off, region.row_end - 1)) for _ in range(2))
    around = rule.around((x0, y0, x1, y1))
    assert len(around) == len(set(around))
    assert all(region.contains(window) for window in around)
    xs, ys = (np.append(np.arange(low, high, 5), high) for low, high in ((x0, x1), (y0, y1)))
    clicked = {rule.first_window((x, y, x, y)) for x in xs for y in ys}
    assert clicked <= set(around)
    reached = [
        max(_depth(window, x, y, region) for window in around[: _sparse(rule, x0, x1, y0, y1)]) for x in xs for y in ys
    ]
    assert min(reached) >= TILE / 8


def _sparse(rule, x0, x1, y0, y1):
    """Largest number of windows, if they overlap by a quarter and one begins in the middle."""
    steps = [(high - low) / (TILE / 4) for low, high in ((x0, x1), (y0, y1))]
    sides = [1 if size <= TILE else n // 3 + 4 for size, n in zip(rule.region.shape_hw[::-1], steps, strict=True)]
    return int(sides[0] * sides[1])


def _depth(window, x, y, region):
    gaps = [
        x - window.col_off if window.col_off > region.col_off else np.inf,
        y - window.row_off if window.row_off > region.row_off else np.inf,
        window.col_end - x if window.col_end < region.col_end else np.inf,
        window.row_end - y if window.row_end < region.row_end else np.inf,
    ]
    outside = not (window.col_off <= x < window.col_end and window.row_off <= y < window.row_end)
    return -1 if outside else min(gaps)


def test_prefetch_stops_at_its_share_and_pushes_out_neither_itself_nor_what_was_used(large):
    memory = EmbeddingMemory(60_000)  # a window takes 5 KiB: twelve, six of them ahead
    session = session_of(large, memory=memory)
    used = session.answer(clicks(large, (20.5, 20.5)), "window").window
    whole = large.geobox.bounds
    session_one = list(session.prefetch(whole, large.geobox.crs))
    assert 4 <= len(session_one) <= 6
    assert len(memory) == 1 + len(session_one)
    for x in range(30, 270, 40):  # pans
        before = set(memory)
        made = list(session.prefetch(bounds_of(large, Window(x, 100, 30, 60)), large.geobox.crs))
        assert len(made) <= 6
        assert session.memory.nbytes <= 60_000
        assert before != set(memory)
        assert WindowKey(session._embeddings.origin, used) in set(memory)


@pytest.mark.parametrize(
    ("bounds", "crs"), [((1e6, 1e6, 2e6, 2e6), None), ((-400, -300, 400, 300), "EPSG:4326"), ((5, 5, 5, 5), None)]
)
def test_a_view_that_shows_nothing_of_the_scene_prefetches_nothing(large, bounds, crs):
    assert list(session_of(large).prefetch(bounds, crs or large.geobox.crs)) == []


def test_prefetch_is_told_about_and_goes_step_by_step(large):
    session, told = session_of(large), []
    steps = session.prefetch(
        large.geobox.bounds, large.geobox.crs.to_wkt(), observer=Callbacks(on_window=lambda *one: told.append(one))
    )
    assert told == []
    assert next(steps)
    assert [state for _, state in told] == ["begun", "ended"]
    assert len(session.memory) == 1
    steps.close()


def test_a_session_uses_the_windows_of_a_batch_run_with_default_options(tmp_path):
    scene = open_scene(SCENES["north_up"](tmp_path))
    assert Session(scene, ThresholdSegmenter()).rule == WindowRule(scene.region, 1024, 256)
