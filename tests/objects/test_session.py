"""Sessions: the batch's polygons to the byte, from looking at no more than is allowed, asking no more than is new."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from known_answers import RefiningSegmenter
from pyproj import CRS
from scenes import SCENES, picture
from session_cases import (
    OPTIONS,
    OVERLAP,
    TILE,
    Counting,
    CountingRefining,
    batch_row,
    clicks,
    on_map,
    same_as_batch,
    scene_of,
    session_of,
    state_of,
)

from geosam import (
    Draft,
    EmbeddingMemory,
    EmbeddingStore,
    Prompt,
    draft_of,
    open_scene,
    prompt_of,
    read_prompts,
    write_prompts,
)
from geosam.errors import CRSMismatch, EmptyPrompt, PromptError, PromptOutsideScene, UnreadableScene
from geosam.geometry.geobox import Window
from geosam.objects.observer import Callbacks
from geosam.objects.session import Session, WindowKey
from geosam.objects.windows import WindowRule
from geosam.prompts.draft import GRANULARITIES
from geosam.prompts.prompt import Steps
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

MODELS = (ThresholdSegmenter(), RefiningSegmenter())
KINDS = ("north_up", "south_up", "rotated", "sheared", "geographic", "nodata")


def named(model):
    return model.spec.name


@pytest.fixture
def wide(tmp_path):
    """A scene with one object that reaches over many windows, one that lies in one, and a frame that is not them."""
    grey = np.zeros((64, 200))
    grey[20:30, 5:190] = 100
    grey[40:50, 100:110] = 200
    return scene_of(tmp_path, grey)


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", None])
@pytest.mark.parametrize("kind", ["south_up", "rotated", "geographic"])
def test_every_click_gives_what_a_batch_run_gives_for_the_saved_prompts(kind, crs, model, tmp_path):
    scene = open_scene(SCENES[kind](tmp_path))
    session = session_of(scene, model)
    places = [(20.5, 30.5), (60.3, 40.2), (80.9, 10.1), (10.1, 60.7, 0)]
    for count in range(1, len(places) + 1):
        draft = clicks(scene, *places[:count], crs=crs)
        answer = session.answer(draft)
        assert (answer.ready, answer.complete) == (True, True)
        write_prompts(tmp_path / "prompts.gpkg", [prompt_of(draft, 7, {"use": "roof"})], overwrite=True)
        (again,), _ = read_prompts(tmp_path / "prompts.gpkg")
        row = batch_row(scene, model, [again], tmp_path)
        assert (row is None) == (answer.found is None)
        if row is not None:
            assert row[0] == shapely.to_wkb(answer.found.polygon)
            assert row[1].items() >= answer.found.columns.items()
            assert (row[1]["prompt_id"], row[1]["use"]) == ("7", "roof")


@st.composite
def drafts(draw, scene):
    """Points, boxes turned by any angle and masks with holes, in any order, in several CRSs."""
    crs = draw(st.sampled_from([scene.geobox.crs.to_wkt(), "EPSG:3857", "EPSG:4326"]))
    draft = Draft(crs, granularity=draw(st.sampled_from(GRANULARITIES)))
    width, height = scene.geobox.width, scene.geobox.height
    places = st.tuples(st.floats(-3, width + 3), st.floats(-3, height + 3))
    for kind in draw(st.lists(st.sampled_from(["point", "point", "point", "box", "mask"]), min_size=1, max_size=5)):
        x, y = draw(places)
        if kind == "point":
            draft = draft.with_point(*on_map(scene, crs, (x, y))[0], draw(st.integers(0, 1)))
            continue
        size, angle = draw(st.floats(2, 30)), draw(st.floats(0, 7))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) @ turn * size + (x, y)
        corners = on_map(scene, crs, *square)
        if kind == "box":
            draft = draft.with_box(corners)
        else:
            hole = on_map(scene, crs, *((square - (x, y)) / 3 + (x, y)))
            draft = draft.with_mask([corners, hole] if draw(st.booleans()) else [corners])
    return draft


@pytest.fixture(scope="module")
def known_scenes(tmp_path_factory):
    """Scenes of several kinds, and a session of each model that has seen them."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        scene = open_scene(SCENES[kind](folder))
        found[kind] = [(session_of(scene, model), folder) for model in MODELS]
    return found


def outcome(call):
    """What a call gives, or the class of its refusal."""
    try:
        return call()
    except PromptError as error:
        return type(error)


