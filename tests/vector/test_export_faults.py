"""What cannot be written is refused early, and nothing that goes wrong costs the user the previous output."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from export_cases import COLUMNS, EXTENSIONS, UTM33, attributes, contents, pixel_polygons, read, target_at, write
from pyproj import CRS

from geosam.errors import DiskFull, ExportError, LockHeld, OutputExists, UnknownFormat, UsageError
from geosam.vector import formats
from geosam.vector.buffer import Spool
from geosam.vector.checks import check_output
from geosam.vector.schema import Column
from geosam.vector.staging import Staging
from geosam.vector.writer import FeatureWriter, read_provenance

ROOT = Path(__file__).parents[2]


def refused(path, *, crs=UTM33, columns=COLUMNS, overwrite=False, inputs=()):
    """The error of check_output, after making sure that the writer refuses with the same words."""
    with pytest.raises(Exception) as first:  # noqa: PT011 - the caller looks at it
        check_output(path, crs, columns, overwrite=overwrite, inputs=inputs)
    if not inputs:
        with pytest.raises(type(first.value)) as second:
            FeatureWriter.open(target_at(path, crs=crs, columns=columns), overwrite=overwrite)
        assert str(second.value) == str(first.value)
    assert "\n" not in str(first.value)
    assert str(path) in str(first.value)
    return first.value


def fails_after(path, polygons, *, overwrite=True, error=RuntimeError):
    """Write some features, then raise inside the block."""
    with FeatureWriter.open(target_at(path), overwrite=overwrite) as writer:
        writer.write(polygons, attributes(len(polygons)))
        raise error("half-way")


# Values and geometries ----------------------------------------------------------------------------------------------


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
    with pytest.raises(ExportError, match=r"out\.gpkg, feature 5: coordinates .* finite ones wanted"):
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
    with pytest.raises(ExportError, match=r"feature 1: .*, a polygon wanted"):
        write(target_at(path), polygons)
    assert not contents(tmp_path)


@pytest.mark.parametrize(("kind", "value"), [
    ("int", "many"), ("int", 1.5), ("int", 2**70), ("float", "x"), ("bool", "maybe"), ("date", "soon"),
    ("datetime", "later"),
])  # fmt: skip
def test_a_value_of_another_kind_is_refused_with_feature_and_field(tmp_path, kind, value):
    path, columns = tmp_path / "out.gpkg", (Column("note", kind),)
    with pytest.raises(ExportError, match=rf'out\.gpkg, feature 1 field "note": .*, a value of kind {kind} wanted'):
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


# Shapefile limits ---------------------------------------------------------------------------------------------------


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
    with pytest.raises(ExportError, match=r"out\.shp: its \.shp would take .* Write GeoPackage"):
        write(target_at(path), pixel_polygons(200), overwrite=True)
    assert contents(tmp_path) == before
    monkeypatch.setattr("geosam.vector.shapefile.MAX_BYTES", (tmp_path / "out.dbf").stat().st_size // 2)
    many = tuple(Column(f"c{i}", "float") for i in range(100))
    values = {c.name: [0.0] * 20 for c in many}
    with pytest.raises(ExportError, match=r"its \.dbf would take"):
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
    assert "256, at most 255 wanted" in str(error)


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


# Names and paths ----------------------------------------------------------------------------------------------------


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


@pytest.mark.fault("O24")
@pytest.mark.parametrize("name", ["with space", "quote'\"s", "100%20", "a#b?c", "文字", "semi;colon", "ünïcode&"])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_odd_paths(tmp_path, name, extension):
    folder = tmp_path / f"{name} folder"
    folder.mkdir()
    path = folder / f"{name}{extension}"
    write(target_at(path, layer=name), pixel_polygons(3))
    assert path.exists()
    shutil.copy(path, tmp_path / f"plain{extension}")
    assert not list(folder.glob(".*"))
    if extension != ".shp":
        assert len(read(tmp_path / f"plain{extension}")) == 3


@pytest.mark.fault("O24")
def test_a_folder_that_gdal_takes_for_an_archive_is_refused_early(tmp_path):
    folder = tmp_path / "a!b"
    folder.mkdir()
    assert "one without '!' wanted" in str(refused(folder / "out.gpkg"))
    write(target_at(folder / "out.parquet"), pixel_polygons(3))


@pytest.mark.fault("O25", "O26")
@pytest.mark.parametrize(
    "name", ["out.xyz", "out", "out.zip", "out.shp.zip", "out.kml", "-", "out.gpkg.bak", "out.tif"]
)
def test_unknown_formats_are_refused_with_a_list(tmp_path, name):
    error = refused(tmp_path / name)
    assert isinstance(error, UnknownFormat)
    assert error.exit_code == 2
    for known in (".gpkg (GeoPackage)", ".geojson (GeoJSON)", ".shp (shapefile)", ".parquet (GeoParquet)", ".fgb"):
        assert known in str(error)
    assert not contents(tmp_path)


@pytest.mark.fault("O16")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_existing_output_is_kept_without_overwrite(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)
    error = refused(path)
    assert isinstance(error, OutputExists)
    assert isinstance(error, FileExistsError)
    assert error.exit_code == 6
    assert "--overwrite" in str(error)
    assert contents(tmp_path) == before
    write(target_at(path), pixel_polygons(8), overwrite=True)
    assert len(read(path)) == 8
    assert contents(tmp_path).keys() == before.keys()


@pytest.mark.fault("O16")
def test_an_output_that_appears_during_the_run_is_kept(tmp_path):
    path = tmp_path / "out.gpkg"
    writer = FeatureWriter.open(target_at(path))
    writer.__enter__()
    writer.write(pixel_polygons(2), attributes(2))
    path.write_bytes(b"somebody else's")
    with pytest.raises(OutputExists):
        writer.__exit__(None, None, None)
    assert contents(tmp_path) == {"out.gpkg": b"somebody else's"}


@pytest.mark.fault("O16")
def test_other_layers_of_a_geopackage_are_kept(tmp_path):
    path = tmp_path / "project.gpkg"
    mine = geopandas.GeoDataFrame({"v": [1, 2]}, geometry=shapely.points([[0, 1], [2, 3]]), crs=3857)
    mine.to_file(path, layer="my points")
    mine.drop(columns="geometry").to_csv(tmp_path / "plain.csv")
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE layer_styles (id INTEGER PRIMARY KEY, styleqml TEXT)")
        database.execute("INSERT INTO layer_styles VALUES (1, '<qml/>')")
    database.close()
    for count in (5, 9):
        write(target_at(path), pixel_polygons(count), overwrite=True)
        assert sorted(name for name, _ in pyogrio.list_layers(path)) == ["layer_styles", "my points", "segments"]
        assert len(pyogrio.read_dataframe(path, layer="segments")) == count
        kept = pyogrio.read_dataframe(path, layer="my points")
        assert kept.crs == mine.crs
        assert list(kept["v"]) == [1, 2]
        with sqlite3.connect(path) as database:
            assert database.execute("SELECT * FROM layer_styles").fetchall() == [(1, "<qml/>")]
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("SELECT COUNT(*) FROM gpkg_metadata_reference").fetchall() == [(1,)]
        database.close()


@pytest.mark.fault("O16")
def test_a_layer_whose_name_differs_in_case_is_the_same_layer(tmp_path):
    path = tmp_path / "project.gpkg"
    write(target_at(path, layer="Segments"), pixel_polygons(2))
    geopandas.GeoDataFrame({"v": [1]}, geometry=[shapely.Point(0, 0)], crs=3857).to_file(path, layer="points")

    write(target_at(path, layer="segments"), pixel_polygons(7), overwrite=True)
    assert sorted(name.lower() for name, _ in pyogrio.list_layers(path)) == ["points", "segments"]
    assert len(read(path, layer="segments")) == 7


@pytest.mark.fault("O16")
def test_a_raster_of_the_same_name_is_not_replaced(tmp_path):
    path = tmp_path / "project.gpkg"
    write(target_at(path, layer="other"), pixel_polygons(2))
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE segments (id INTEGER PRIMARY KEY, tile_data BLOB)")
        database.execute("INSERT INTO gpkg_contents(table_name, data_type) VALUES ('segments', 'tiles')")
    database.close()
    before = contents(tmp_path)
    with pytest.raises(ExportError, match=r"project\.gpkg, layer segments: tiles, features wanted"):
        write(target_at(path), pixel_polygons(3), overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.fault("O16")
def test_a_file_that_is_no_geopackage_is_replaced(tmp_path):
    for content in (b"", b"not a database" * 500):
        (tmp_path / "out.gpkg").write_bytes(content)
        write(target_at(tmp_path / "out.gpkg"), pixel_polygons(3), overwrite=True)
        assert len(read(tmp_path / "out.gpkg")) == 3


@pytest.mark.fault("O16")
def test_a_damaged_geopackage_with_unknown_layers_is_kept(tmp_path):
    path = tmp_path / "out.gpkg"
    write(target_at(path), pixel_polygons(300))
    data = bytearray(path.read_bytes())
    data[100:4096] = bytes(4096 - 100)
    path.write_bytes(data)
    assert "its other layers cannot be kept" in str(refused(path, overwrite=True))
    assert contents(tmp_path) == {"out.gpkg": bytes(data)}


@pytest.mark.fault("O19")
def test_rows_in_the_journals_of_a_killed_program_are_kept(tmp_path):
    path = tmp_path / "project.gpkg"
    mine = geopandas.GeoDataFrame({"v": range(50)}, geometry=shapely.points(np.zeros((50, 2))), crs=3857)
    mine.to_file(path, layer="points")
    killed = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.create_function("ST_IsEmpty", 1, lambda g: 0)
for name in ("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
    database.create_function(name, 1, lambda g: 0.0)
database.execute("UPDATE points SET v = v + 1000")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", killed, str(path)], check=False).returncode == -9
    assert (tmp_path / "project.gpkg-wal").stat().st_size > 0
    write(target_at(path), pixel_polygons(4), overwrite=True)
    assert list(contents(tmp_path)) == ["project.gpkg"]
    assert pyogrio.read_dataframe(path, layer="points")["v"].min() == 1000
    assert len(pyogrio.read_dataframe(path, layer="segments")) == 4


@pytest.mark.fault("O16")
def test_a_geopackage_that_another_program_is_writing_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "out.gpkg"
    write(target_at(path), pixel_polygons(3))
    monkeypatch.setattr("geosam.vector.geopackage.PATIENCE_S", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "the output is in use" in str(refused(path, overwrite=True))
    other.execute("ROLLBACK")
    other.close()
    assert len(read(path)) == 3
    assert list(contents(tmp_path)) == ["out.gpkg"]


@pytest.mark.fault("O21")
def test_folders_that_cannot_take_the_file(tmp_path):
    error = refused(tmp_path / "none" / "out.gpkg")
    assert isinstance(error, ExportError)
    assert "folder does not exist" in str(error)
    (tmp_path / "file").write_text("x")
    assert isinstance(refused(tmp_path / "file" / "out.gpkg"), ExportError)
    (tmp_path / "out.gpkg").mkdir()
    assert "is a folder" in str(refused(tmp_path / "out.gpkg", overwrite=True))
    for path in ("/proc/out.gpkg", "/sys/out.parquet"):
        if Path(path).parent.is_dir():
            assert isinstance(refused(Path(path)), ExportError)


@pytest.mark.fault("O21")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    assert "Permission denied" in str(refused(folder / "out.gpkg"))


@pytest.mark.fault("O22")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_read_only_output_is_not_replaced(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    path.chmod(0o444)
    error = refused(path, overwrite=True)
    assert isinstance(error, ExportError)
    assert "read-only" in str(error)


def test_fifo_as_output_is_refused(tmp_path):
    os.mkfifo(tmp_path / "out.gpkg")
    assert "no regular file" in str(refused(tmp_path / "out.gpkg", overwrite=True))


@pytest.mark.fault("O27")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_symlink_stays_and_its_target_is_replaced(tmp_path, extension):
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.mkdir()
    write(target_at(real / f"data{extension}"), pixel_polygons(2))
    (link / f"out{extension}").symlink_to(real / f"data{extension}")
    write(target_at(link / f"out{extension}"), pixel_polygons(6), overwrite=True)
    assert (link / f"out{extension}").is_symlink()
    assert [p.name for p in link.iterdir()] == [f"out{extension}"]
    assert len(read(real / f"data{extension}")) == 6


@pytest.mark.fault("O27")
def test_a_dangling_symlink_is_followed(tmp_path):
    (tmp_path / "out.gpkg").symlink_to(tmp_path / "new.gpkg")
    write(target_at(tmp_path / "out.gpkg"), pixel_polygons(2))
    assert len(read(tmp_path / "new.gpkg")) == 2


@pytest.mark.fault("O28")
def test_output_equal_to_an_input_is_a_usage_error(tmp_path):
    scene = tmp_path / "prompts.gpkg"
    write(target_at(scene), pixel_polygons(2))
    (tmp_path / "link.gpkg").symlink_to(scene)
    os.link(scene, tmp_path / "hard.gpkg")
    before = contents(tmp_path)
    for path in (scene, tmp_path / "link.gpkg", tmp_path / "hard.gpkg", tmp_path / "." / "prompts.gpkg"):
        error = refused(path, overwrite=True, inputs=[tmp_path / "missing.tif", scene])
        assert isinstance(error, UsageError)
        assert error.exit_code == 2
    assert contents(tmp_path) == before


@pytest.mark.fault("O28")
def test_two_writers_of_one_output(tmp_path):
    path = tmp_path / "out.gpkg"
    with FeatureWriter.open(target_at(path)) as writer:
        error = refused(path)
        assert isinstance(error, LockHeld)
        assert error.exit_code == 8
        write(target_at(tmp_path / "other.gpkg"), pixel_polygons(2))
        writer.write(pixel_polygons(3), attributes(3))
    assert len(read(path)) == 3
    assert sorted(contents(tmp_path)) == ["other.gpkg", "out.gpkg"]


# Failures half-way --------------------------------------------------------------------------------------------------


@pytest.mark.fault("O17")
@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_an_exception_in_the_block_reaches_the_caller_and_changes_nothing(tmp_path, extension, error):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)
    with pytest.raises(error, match="half-way"):
        fails_after(path, pixel_polygons(50), error=error)
    assert contents(tmp_path) == before


@pytest.mark.fault("O17")
@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_while_the_file_is_made_changes_nothing(tmp_path, monkeypatch, extension, error):
    path, batches = tmp_path / f"out{extension}", Spool.__iter__
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)

    def broken(self):
        yield next(batches(self))
        raise error("half-way")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "__iter__", broken)
        with pytest.raises(ExportError if error is OSError else error, match="half-way"):
            write(target_at(path), pixel_polygons(50), overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.fault("O17")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_failing_rename_or_sync_leaves_the_old_or_the_new_file(tmp_path, monkeypatch, extension):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(30))
    new = contents(tmp_path)
    for p in tmp_path.iterdir():
        p.unlink()
    write(target_at(path), pixel_polygons(3))
    (tmp_path / "out.qix").write_bytes(b"an index of the old file")
    old = contents(tmp_path)
    for call in range(1, 40):
        left = [call]

        def failing(real, left=left):
            def wrapped(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(5, "Input/output error")
                return real(*args, **kwargs)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", failing(Path.replace))
            patch.setattr(os, "fsync", failing(os.fsync))
            try:
                write(target_at(path), pixel_polygons(30), overwrite=True)
            except ExportError as error:
                assert "Input/output error" in str(error)  # noqa: PT017 - success ends the loop
                if contents(tmp_path) == old:
                    continue
                assert left[0] == 0  # only the last sync of the folder comes after the new file is in place
        break
    assert call > 1
    if extension == ".shp":  # the index of the old file is gone
        assert contents(tmp_path) == new
    else:
        assert contents(tmp_path) == new | {"out.qix": b"an index of the old file"}


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, "tests")
from export_cases import *
import geosam.vector.buffer as spool
moment, path = sys.argv[1], Path(sys.argv[2])
def die(*_):
    os.kill(os.getpid(), 9)
if moment == "spooling":
    spool.ROWS = 50
    real, count = spool.Spool.append, []
    spool.Spool.append = lambda self, batch: (count.append(1), die() if len(count) > 3 else real(self, batch))
elif moment == "converting":
    spool.ROWS = 50
    batches = spool.Spool.__iter__
    def dying(self):
        for i, batch in enumerate(batches(self)):
            yield batch
            if i == 3:
                die()
    spool.Spool.__iter__ = dying
else:
    real, count = Path.replace, []
    def replace(self, to):
        count.append(1)
        if len(count) == int(moment):
            die()
        return real(self, to)
    Path.replace = replace
write(target_at(path), pixel_polygons(400), overwrite=True)
"""


