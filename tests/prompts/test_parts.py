"""Parts of a prompt: what a caller writes is converted without a change of value, or refused with a code."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from geosam.errors import CRSMismatch, EmptyPrompt, PromptError
from geosam.geometry.geobox import Window, crs_name
from geosam.prompts.parts import box_of, check_mask, known_crs, labels_of, points_of, stated_crs
from geosam.prompts.placement import in_region
from geosam.prompts.prompt import ScenePrompt

NUMBERS = st.floats(-1e9, 1e9)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6))
def test_points_keep_their_values_in_any_container(points):
    for form in (points, np.array(points).reshape(-1, 2), [list(xy) for xy in points]):
        assert points_of(form, "here").tolist() == [list(xy) for xy in points]


@given(st.lists(st.integers(0, 1), max_size=6))
def test_labels_may_be_whole_numbers_floats_or_booleans(labels):
    for kind in (int, float, bool, np.int64):
        converted = labels_of([kind(label) for label in labels], "here")
        assert converted.dtype == np.int8
        assert converted.tolist() == labels


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_a_box_has_an_area_or_is_refused(corners):
    xmin, ymin, xmax, ymax = corners
    if xmin < xmax and ymin < ymax:
        assert box_of(list(corners), "here") == corners
    else:
        with pytest.raises(EmptyPrompt, match="expected xmin < xmax and ymin < ymax"):
            box_of(corners, "here")


@pytest.mark.parametrize(
    ("convert", "value", "code"),
    [
        (points_of, [[1, float("inf")]], "prompt-not-finite"),
        (points_of, [1, 2], "points-not-pairs"),
        (points_of, [["a", "b"]], "prompt-not-numbers"),
        (labels_of, [2], "unknown-label"),
        (box_of, (0, 0, 1), "box-not-four-numbers"),
        (box_of, (0, 0, float("nan"), 1), "prompt-not-finite"),
        (check_mask, shapely.Point(1, 2), "not-a-mask"),
        (check_mask, shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "mask-without-area"),
        (known_crs, "EPSG:0", "unknown-crs"),
        (known_crs, [4326], "unknown-crs"),
        (stated_crs, None, "prompt-without-crs"),
    ],
)
def test_every_refusal_names_the_source_and_has_a_code(convert, value, code):
    with pytest.raises(PromptError, match=": here: ") as caught:
        convert(value, "here")
    assert caught.value.code == code
    assert isinstance(caught.value, CRSMismatch) == (code == "prompt-without-crs")


def test_a_crs_is_parsed_once_and_one_that_is_parsed_stays_itself():
    crs = CRS(32633)
    assert known_crs(crs, "here") is crs
    assert known_crs("EPSG:32633", "here") is known_crs("EPSG:32633", "there")
    assert (crs_name(crs), crs_name(CRS("+proj=laea +lat_0=52"))) == ("EPSG:32633", "unknown")


@given(st.integers(-5, 30), st.integers(-5, 30))
def test_a_prompt_is_in_a_region_if_its_bounds_meet_a_pixel_of_it(x, y):
    region = Window(5, 7, 10, 8)
    prompt = ScenePrompt(0, np.array([[x, y]], float), np.ones(1, np.int8), None, None, "auto", (x, y, x, y))
    inside, outside = in_region([prompt], region)
    meets = region.col_off <= x < region.col_end and region.row_off <= y < region.row_end
    assert (inside == [prompt]) == meets
    assert (outside == [prompt]) == (not meets)