@pytest.mark.fault("Q14")
@given(data=st.data())
def test_any_draft_gives_what_a_batch_run_gives(known_scenes, data):
    session, folder = data.draw(st.sampled_from(known_scenes[data.draw(st.sampled_from(KINDS))]))
    draft = data.draw(drafts(session.scene))
    answer = outcome(lambda: session.answer(draft))
    if isinstance(answer, type):
        assert outcome(lambda: batch_row(session.scene, session.segmenter, [prompt_of(draft)], folder)) is answer
    else:
        assert same_as_batch(answer, session, draft, folder)


@pytest.mark.fault("Q14")
@given(data=st.data())
def test_what_was_asked_and_seen_before_makes_no_difference(known_scenes, data):
    session, _ = data.draw(st.sampled_from(known_scenes[data.draw(st.sampled_from(KINDS))]))
    draft = data.draw(drafts(session.scene))
    look = data.draw(st.sampled_from(["known", "window", "whole"]))
    answer = outcome(lambda: session.answer(draft, look))
    fresh = outcome(lambda: session_of(session.scene, session.segmenter).answer(draft))
    if isinstance(answer, type):
        assert fresh is answer
    elif answer.complete:
        assert state_of(answer) == state_of(fresh)


@given(data=st.data())
def test_re_editing_goes_on_from_the_same_prompt(known_scenes, data, tmp_path_factory):
    session, _ = data.draw(st.sampled_from(known_scenes["rotated"]))
    draft = data.draw(drafts(session.scene))
    prompt = outcome(lambda: prompt_of(draft))
    if isinstance(prompt, type):
        return
    path = tmp_path_factory.getbasetemp() / "again.gpkg"
    write_prompts(path, [prompt], overwrite=True)
    (read,), _ = read_prompts(path)
    again = draft_of(read)
    assert CRS(again.crs).equals(CRS(draft.crs), ignore_axis_order=True)
    assert (len(again.steps), again.granularity) == (len(draft.steps), draft.granularity)
    assert [(step.kind, step.label) for step in again.steps] == [(step.kind, step.label) for step in draft.steps]
    assert [step for step in again.steps if step.kind == "point"] == [s for s in draft.steps if s.kind == "point"]
    before, after = (outcome(lambda d=d: session.answer(d)) for d in (draft, again))
    assert before is after if isinstance(before, type) else state_of(before) == state_of(after)


@pytest.mark.parametrize(
    "shaping", [{"simplify_m": 3.0}, {"fill_holes_m2": 50.0}, {"simplify_m": 1, "fill_holes_m2": 9}]
)
def test_polygons_are_shaped_as_those_of_a_batch_run(shaping, tmp_path):
    array = picture(seed=9)
    array[:, 20:50, 20:60] = 250
    array[:, 30:34, 30:34] = array[:, 40:42, 50:54] = 3
    session = session_of(scene_of(tmp_path, array))
    draft = clicks(session.scene, (22.5, 22.5))
    answer = session.answer(draft, **shaping)
    wkb, columns = batch_row(
        session.scene,
        session.segmenter,
        [prompt_of(draft)],
        tmp_path,
        OPTIONS.__class__(**{**vars(OPTIONS), **shaping}),
    )
    assert shapely.to_wkb(answer.found.polygon) == wkb != shapely.to_wkb(session.answer(draft).found.polygon)
    assert columns.items() >= answer.found.columns.items()


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


@pytest.mark.parametrize("model", [Counting, CountingRefining], ids=["threshold", "refining"])
def test_each_further_click_costs_one_question_and_none_if_it_was_asked_before(model, tmp_path):
    counting = model()
    session = session_of(scene_of(tmp_path, picture(30, 30)), counting)
    places = list(itertools.product((4.5, 12.5, 20.5), (6.5, 13.5, 25.5)))
    seen = []
    for count in range(1, len(places) + 1):
        counting.decoded.clear()
        draft = clicks(session.scene, *((x, y, int(number != 3)) for number, (x, y) in enumerate(places[:count])))
        seen.append((draft, state_of(session.answer(draft))))
        assert counting.decoded == [1]
    counting.decoded.clear()
    for draft, state in reversed(seen):  # undo
        assert state_of(session.answer(draft)) == state
    assert counting.decoded == []
    for draft, state in seen:
        assert state_of(session_of(session.scene, model()).answer(draft)) == state