@pytest.mark.fault("O18")
@pytest.mark.parametrize(("extension", "moment"), [
    (".gpkg", "spooling"), (".gpkg", "converting"), (".gpkg", "1"), (".fgb", "converting"), (".geojson", "converting"),
    (".parquet", "converting"), (".shp", "converting"), (".shp", "2"), (".shp", "8"), (".shp", "11"),
])  # fmt: skip
def test_sigkill_leaves_the_old_file_and_the_next_run_sweeps(tmp_path, extension, moment):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED, moment, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    left = {name for name in contents(tmp_path) if not name.startswith(".geosam-")}
    assert contents(tmp_path).keys() != left, "nothing temporary was there: the kill came too late"
    if extension != ".shp" or moment == "converting":
        assert {name: contents(tmp_path)[name] for name in left} == before
    else:  # between two renames: the old set has gone, the new one is not complete, and nothing reads as a shapefile
        assert path.name not in left
    with Staging(path):
        pass
    assert contents(tmp_path) == before
    write(target_at(path), pixel_polygons(5), overwrite=True)
    assert len(read(path)) == 5
    assert contents(tmp_path).keys() == before.keys()


LIMITED = """
import resource, sys, json
from pathlib import Path
sys.path.insert(0, "tests")
from export_cases import *
from geosam.errors import ExportError, DiskFull
path, polygons, outcomes = Path(sys.argv[1]), pixel_polygons(600), []
before = contents(path.parent)
limit = 512
while True:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        notes = write(target_at(path), polygons, overwrite=True)
    except (ExportError, DiskFull) as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert contents(path.parent) == before, (limit, str(error))
        assert "\\n" not in str(error) and str(path) in str(error), str(error)
        outcomes.append(type(error).__name__)
        limit = int(limit * 1.3)
        continue
    break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]
print(json.dumps([outcomes, len(read(path)), notes]))
"""


