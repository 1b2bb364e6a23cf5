"""Values on the command line: a text that says them right is read back exactly, any other is refused by name."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from geosam.apps.cli.options.value_types import BANDS, BOUNDS, BOX, CRS_TEXT, POINT, SIZE

numbers = st.floats(allow_nan=False, allow_infinity=False)


def read(kind, text):
    return kind.convert(text, None, None)


def joined(values):
    return ",".join(map(repr, values))


@given(st.tuples(numbers, numbers))
def test_a_point_is_read_back_exactly(values):
    assert read(POINT, joined(values)) == values
    assert read(POINT, values) == values


@given(st.lists(numbers, max_size=6).filter(lambda values: len(values) != 4))
def test_a_box_has_four_numbers(values):
    with pytest.raises(click.BadParameter, match=r"is not XMIN,YMIN,XMAX,YMAX: 4 numbers"):
        read(BOX, joined(values))


@given(st.tuples(numbers, numbers, numbers, numbers))
def test_bounds_are_read_back_exactly_if_they_enclose_an_area(values):
    xmin, ymin, xmax, ymax = values
    if xmin < xmax and ymin < ymax:
        assert read(BOUNDS, joined(values)) == values
    else:
        with pytest.raises(click.BadParameter, match="encloses no area"):
            read(BOUNDS, joined(values))


@given(st.lists(st.integers(1, 99), min_size=3, max_size=3) | st.lists(st.integers(1, 99), min_size=1, max_size=1))
def test_one_band_or_three_are_read(bands):
    assert read(BANDS, joined(bands)) == tuple(bands)


@pytest.mark.parametrize("text", ["", "0", "1,2", "1,2,3,4", "1,,3", "-1", "1.0", "a", "1,2,0", "1, 2, 3", "²"])
def test_other_lists_of_bands_are_refused(text):
    with pytest.raises(click.BadParameter, match="names no bands"):
        read(BANDS, text)


@given(st.integers(1, 2**40), st.sampled_from("KMGT"), st.sampled_from(["", "B", "iB", "b", "ib"]), st.booleans())
def test_a_size_is_a_number_of_units_of_1024(number, unit, ending, lower):
    text = f"{number}{unit}{ending}"
    assert read(SIZE, text.lower() if lower else text) == number * 1024 ** (1 + "KMGT".index(unit))
    assert read(SIZE, number) == number


@pytest.mark.parametrize("text", ["EPSG:32633", "epsg:4326", "WGS 84", "+proj=utm +zone=33"])
def test_a_crs_is_any_text_that_proj_knows(text):
    assert read(CRS_TEXT, text).equals(CRS.from_user_input(text), ignore_axis_order=True)


@pytest.mark.parametrize("text", ["", "EPSG:0", "nonsense", "EPSG"])
def test_other_texts_are_no_crs(text):
    with pytest.raises(click.BadParameter, match="no CRS that PROJ knows"):
        read(CRS_TEXT, text)