def test_what_is_remembered_of_answers_is_bounded_and_can_be_forgotten(tmp_path):
    counting = Counting()
    session = session_of(scene_of(tmp_path, picture(30, 30)), counting)
    session._answers.max_bytes = 20_000
    for x, y in itertools.product(range(0, 30, 2), range(0, 30, 2)):
        session.answer(clicks(session.scene, (x, y)))
        assert session._answers._bytes <= 20_000
    assert len(counting.decoded) == 225
    session.answer(clicks(session.scene, (28, 28)))
    assert len(counting.decoded) == 225
    session.clear()
    session.answer(clicks(session.scene, (28, 28)))
    assert len(counting.decoded) == 226


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


@pytest.mark.fault("L07")
def test_sixteen_threads_with_one_draft_look_once_and_agree(wide):
    model, memory, all_here = Counting(), EmbeddingMemory(), threading.Barrier(16)
    sessions = [session_of(wide, model, memory=memory) for _ in range(4)]
    draft = clicks(wide, (105.5, 45.5))

    def ask(number):
        all_here.wait(60)
        return state_of(sessions[number % 4].answer(draft))

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1
    assert len(model.embedded) == 1


@pytest.mark.fault("L08")
def test_sessions_of_other_files_models_or_options_share_a_memory_but_no_embedding(tmp_path):
    memory, states = EmbeddingMemory(), set()
    (tmp_path / "other").mkdir()
    one, other = SCENES["north_up"](tmp_path), SCENES["north_up"](tmp_path / "other", picture(seed=6))
    for number, (path, model, options) in enumerate(
        [(one, MODELS[0], {}), (other, MODELS[0], {}), (one, MODELS[1], {}), (one, MODELS[0], {"stretch": "0,99"})], 1
    ):
        session = session_of(open_scene(path, **options), model, memory=memory)
        draft = clicks(session.scene, (45.5, 35.5))
        states.add(state_of(session.answer(draft, "window")))
        assert len(memory) == number
        again = session_of(open_scene(path, **options), model, memory=memory)
        assert again.answer(draft, "known").ready
    assert len(memory) == 4


def test_a_memory_of_one_window_gives_the_same_answers(wide):
    draft = clicks(wide, (100.5, 25.5), (105.5, 45.5))
    roomy, narrow = session_of(wide), session_of(wide, memory=EmbeddingMemory(1))
    assert state_of(narrow.answer(draft)) == state_of(roomy.answer(draft))
    assert len(narrow.memory) == 1


def test_a_store_is_used_and_filled(wide, tmp_path):
    store, first, second = EmbeddingStore(tmp_path / "store"), Counting(), Counting()
    draft = clicks(wide, (100.5, 25.5))
    state = state_of(session_of(wide, first, store=store).answer(draft))
    assert first.embedded
    assert state_of(session_of(wide, second, store=store).answer(draft)) == state
    assert second.embedded == []


def test_a_file_that_was_changed_is_refused_until_it_is_opened_again(tmp_path):
    memory = EmbeddingMemory()
    path = SCENES["north_up"](tmp_path)
    session = session_of(open_scene(path), memory=memory)
    draft = clicks(session.scene, (45.5, 35.5))
    old = state_of(session.answer(draft))
    (tmp_path / "new").mkdir()
    SCENES["north_up"](tmp_path / "new", picture(seed=6)).replace(path)
    for look in ("known", "window", "whole"):
        with pytest.raises(UnreadableScene, match="changed while reading"):
            session.answer(draft, look)
    with pytest.raises(UnreadableScene, match="changed while reading"):
        next(session.prefetch(session.scene.geobox.bounds, session.scene.geobox.crs))
    again = session_of(open_scene(path), memory=memory)
    assert not again.answer(draft, "known").ready
    assert state_of(again.answer(draft)) == state_of(session_of(open_scene(path)).answer(draft)) != old
    path.unlink()
    with pytest.raises(UnreadableScene):
        again.answer(draft)


@dataclass(frozen=True)
class Meddling(ThresholdSegmenter):
    """Overwrites the file while it looks."""

    path: object = None

    def embed(self, rgb, valid):
        data = bytearray(self.path.read_bytes())
        data[-1] ^= 255
        self.path.write_bytes(data)
        return super().embed(rgb, valid)


def test_nothing_of_a_file_that_changes_while_it_is_looked_at_is_kept(tmp_path):
    path = SCENES["north_up"](tmp_path)
    session = session_of(open_scene(path), Meddling(path=path))
    with pytest.raises(UnreadableScene, match="changed while reading"):
        session.answer(clicks(session.scene, (45.5, 35.5)))
    assert len(session.memory) == 0