@pytest.mark.fault("O20")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_writes_that_fail_at_any_size_change_nothing(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, str(path)],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes, count, notes = json.loads(done.stdout)
    assert count == 600
    assert len(outcomes) > 5
    assert "DiskFull" in outcomes or extension == ".gpkg"  # SQLite does not say why a write failed
    assert not [note for note in notes if "GDAL" in note]
    assert not done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if sys.platform != "linux" or not mount or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    # Lazily: pyogrio may hold a file open for a while after a write that failed.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


@pytest.mark.fault("O20")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_full_disk_ends_in_disk_full_with_the_bytes_needed(small_disk, extension):
    path = small_disk / f"out{extension}"
    write(target_at(path), pixel_polygons(3))
    before = contents(small_disk)
    with pytest.raises(DiskFull, match=r"MB free, about .* MB wanted") as full:
        write(target_at(path), pixel_polygons(40000), overwrite=True)  # the spool does not fit
    assert full.value.exit_code == 8
    assert str(path) in str(full.value)
    assert contents(small_disk) == before
    for filler in range(100, 1040, 30):  # the spool fits, sooner or later what is made of it does not
        (small_disk / "filler").write_bytes(bytes(filler * 1000))
        kept = contents(small_disk)
        try:
            write(target_at(path), pixel_polygons(1000), overwrite=True)
        except DiskFull:
            assert contents(small_disk) == kept
            break
    else:
        pytest.fail("the disk never was full")
    assert len(read(path)) in (3, 1000)


