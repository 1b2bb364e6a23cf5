"""Finished objects: their bytes and their text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from geosam.geometry import corners
from geosam.geometry.geobox import Window
from geosam.objects.scene_object import SceneObject, pack_objects, unpack_objects

COLUMNS = ("score", "stability", "n_tiles", "touches_edge", "truncated", "prompt_index", "class_id", "class_score")


@st.composite
def objects(draw):
    """Objects of any shape with any columns."""
    mask = draw(arrays_of.arrays(bool, arrays_of.array_shapes(min_dims=2, max_dims=2, max_side=6)))
    form = corners.corners_of(mask, draw(st.integers(-9, 10**6)), draw(st.integers(-9, 10**6)))
    share = st.floats(0, 1)
    return SceneObject(
        form,
        score=draw(share),
        stability=draw(share),
        n_tiles=draw(st.integers(1, 1000)),
        touches_edge=draw(st.booleans()),
        truncated=draw(st.booleans()),
        prompt_index=draw(st.integers(-1, 10**6)),
        class_id=draw(st.integers(-1, 300)),
        class_score=draw(share | st.just(math.nan)),
    )


@given(st.lists(objects(), max_size=5))
def test_objects_come_back_from_their_bytes(made):
    again = unpack_objects(pack_objects(made))
    assert len(again) == len(made)
    for one, other in zip(made, again, strict=True):
        assert other.corners.dtype == np.int32
        np.testing.assert_array_equal(one.corners, other.corners)
        for name in COLUMNS:
            before, after = getattr(one, name), getattr(other, name)
            assert type(after) is type(before), name
            assert before == after or (math.isnan(before) and math.isnan(after)), name


@given(st.lists(objects(), max_size=5))
def test_equal_objects_have_equal_bytes(made):
    assert pack_objects(made) == pack_objects(unpack_objects(pack_objects(made)))


def test_no_bytes_are_no_objects():
    assert unpack_objects(b"") == []
    assert unpack_objects(pack_objects([])) == []


def square(**columns):
    form = corners.corners_of(np.ones((20, 30), bool), 100, 200)
    return SceneObject(
        form, **{"score": 0.91234, "stability": 0.5, "n_tiles": 2, "touches_edge": False, "truncated": False} | columns
    )


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "SceneObject(600 px, columns 100 to 130, rows 200 to 220, score 0.912)"),
        (
            {"truncated": True, "touches_edge": True},
            "SceneObject(600 px, columns 100 to 130, rows 200 to 220, score 0.912, touches_edge, truncated)",
        ),
        ({"class_id": 3}, "SceneObject(600 px, columns 100 to 130, rows 200 to 220, score 0.912, class 3)"),
    ],
)
def test_an_object_prints_its_size_its_place_and_its_score(columns, text):
    assert repr(square(**columns)) == text


def test_an_object_without_pixels_prints_too():
    assert repr(SceneObject(corners.NO_CORNERS, 1.0, 1.0, 1, touches_edge=False, truncated=False)) == (
        "SceneObject(without pixels)"
    )


@given(objects())
def test_every_object_prints_in_one_line_that_agrees_with_its_mask(item):
    text = repr(item)
    assert "\n" not in text
    assert len(text) < 160
    if len(item.corners):
        box = corners.bounds(item.corners)
        mask = corners.mask_of(item.corners, Window(box.col_off, box.row_off, box.width, box.height))
        assert f"({np.count_nonzero(mask)} px," in text
