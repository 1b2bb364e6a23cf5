"""Values, geometries and names that a format cannot hold as they are."""

from __future__ import annotations

import datetime as dt

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from export_cases import (
    EXTENSIONS,
    contents,
    pixel_polygons,
    read,
    refused,
    target_at,
    write,
)
from pyproj import CRS

from geosam.errors import ExportError
from geosam.vector.schema import Column


@pytest.mark.fault("O05")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_nan_and_infinite_attributes_become_null_with_a_warning(tmp_path, extension):
    path, columns = tmp_path / f"out{extension}", (Column("id", "int"), Column("score", "float"), Column("n", "int"))
    values = {"id": [0, 1, 2, 3], "score": [0.5, np.nan, np.inf, -np.inf], "n": [1, None, np.nan, 4]}
    notes = write(target_at(path, columns=columns), pixel_polygons(4), values)
    assert notes == ['attribute "score": 3 values that are not finite numbers were written as null']
    frame = read(path)
    np.testing.assert_array_equal(frame["score"].astype(float), [0.5, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(frame["n"].astype(float), [1, np.nan, np.nan, 4])


@pytest.mark.fault("O07")
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_polygon_without_a_place_is_refused(tmp_path, bad):
    path, polygons = tmp_path / "out.gpkg", pixel_polygons(3)
    with np.errstate(invalid="ignore"):
        polygons[2] = shapely.Polygon([(0, 0), (1, 0), (bad, bad)])
    polygons = np.concatenate([pixel_polygons(3), polygons])
    with pytest.raises(ExportError, match=r"out\.gpkg, feature 5: found coordinates .*, expected finite numbers"):
        write(target_at(path), polygons, batch=3)
    assert not contents(tmp_path)


@pytest.mark.fault("O07")
def test_coordinates_that_wgs84_cannot_reach_are_refused(tmp_path):
    path, crs = tmp_path / "out.geojson", CRS("+proj=ortho +lat_0=0 +lon_0=0")
    far = np.array([shapely.box(1e7, 1e7, 1.1e7, 1.1e7)])  # beside the globe
    with pytest.raises(ExportError, match=r"out\.geojson: .*outside the area"):
        write(target_at(path, crs=crs, columns=()), far, {})
    assert not contents(tmp_path)


@pytest.mark.fault("O09")
@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("shape", [shapely.Point(1, 1), shapely.Polygon(), None,
                                   shapely.GeometryCollection([shapely.box(0, 0, 1, 1)])])  # fmt: skip
def test_what_is_no_polygon_is_refused_before_anything_is_written(tmp_path, extension, shape):
    path, polygons = tmp_path / f"out{extension}", pixel_polygons(3)
    polygons[1] = shape
    with pytest.raises(ExportError, match=r"feature 1: found .*, expected a polygon"):
        write(target_at(path), polygons)
    assert not contents(tmp_path)


@pytest.mark.parametrize(("kind", "value"), [
    ("int", "many"), ("int", 1.5), ("int", 2**70), ("float", "x"), ("bool", "maybe"), ("date", "soon"),
    ("datetime", "later"),
])  # fmt: skip
def test_a_value_of_another_kind_is_refused_with_feature_and_field(tmp_path, kind, value):
    path, columns = tmp_path / "out.gpkg", (Column("note", kind),)
    with pytest.raises(ExportError, match=rf'out\.gpkg, feature 1 field "note": found .* value of kind {kind}\.'):
        write(target_at(path, columns=columns), pixel_polygons(2), {"note": [None, value]})
    assert not contents(tmp_path)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_values_of_every_origin_are_taken(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    columns = (Column("day", "date"), Column("seen", "datetime"), Column("n", "int"), Column("text", "text"))
    moments = np.array(["2024-05-06T07:08:09.123", "NaT"], dtype="datetime64[ns]")
    values = {
        "day": np.array(["2024-05-06", "NaT"], dtype="datetime64[D]"),
        "seen": moments,
        "n": pd.Series([5, None], dtype="Int64"),
        "text": [12, np.nan],
    }
    write(target_at(path, columns=columns), pixel_polygons(2), values)
    row = next(row for _, row in read(path).iterrows() if row["text"] == "12")
    assert (str(row["day"])[:10], str(row["seen"])[:19].replace(" ", "T")) == ("2024-05-06", "2024-05-06T07:08:09")
    assert (int(row["n"]), row["text"]) == (5, "12")


@pytest.mark.fault("O08")
def test_shapefile_names_are_the_fixed_short_ones_with_a_warning(tmp_path):
    path = tmp_path / "out.shp"
    columns = (Column("stability_score", "float", "stab_score"), Column("stability_scope", "text"),
               Column("stability_scale", "text"), Column("größenklasse", "int"))  # fmt: skip
    notes = write(target_at(path, columns=columns), pixel_polygons(1), {c.name: [None] for c in columns})
    names = list(pyogrio.read_info(path)["fields"])
    assert names == ["stab_score", "stability_", "stability1"[:8] + "_1", "größenkl"]
    assert all(len(name.encode()) <= 10 for name in names)
    (note,) = notes
    assert "stability_score -> stab_score" in note
    assert "stability_scale -> stabilit_1" in note


@pytest.mark.fault("O10")
def test_shapefile_beyond_2_gb_is_refused_before_it_is_written(tmp_path, monkeypatch):
    path = tmp_path / "out.shp"
    write(target_at(path), pixel_polygons(200))
    before, size = contents(tmp_path), path.stat().st_size
    monkeypatch.setattr("geosam.vector.shapefile.MAX_BYTES", size)
    write(target_at(path), pixel_polygons(200), overwrite=True)
    monkeypatch.setattr("geosam.vector.shapefile.MAX_BYTES", size - 1)  # the prediction is exact
    with pytest.raises(ExportError, match=r"out\.shp: found .* for its \.shp, expected at most .* Write GeoPackage"):
        write(target_at(path), pixel_polygons(200), overwrite=True)
    assert contents(tmp_path) == before
    monkeypatch.setattr("geosam.vector.shapefile.MAX_BYTES", (tmp_path / "out.dbf").stat().st_size // 2)
    many = tuple(Column(f"c{i}", "float") for i in range(100))
    values = {c.name: [0.0] * 20 for c in many}
    with pytest.raises(ExportError, match=r"found .* for its \.dbf"):
        write(target_at(path, columns=many), pixel_polygons(20), values, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.fault("O11")
def test_shapefile_types_are_handled_and_said(tmp_path):
    path = tmp_path / "out.shp"
    columns = tuple(Column(n, k) for n, k in [("text", "text"), ("big", "int"), ("small", "int"), ("yes", "bool"),
                                              ("seen", "datetime"), ("real", "float")])  # fmt: skip
    values = {
        "text": ["ü" * 200, None, "short"],
        "big": [2**60, -(2**60), None],
        "small": [10**17, -(10**16), None],
        "yes": [True, False, None],
        "seen": [dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC), None, None],
        "real": [-1e22, 1.5e8 / 7, 123456789012.345],
    }
    notes = write(target_at(path, columns=columns), pixel_polygons(3), values)
    assert notes == [
        'attribute "text": texts cut after 254 bytes, the limit of shapefiles',
        'attribute "big": integers too long for a shapefile written as text',
    ]
    frame = read(path)
    assert frame["text"][0] == "ü" * 127
    assert list(frame["big"][:2]) == [str(2**60), str(-(2**60))]
    assert list(frame["small"][:2]) == [10**17, -(10**16)]
    assert list(frame["yes"][:2]) == [1, 0]
    assert frame["seen"][0].startswith("2024-01-02T03:04:05")
    np.testing.assert_allclose(frame["real"], values["real"], rtol=1e-15)
    assert dict(zip(*(pyogrio.read_info(path)[k] for k in ("fields", "ogr_types")), strict=True))["yes"] == "OFTInteger"


@pytest.mark.fault("O11")
def test_too_many_columns_are_refused_early(tmp_path):
    error = refused(tmp_path / "out.shp", columns=tuple(Column(f"c{i}", "int") for i in range(256)))
    assert isinstance(error, ExportError)
    assert "found 256, expected at most 255" in str(error)


@pytest.mark.fault("O12")
def test_shapefile_is_utf8_and_says_so(tmp_path):
    path = tmp_path / "out.shp"
    write(target_at(path), pixel_polygons(4))
    assert (tmp_path / "out.cpg").read_text() == "UTF-8"
    assert list(read(path)["model"][:2]) == ["naïve", "文字"]


def test_a_crs_that_a_shapefile_cannot_hold_is_refused_early(tmp_path):
    shifted = CRS("+proj=utm +zone=33 +ellps=bessel +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7")
    error = refused(tmp_path / "out.shp", crs=shifted)
    assert isinstance(error, ExportError)
    assert "cannot hold this CRS" in str(error)
    write(target_at(tmp_path / "out.gpkg", crs=shifted), pixel_polygons(2))
    assert list(contents(tmp_path)) == ["out.gpkg"]


@pytest.mark.fault("O15")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_reserved_and_repeated_names_are_renamed_with_a_warning(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    columns = tuple(Column(name, "int") for name in ("ID", "id", "fid", "FID", "geom", "Geometry", "ogc_fid", "id_1"))
    values = {column.name: [i] for i, column in enumerate(columns)}
    (note,) = write(target_at(path, columns=columns), pixel_polygons(1), values)
    assert "id -> id_1, fid -> fid_1, FID -> FID_2, geom -> geom_1" in note
    frame = geopandas.read_parquet(path) if extension == ".parquet" else pyogrio.read_dataframe(path)
    found = [int(frame[name].iloc[0]) for name in frame.columns if name != "geometry"]
    assert found == list(range(8))