@pytest.mark.fault("O36")
def test_a_reader_keeps_the_old_file_until_it_opens_the_new_one(tmp_path):
    path = tmp_path / "out.gpkg"
    write(target_at(path), pixel_polygons(3))
    reader = sqlite3.connect(path)
    rows = reader.execute("SELECT id FROM segments")
    assert rows.fetchone() == (0,)
    write(target_at(path), pixel_polygons(9), overwrite=True)
    assert [*rows] == [(1,), (2,)]
    assert reader.execute("SELECT COUNT(*) FROM segments").fetchone() == (3,)
    reader.close()
    assert len(read(path)) == 9


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_finished_file_that_is_short_is_never_published(tmp_path, monkeypatch, extension):
    path, form = tmp_path / f"out{extension}", formats.FORMATS[extension]
    write(target_at(path), pixel_polygons(3))
    before = contents(tmp_path)

    def short(folder, features):
        made = form.write(folder, features)
        if features.batches != ():  # not the trial with no features
            data = made[-1].read_bytes()
            made[-1].write_bytes(data[: len(data) * 2 // 3])
        return made

    monkeypatch.setitem(formats.FORMATS, extension, dataclasses.replace(form, write=short))
    with pytest.raises(ExportError):
        write(target_at(path), pixel_polygons(600), overwrite=True)
    assert contents(tmp_path) == before


def test_gdal_options_of_the_caller_survive_failures(tmp_path):
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "1999-01-01T00:00:00.000Z"})
    try:
        with pytest.raises(RuntimeError, match="half-way"):
            fails_after(tmp_path / "out.gpkg", pixel_polygons(5))
        write(target_at(tmp_path / "out.gpkg"), pixel_polygons(5))
        assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == "1999-01-01T00:00:00.000Z"
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_provenance_of_what_cannot_be_read(tmp_path, extension):
    path = tmp_path / f"out{extension}"
    with pytest.raises(ExportError, match="the provenance cannot be read"):
        read_provenance(path)
    path.write_bytes(b"\xff\x00 neither this nor that")
    try:
        assert read_provenance(path) is None
    except ExportError as error:
        assert str(path) in str(error)  # noqa: PT017 - both answers are right
