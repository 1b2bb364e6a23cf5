"""Columns of an output: names that every format takes, and values of every kind as Arrow arrays."""

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import shapely
from export_cases import target_at
from hypothesis import example, given
from hypothesis import strategies as st

from geosam.errors import ExportError
from geosam.vector.schema import (
    GEOMETRY,
    RESERVED,
    SHORT_NAME,
    Column,
    Features,
    arrow_schema,
    column_to_arrow,
    cut,
    geometries_of,
    plan_names,
)

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=14)
OUT = Path("out.gpkg")


@given(
    st.lists(
        st.sampled_from(["fid", "FID", "name", "Name", "näme", "abcdefghijkl", "abcdefghijXY", "geom"]), max_size=30
    )
)
@example(["name"] * 12)
def test_names_differ_without_regard_to_case_and_none_is_reserved(names):
    for short in (False, True):
        planned, _ = plan_names([Column(name, "int") for name in names], short=short)
        folded = [name.casefold() for name in planned]
        assert len(planned) == len(names)
        assert len(set(folded)) == len(folded)
        assert not RESERVED & set(folded)
        assert all(len(name.encode()) <= SHORT_NAME for name in planned) or not short


@given(st.lists(NAMES.filter(lambda name: name.casefold() not in RESERVED), max_size=6, unique_by=str.casefold))
def test_names_that_need_no_change_get_none_and_no_warning(names):
    assert plan_names([Column(name, "text") for name in names], short=False) == (tuple(names), [])


def test_a_warning_lists_the_renamed_columns_in_order():
    columns = [Column("id", "int"), Column("fid", "int"), Column("ID", "int"), Column("stability", "float", "stab")]
    assert plan_names(columns, short=False)[1] == ["columns renamed for this format: fid -> fid_1, ID -> ID_1"]
    planned, (note,) = plan_names(columns, short=True)
    assert planned == ("id", "fid_1", "ID_1", "stab")
    assert note.endswith("stability -> stab")


@given(st.text(max_size=30), st.integers(0, 40))
def test_a_cut_text_is_the_longest_beginning_that_fits(text, size):
    short = cut(text, size)
    assert text.startswith(short)
    assert len(short.encode()) <= size
    following = text[len(short) : len(short) + 1]
    assert not following or len((short + following).encode()) > size


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int", [1, None, -(2**63), 2**63 - 1]),
        ("float", [0.1, None, 1e300]),
        ("text", ["naïve", None, ""]),
        ("bool", [True, None, False]),
        ("date", [dt.date(1969, 12, 31), None]),
        ("datetime", [dt.datetime(2024, 2, 29, 12, 30, 15, 250_000, dt.UTC), None]),
    ],
)
def test_values_come_back_from_arrow_as_they_were(kind, values):
    array, lost = column_to_arrow(Column("a", kind), values, OUT, 0)
    assert array.to_pylist() == values
    assert lost == 0


@given(st.lists(st.floats(), max_size=20))
def test_numbers_that_are_not_finite_are_counted_and_become_null(values):
    array, lost = column_to_arrow(Column("a", "float"), values, OUT, 0)
    assert array.to_pylist() == [value if math.isfinite(value) else None for value in values]
    assert lost == sum(not math.isfinite(value) for value in values)


def test_times_are_utc_whatever_zone_they_come_in():
    zone = dt.timezone(dt.timedelta(hours=5, minutes=45))
    noon = dt.datetime(2024, 6, 1, 12, tzinfo=zone)
    array, _ = column_to_arrow(Column("a", "datetime"), [noon], OUT, 0)
    assert array.to_pylist() == [dt.datetime(2024, 6, 1, 6, 15, tzinfo=dt.UTC)]
    without = column_to_arrow(Column("a", "datetime"), [noon.replace(tzinfo=None)], OUT, 0)[0]
    assert without.to_pylist() == [dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)]


@given(st.integers(0, 50), st.integers(0, 9))
def test_a_value_that_does_not_fit_is_named_by_its_feature(first, row):
    values = [1] * row + ["x"] + [2] * 3
    with pytest.raises(ExportError, match=f"out.gpkg, feature {first + row} field \"n\": found 'x'") as caught:
        column_to_arrow(Column("n", "int"), values, OUT, first)
    assert caught.value.code == "value-does-not-fit"
    assert caught.value.values == {"column": "n"}


@given(st.lists(st.sampled_from(["int", "float", "text", "bool", "date", "datetime"]), max_size=6))
def test_features_are_renamed_and_keep_their_values(kinds):
    columns = tuple(Column(f"long name {i}", kind) for i, kind in enumerate(kinds))
    shapes = np.array([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)])
    arrays = [pa.array(shapely.to_wkb(shapes)), *(pa.nulls(2, field.type) for field in list(arrow_schema(columns))[1:])]
    batch = pa.record_batch(arrays, schema=arrow_schema(columns))
    names = tuple(f"c{i}" for i in range(len(kinds)))
    features = Features(target_at(OUT, columns=columns), names, [batch], [])
    (renamed,) = features.renamed()
    assert renamed.schema.equals(features.schema)
    assert renamed.schema.names == [GEOMETRY, *names]
    assert shapely.equals(geometries_of(renamed), shapes).all()
