"""Sessions give the polygons of batch runs, to the byte."""

from __future__ import annotations

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
    draft_of,
    open_scene,
    prompt_of,
    read_prompts,
    write_prompts,
)
from geosam.errors import PromptError
from geosam.prompts.draft import GRANULARITIES
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

MODELS = (ThresholdSegmenter(), RefiningSegmenter())


KINDS = ("north_up", "south_up", "rotated", "sheared", "geographic", "nodata")


def named(model):
    return model.spec.name


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
    """Result of a call, or the class of its refusal."""
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
