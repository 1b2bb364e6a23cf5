"""Outputs that exist, or that cannot or must not be written, are refused early."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from export_cases import (
    EXTENSIONS,
    attributes,
    contents,
    pixel_polygons,
    read,
    refused,
    target_at,
    write,
)

from geosam.errors import ExportError, LockHeld, OutputExists, UnknownFormat, UsageError
from geosam.vector.writer import FeatureWriter


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
    assert "expected one without '!'" in str(refused(folder / "out.gpkg"))
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
    assert "`overwrite=True`" in str(error)
    assert contents(tmp_path) == before
    write(target_at(path), pixel_polygons(8), overwrite=True)
    assert len(read(path)) == 8
    assert contents(tmp_path).keys() == before.keys()


@pytest.mark.fault("O16")
def test_an_output_that_appears_during_the_run_is_kept(tmp_path):
    path = tmp_path / "out.gpkg"
    writer = FeatureWriter(target_at(path))
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
    with pytest.raises(ExportError, match=r"project\.gpkg, layer segments: found tiles, expected features"):
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
    with FeatureWriter(target_at(path)) as writer:
        error = refused(path)
        assert isinstance(error, LockHeld)
        assert error.exit_code == 8
        write(target_at(tmp_path / "other.gpkg"), pixel_polygons(2))
        writer.write(pixel_polygons(3), attributes(3))
    assert len(read(path)) == 3
    assert sorted(contents(tmp_path)) == ["other.gpkg", "out.gpkg"]
