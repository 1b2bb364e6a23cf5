"""Click sessions: the answers of a session to the same draft, a history, and a table of accepted objects."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import picture
from session_cases import clicks, on_map, scene_of, session_of, state_of

from geosam import Draft
from geosam.errors import PromptError, PromptOutsideScene
from geosam.objects.click_session import ClickSession


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return scene_of(tmp_path_factory.mktemp("clicks"), picture(60, 50))


def click_session(scene, **options):
    return ClickSession(session_of(scene), **options)


def at(scene, x, y, crs=None):
    """Map coordinates of a place in pixels."""
    return on_map(scene, scene.geobox.crs if crs is None else crs, (x, y))[0]


def wkb(polygon):
    return None if polygon is None else shapely.to_wkb(polygon)


def expected_polygon(scene, draft):
    """The polygon of a fresh session for a draft; None without an object."""
    answer = session_of(scene).answer(draft) if draft.selects else None
    return None if answer is None or answer.found is None else answer.found.polygon


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["click", "click", "exclude", "box", "undo", "redo", "accept", "clear"]),
        st.integers(1, 48),
        st.integers(1, 38),
    ),
    max_size=12,
)


@settings(max_examples=25)
@given(ACTIONS)
def test_whatever_the_user_does_the_polygon_is_that_of_the_draft(scene, actions):
    session = click_session(scene)
    drafts, undone, accepted = [Draft(scene.geobox.crs.to_wkt())], [], []
    for action, x, y in actions:
        if action == "undo":
            session.undo()
            if len(drafts) > 1:
                undone.append(drafts.pop())
        elif action == "redo":
            session.redo()
            if undone:
                drafts.append(undone.pop())
        elif action == "accept":
            if session.polygon is None:
                with pytest.raises(PromptError, match="no object to accept"):
                    session.accept()
                continue
            accepted.append(wkb(session.accept()))
            drafts, undone = drafts[:1], []
        elif action == "clear":
            session.clear()
            drafts, undone = drafts[:1], []
        else:
            if action == "box":
                corners = on_map(scene, scene.geobox.crs, (x, y), (x, y + 6), (x + 9, y + 6), (x + 9, y))
                xs, ys = zip(*corners, strict=True)
                session.box(min(xs), min(ys), max(xs), max(ys))
            else:
                getattr(session, action)(*at(scene, x + 0.5, y + 0.5))
            drafts.append(session.draft)
            undone = []
        assert session.draft == drafts[-1]
        assert wkb(session.polygon) == wkb(expected_polygon(scene, drafts[-1]))
    assert [wkb(polygon) for polygon in session.polygons.geometry] == accepted


def test_a_click_gives_the_answer_of_the_session(scene):
    session = click_session(scene)
    polygon = session.click(*at(scene, 20.5, 20.5))
    direct = session_of(scene).answer(clicks(scene, (20.5, 20.5)))
    assert wkb(polygon) == wkb(direct.found.polygon)
    assert state_of(session.answer) == state_of(direct)


@pytest.mark.parametrize("crs", ["EPSG:4326", 3857, "EPSG:32633"])
def test_coordinates_of_any_crs_find_the_same_object(scene, crs):
    session = click_session(scene)
    expected = wkb(session.click(*at(scene, 20.5, 20.5)))
    session.clear()
    assert wkb(session.click(*at(scene, 20.5, 20.5, crs), crs=crs)) == expected
    session.clear()
    corners = np.array(on_map(scene, crs, (10.2, 10.2), (10.2, 30.2), (30.2, 30.2), (30.2, 10.2)))
    assert session.box(*corners.min(axis=0), *corners.max(axis=0), crs=crs) is not None
    assert len(session.draft.steps) == 1


def test_a_click_that_is_refused_leaves_no_trace(scene):
    session = click_session(scene)
    before = wkb(session.click(*at(scene, 20.5, 20.5)))
    with pytest.raises(PromptOutsideScene):
        session.click(*at(scene, 500, 20))
    with pytest.raises(PromptError, match="coordinates are not finite") as refusal:
        session.click(float("nan"), 1)
    assert refusal.value.code == "not-finite"
    with pytest.raises(PromptError, match="unknown CRS: `crs`"):
        session.click(1, 2, crs="EPSG:nonsense")
    with pytest.raises(PromptError) as refusal:
        session.click(1e30, 1e30, crs="EPSG:4326")
    assert refusal.value.code == "point-without-place"
    assert len(session.draft.steps) == 1
    assert wkb(session.polygon) == before


def test_an_exclusion_alone_selects_nothing(scene):
    session = click_session(scene)
    assert session.exclude(*at(scene, 20.5, 20.5)) is None
    assert session.answer is None
    assert len(session.draft.steps) == 1


def test_accepted_objects_are_a_table_with_the_attributes_of_the_user(scene):
    session = click_session(scene)
    assert len(session.polygons) == 0
    assert session.polygons.crs == scene.geobox.crs
    session.click(*at(scene, 20.5, 20.5))
    columns = dict(session.answer.found.columns)
    session.accept(kind="house", floors=2)
    session.click(*at(scene, 40.5, 30.5))
    session.accept(kind="shed")
    table = session.polygons
    assert table["id"].tolist() == [1, 2]
    assert table["kind"].tolist() == ["house", "shed"]
    assert table["floors"].isna().tolist() == [False, True]
    assert list(table.columns) == ["id", *columns, "kind", "floors", "geometry"]
    assert {name: table[name][0] for name in columns} == columns


@pytest.mark.parametrize("name", ["score", "id", "geometry"])
def test_an_attribute_may_not_have_the_name_of_a_column(scene, name):
    session = click_session(scene)
    session.click(*at(scene, 20.5, 20.5))
    with pytest.raises(PromptError, match=f"name of a column of the result: '{name}'") as refusal:
        session.accept(**{name: 1})
    assert refusal.value.values == {"attribute": name}
    assert session.polygon is not None
    assert len(session.polygons) == 0


def test_nothing_is_accepted_twice(scene):
    session = click_session(scene)
    session.click(*at(scene, 20.5, 20.5))
    session.accept()
    with pytest.raises(PromptError) as refusal:
        session.accept()
    assert refusal.value.code == "nothing-to-accept"
    assert session.undo() is None
    assert len(session.polygons) == 1


@pytest.mark.parametrize("owns", [True, False])
def test_a_session_closes_the_scene_that_it_owns(tmp_path, owns, monkeypatch):
    scene, closed = scene_of(tmp_path, picture(30, 30)), []

    def close(self):
        closed.append(self)

    monkeypatch.setattr(type(scene), "close", close)
    with click_session(scene, owns_scene=owns) as session:
        session.click(*at(scene, 10.5, 10.5))
    assert closed == ([scene] if owns else [])


def test_a_session_prints_its_scene_and_its_counts(scene):
    session = click_session(scene)
    session.click(*at(scene, 20.5, 20.5))
    session.accept()
    session.click(*at(scene, 20.5, 20.5))
    session.exclude(*at(scene, 40.5, 30.5))
    assert repr(session) == f"<geosam session on {scene.path} with threshold: 2 steps, 1 accepted>"