def test_drafts_that_say_nothing_or_lie_elsewhere_are_refused(wide):
    session = session_of(wide)
    crs = wide.geobox.crs.to_wkt()
    with pytest.raises(PromptOutsideScene, match="the draft"):
        session.answer(clicks(wide, (100.5, 25.5), (-5, 4)))
    with pytest.raises(EmptyPrompt, match="nothing to select: the draft"):
        session.answer(clicks(wide, (100.5, 25.5, 0)))
    with pytest.raises(EmptyPrompt, match="nothing to select"):
        session.answer(Draft(crs))
    with pytest.raises(EmptyPrompt, match="the box has no area"):
        session.answer(Draft(crs).with_box(on_map(wide, crs, (1, 1), (5, 5), (5, 5), (1, 1))))
    with pytest.raises(EmptyPrompt, match="the polygon has no area"):
        session.answer(Draft(crs).with_mask([on_map(wide, crs, (1, 1), (5, 5), (9, 9))]))
    with pytest.raises(PromptError, match="unknown CRS: the draft: found 'EPSG:nonsense'"):
        session.answer(Draft("EPSG:nonsense").with_point(1, 2, 1))
    with pytest.raises(CRSMismatch):
        session.answer(Draft("EPSG:4326").with_point(1e6, 2e6, 1))
    with pytest.raises(PromptError, match="not finite"):
        session.answer(Draft(crs).with_point(float("nan"), 2, 1))


def test_a_draft_outside_the_region_in_use_is_refused(tmp_path):
    path = SCENES["north_up"](tmp_path)
    whole = open_scene(path)
    xmin, ymin, xmax, ymax = whole.geobox.bounds
    part = open_scene(path, window=(xmin, ymin, (xmin + xmax) / 2, ymax))
    session = session_of(part)
    assert session.answer(clicks(part, (20.5, 20.5))).ready
    with pytest.raises(PromptOutsideScene, match="columns 0 to 45"):
        session.answer(clicks(part, (80.5, 20.5)))


def test_a_box_that_reaches_over_the_edge_is_clipped_with_a_warning(wide):
    crs = wide.geobox.crs.to_wkt()
    box = Draft(crs).with_box(on_map(wide, crs, (190, 10), (230, 10), (230, 30), (190, 30)))
    assert "reaches over the edge" in session_of(wide).answer(box).warnings[0]


def test_a_window_has_corners_on_the_map(tmp_path):
    session = session_of(open_scene(SCENES["rotated"](tmp_path)))
    corners = session.corners(Window(10, 20, 30, 40))
    assert session.scene.geobox.to_pixel(corners).tolist() == [[10, 20], [40, 20], [40, 60], [10, 60]]


def test_parts_given_at_once_become_steps_of_a_draft():
    prompt = Prompt(
        "x",
        CRS(32633),
        np.array([[3.0, 4.0], [5.0, 6.0]]),
        np.array([1, 0], np.int8),
        box_xyxy=(0.0, 0.0, 9.0, 9.0),
        mask=shapely.box(1, 1, 4, 4),
        steps=Steps(np.array([0, 1]), box=1, polygon=0),
    )
    draft = draft_of(prompt)
    assert [step.kind for step in draft.steps] == ["mask", "point", "box", "point"]
    assert draft.crs == "EPSG:32633"
    triangle = shapely.Polygon([(0, 0), (9, 0), (0, 9)])
    odd = Prompt("y", CRS(32633), box_xyxy=triangle.bounds, outline=triangle)
    assert sorted(draft_of(odd).steps[0].rings[0]) == [(0, 0), (0, 9), (9, 0), (9, 9)]


def test_rings_inside_of_rings_are_holes_and_a_crossing_outline_is_repaired():
    def square(size):
        return [(-size, -size), (size, -size), (size, size), (-size, size)]

    polygon = prompt_of(Draft("EPSG:32633").with_mask([square(2), square(9), square(6), [(20, 0), (24, 0), (24, 4)]]))
    assert polygon.mask.area == 18**2 - 12**2 + 4**2 + 8
    bowtie = prompt_of(Draft("EPSG:32633").with_mask([[(0, 0), (4, 4), (4, 0), (0, 4)]]))
    assert bowtie.mask.is_valid
    assert bowtie.mask.area == 8


@pytest.fixture
def large(tmp_path):
    """A scene of many windows."""
    return scene_of(tmp_path, picture(300, 260))


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
    """How many windows it takes at most if they overlap by a quarter and one begins in the middle."""
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
    assert Session(scene, MODELS[0]).rule == WindowRule(scene.region, 1024, 256)
