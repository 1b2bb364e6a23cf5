"""Drafts: values that survive JSON, and histories that can be gone through in both directions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.prompts.draft import GRANULARITIES, Draft, DraftError, History, Step

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VERTICES = st.tuples(NUMBERS, NUMBERS)
SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@st.composite
def drafts(draw):
    draft = Draft(draw(st.text(min_size=1)), granularity=draw(st.sampled_from(GRANULARITIES)))
    for kind in draw(st.lists(st.sampled_from(["point", "box", "mask"]), max_size=8)):
        if kind == "point":
            draft = draft.with_point(*draw(VERTICES), draw(st.integers(0, 1)))
        elif kind == "box":
            draft = draft.with_box(draw(st.lists(VERTICES, min_size=4, max_size=4)))
        else:
            draft = draft.with_mask(draw(st.lists(st.lists(VERTICES, min_size=3, max_size=6), min_size=1, max_size=3)))
    return draft


@given(drafts())
def test_a_draft_survives_json(draft):
    assert Draft.from_json(json.loads(json.dumps(draft.to_json()))) == draft
    assert hash(Draft.from_json(draft.to_json())) == hash(draft)


@given(drafts())
def test_there_is_at_most_one_box_and_one_mask_and_steps_stay_in_order(draft):
    kinds = [step.kind for step in draft.with_box(SQUARE).with_mask([SQUARE]).with_point(1, 2, 0).steps]
    assert kinds[-3:] == ["box", "mask", "point"]
    assert (kinds.count("box"), kinds.count("mask")) == (1, 1)
    again = draft.with_box(SQUARE).with_point(1, 2, 0).with_box(SQUARE)
    assert [step.kind for step in again.steps][-2:] == ["point", "box"]


def test_a_draft_is_a_value():
    empty = Draft("EPSG:32633")
    assert empty.with_point(1, 2, 1) == empty.with_point(1.0, 2.0, 1) != empty.with_point(1, 2, 0)
    assert empty == Draft("EPSG:32633")
    assert empty.steps == ()


def test_a_draft_selects_as_soon_as_anything_includes():
    empty = Draft("EPSG:32633")
    assert not empty.selects
    assert not empty.with_point(1, 2, 0).selects
    assert empty.with_point(1, 2, 0).with_point(3, 4, 1).selects
    assert empty.with_box(SQUARE).selects
    assert empty.with_mask([SQUARE]).selects


def test_the_level_of_detail_goes_round():
    draft = seen = Draft("EPSG:32633").with_point(1, 2, 1)
    levels = []
    for _ in range(4):
        levels.append(seen.granularity)
        seen = seen.with_next_granularity()
    assert levels == ["auto", "part", "whole", "group"]
    assert seen == draft


def point(**changes):
    return {"crs": "EPSG:4326", "steps": [{"kind": "point", "label": 1, "rings": [[[1, 2]]], **changes}]}


def test_what_may_be_left_out_has_a_default():
    data = point()
    del data["steps"][0]["label"]
    assert Draft.from_json(data) == Draft("EPSG:4326", (Step("point", 1, (((1.0, 2.0),),)),))


@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "draft:"),
        ([], "draft:"),
        ({"steps": []}, "draft.crs"),
        ({"crs": "", "steps": []}, "draft.crs"),
        ({"crs": 4326, "steps": []}, "draft.crs"),
        ({"crs": "EPSG:4326"}, "draft.steps"),
        ({"crs": "EPSG:4326", "steps": {}}, "draft.steps"),
        ({"crs": "EPSG:4326", "steps": [3]}, r"draft.steps\[0\]"),
        ({"crs": "EPSG:4326", "steps": [], "granularity": "some"}, "draft.granularity"),
        ({"crs": "EPSG:4326", "steps": [], "granularity": ["part"]}, "draft.granularity"),
        ({"crs": "EPSG:4326", "steps": [], "granularity": None}, "draft.granularity"),
        (point(kind="line"), "kind"),
        (point(kind=None), "kind"),
        (point(kind=["point"]), "kind"),
        (point(label=2), "label"),
        (point(label=True), "label"),
        (point(label=1.0), "label"),
        (point(label=[1]), "label"),
        (point(kind="box", label=0, rings=[SQUARE]), "label"),
        (point(rings=None), "rings"),
        (point(rings=[]), "rings"),
        (point(rings=[[]]), "rings"),
        (point(rings=[[[1, 2], [3, 4]]]), "rings"),
        (point(rings=[[[1, 2]], [[3, 4]]]), "rings"),
        (point(rings=[[[1, 2, 3]]]), "rings"),
        (point(rings=[[["1", 2]]]), "rings"),
        (point(rings=[[[True, 2]]]), "rings"),
        (point(rings=[[[float("nan"), 2]]]), "rings"),
        (point(rings=[[[float("inf"), 2]]]), "rings"),
        (point(rings=[[[10**400, 2]]]), "rings"),
        (point(kind="box", rings=[SQUARE[:3]]), "rings"),
        (point(kind="mask", rings=[SQUARE, SQUARE[:2]]), "rings"),
        ({"crs": "EPSG:4326", "steps": [{"kind": "box", "rings": [SQUARE]}] * 2}, "at most one box"),
        ({"crs": "EPSG:4326", "steps": [{"kind": "mask", "rings": [SQUARE]}] * 2}, "at most one mask"),
    ],
)
def test_data_that_is_no_draft_is_refused_by_naming_the_field(data, field):
    with pytest.raises(DraftError, match=field):
        Draft.from_json(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@pytest.mark.fault("F14")
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "crs": JSON,
            "granularity": JSON,
            "steps": st.lists(
                st.fixed_dictionaries(
                    {}, optional={"kind": st.sampled_from(["point", "box"]), "rings": JSON, "label": JSON}
                )
            ),
        },
    )
    | JSON
)
def test_any_data_is_a_draft_or_a_draft_error(data):
    try:
        draft = Draft.from_json(data)
    except DraftError:
        return
    assert Draft.from_json(draft.to_json()) == draft


@given(st.lists(st.sampled_from(["click", "detail", "undo", "redo", "same"]), max_size=40))
def test_undo_and_redo_go_through_what_a_list_remembers(asked):
    history, states, place = History(Draft("EPSG:32633")), [Draft("EPSG:32633")], 0
    for number, what in enumerate(asked):
        if what in ("click", "detail"):
            here = states[place]
            changed = here.with_point(number, 1, 1) if what == "click" else here.with_next_granularity()
            history.change(changed)
            states, place = [*states[: place + 1], changed], place + 1
        elif what == "same":
            history.change(states[place])
        elif what == "undo":
            assert history.undo() == (place > 0)
            place = max(place - 1, 0)
        else:
            assert history.redo() == (place < len(states) - 1)
            place = min(place + 1, len(states) - 1)
        assert history.draft == states[place]
        assert (history.can_undo, history.can_redo) == (place > 0, place < len(states) - 1)
