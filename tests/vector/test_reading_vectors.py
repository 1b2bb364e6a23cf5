"""Files that are no vector layers, or not whole: the rows of the fault catalogue, under their ids."""

import contextlib
import errno
import os
import random
import resource
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from prompt_files import (
    SCENE,
    X,
    Y,
    drop_triggers,
    feature,
    json_point,
    refused,
    shifted,
    write_geojson,
    write_layer,
)
from shapely import Point, box

from geosam.errors import PromptError, UsageError
from geosam.prompts.layer import read_prompts
from geosam.prompts.placement import to_scene


@pytest.mark.fault("P25")
def test_text_in_another_encoding(tmp_path):
    path = write_geojson(tmp_path / "p.geojson", feature(json_point(1, 2), label=1, name="naïve"), encoding="latin-1")
    refused(PromptError, path, "0xef", "utf-8", "`encoding=")
    assert read_prompts(path, encoding="latin-1")[0][0].attributes == {"name": "naïve"}
    with pytest.raises(UsageError, match="the encoding is unknown: `encoding`: found 'klingon'"):
        read_prompts(path, encoding="klingon")


@pytest.mark.fault("P25")
def test_a_shapefile_that_does_not_state_its_encoding(tmp_path):
    path = write_layer(tmp_path / "p.shp", shifted(Point(1, 1)), geometry_type="Point", label=[1], name=["naïve"])
    assert read_prompts(path)[0][0].attributes == {"name": "naïve"}
    (tmp_path / "p.cpg").unlink()
    refused(PromptError, path, 'feature 0 field "name"', "`encoding=")
    assert read_prompts(path, encoding="utf-8")[0][0].attributes == {"name": "naïve"}
    ascii_only = write_layer(tmp_path / "q.shp", shifted(Point(1, 1)), geometry_type="Point", label=[1], name=["plain"])
    (tmp_path / "q.cpg").unlink()
    assert read_prompts(ascii_only)[0][0].attributes == {"name": "plain"}


@pytest.mark.fault("P26")
@pytest.mark.parametrize("name", ["p.gpkg", "p.geojson", "p.shp", "p.fgb"])
@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncated_files(tmp_path, name, share):
    points = shifted(*[Point(i, i) for i in range(50)])
    path = write_layer(
        tmp_path / name, points, geometry_type="Point", label=[1] * 50, name=[f"tree {i}" for i in range(50)]
    )
    os.truncate(path, int(path.stat().st_size * share))
    refused(PromptError, path)


@pytest.mark.fault("P27")
def test_several_layers_need_a_choice(tmp_path):
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1)), layer="trees", label=[1])
    write_layer(path, shifted(Point(2, 2), Point(3, 3)), layer="roofs", append=True, label=[1, 1])
    refused(PromptError, path, "trees, roofs", "`layer`")
    refused(PromptError, path, "layer cars", "trees, roofs", layer="cars")
    assert len(read_prompts(path, layer="roofs")[0]) == 2


@pytest.mark.fault("P28")
@pytest.mark.parametrize("missing", [".shx", ".dbf"])
def test_an_incomplete_shapefile(tmp_path, missing):
    path = write_layer(tmp_path / "p.shp", shifted(Point(1, 1)), geometry_type="Point", label=[1])
    (tmp_path / f"p{missing}").unlink()
    refused(PromptError, path, f"no {missing} beside it")


VRT = '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
PIPELINE = '{{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline read {} ! write out"}}'
SERVICE = "<OGRWFSDataSource><URL>http://127.0.0.1:9/{}</URL></OGRWFSDataSource>"


@pytest.mark.fault("P29")
@pytest.mark.parametrize("content", [VRT, PIPELINE, SERVICE, "<a/><kml>" + VRT, "﻿" + VRT])
@pytest.mark.parametrize("name", ["v.geojson", "v.gpkg", "v.vrt", "v.gdalg.json"])
def test_files_that_lead_to_other_files(tmp_path, content, name):
    secret = write_geojson(tmp_path / "secret.geojson", feature(json_point(15, 45), label=1))
    path = tmp_path / name
    path.write_text(content.format(secret), encoding="utf-8")
    refused(PromptError, path, "starts with")


@pytest.mark.fault("P29")
@pytest.mark.parametrize(
    "form", ["GeoJSON:{}", "/vsicurl/http://127.0.0.1:9/{}", "/vsizip/{}", "file://{}", "{}?x", ""]
)
def test_prefixes_and_services_are_no_paths(tmp_path, form):
    path = write_geojson(tmp_path / "p.geojson", feature(json_point(15, 45), label=1))
    with pytest.raises(PromptError) as caught:
        read_prompts(form.format(path))
    assert "no such file" in str(caught.value) or "a directory" in str(caught.value)


@pytest.mark.fault("P29")
def test_a_file_that_is_named_like_a_prefix_is_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_geojson(tmp_path / "GeoJSON:p.geojson", feature(json_point(15, 45), label=1))
    write_geojson(tmp_path / "p.geojson", feature(json_point(1, 1), label=1), feature(json_point(2, 2), label=1))
    assert len(read_prompts("GeoJSON:p.geojson")[0]) == 1


@pytest.mark.fault("P29")
def test_a_path_that_gdal_would_split_is_refused(tmp_path):
    (tmp_path / "a!b").mkdir()
    path = write_geojson(tmp_path / "a!b" / "p.geojson", feature(json_point(15, 45), label=1))
    refused(PromptError, path, "Rename")


@pytest.mark.serial
@pytest.mark.fault("R08")
@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs")
def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "p.gpkg")
    start = time.monotonic()
    refused(PromptError, tmp_path / "p.gpkg", "not a regular file")
    path = write_layer(tmp_path / "q.shp", shifted(Point(1, 1)), geometry_type="Point", label=[1])
    (tmp_path / "q.shx").unlink()
    os.mkfifo(tmp_path / "q.shx")
    refused(PromptError, path, "no .shx")
    assert time.monotonic() - start < 1


@pytest.mark.fault("R07")
def test_missing_files_and_directories(tmp_path):
    refused(PromptError, tmp_path / "gone.gpkg", "no such file")
    refused(PromptError, tmp_path, "a directory")
    with pytest.raises(PromptError, match=r"null (byte|character)"):
        read_prompts("a\0b.gpkg")


@pytest.mark.fault("R60")
def test_no_permission_to_read(tmp_path, monkeypatch):
    path = write_geojson(tmp_path / "p.geojson", feature(json_point(15, 45)))

    def denied(file, *_, **__):  # played, because root may read everything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        with pytest.raises(PromptError, match="permission denied") as caught:
            read_prompts(path)
    assert str(path) in str(caught.value)


@pytest.mark.fault("R59")
@pytest.mark.parametrize(
    "name", ["dört ünï 文件/a b.gpkg", "a#b%20?c.geojson", "it's.fgb", "no extension", "upper.SHP", "kommt.kml"]
)
def test_odd_paths_and_every_format(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    made = tmp_path / ("made" + (path.suffix.lower() or ".gpkg"))
    lonlat = [Point(15.0001, 36.1)]
    write_layer(made, lonlat, crs="EPSG:4326", geometry_type="Point", **({} if ".kml" in name else {"label": [1]}))
    for file in tmp_path.glob("made.*"):
        file.rename(path.with_name(path.stem + (path.suffix if file == made else file.suffix)))
    (prompt,), _ = read_prompts(path)
    np.testing.assert_allclose(prompt.points_xy, [(15.0001, 36.1)])


BILLION = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.fault("P30")
@pytest.mark.parametrize("root", ["kml", "gml:FeatureCollection xmlns:gml='http://www.opengis.net/gml'"])
def test_entities_that_multiply(tmp_path, root):
    path = tmp_path / "p.kml"
    placemark = (
        "<Document><Placemark><name>&a9;</name><Point><coordinates>1,2</coordinates></Point></Placemark></Document>"
    )
    tag = root.split()[0]
    path.write_text(f'<?xml version="1.0"?><!DOCTYPE {tag} [<!ENTITY a0 "ha">{BILLION}]><{root}>{placemark}</{tag}>')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(PromptError, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.serial
@pytest.mark.fault("P31")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["p.geojson", "p.gpkg"])
def test_300k_points(tmp_path, name):
    count = 300_000
    lonlat = np.random.default_rng(0).uniform((10, 50), (10.01, 50.01), (count, 2))
    path = write_layer(
        tmp_path / name, shapely.points(lonlat), crs="EPSG:4326", geometry_type="Point", label=[1] * count
    )
    prompts, warnings = read_prompts(path)
    assert warnings == []
    np.testing.assert_allclose(np.concatenate([p.points_xy for p in prompts]), lonlat, atol=1e-9)


@pytest.mark.fault("P32")
@pytest.mark.parametrize("name", ["p.gpkg", "p.geojson", "p.shp", "p.fgb", "p.kml"])
def test_damaged_files_give_one_kind_of_error(tmp_path, name):
    shapes = shifted(Point(1, 1), Point(2, 2)) if name == "p.shp" else shifted(Point(1, 1), box(0, 0, 3, 3))
    shapes = list(shapely.transform(np.array(shapes), lambda xy: xy / (X, Y) + (10, 40)))
    kind = "Point" if name == "p.shp" else "Unknown"
    path = write_layer(tmp_path / name, shapes, crs="EPSG:4326", geometry_type=kind, label=[1, 1], name=["äh", "b"])
    whole, rng, refusals = path.read_bytes(), random.Random(7), []
    for _ in range(80):
        mutant = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        path.write_bytes(mutant[: rng.randrange(len(mutant))] if rng.random() < 0.2 else mutant)
        try:
            to_scene(read_prompts(path)[0], SCENE, skip_outside=True)
        except PromptError as error:
            refusals.append(str(error))
    assert refusals
    assert all(str(path) in text and "\n" not in text for text in refusals)


@pytest.mark.fault("P34")
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_layer_that_another_program_is_editing_can_be_read(tmp_path, mode):
    path = write_layer(tmp_path / "p.gpkg", shifted(Point(1, 1)), label=[1])
    with contextlib.closing(sqlite3.connect(path)) as database:
        drop_triggers(database)
        database.commit()
    code = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA journal_mode=' + sys.argv[2])\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute('UPDATE p SET label = 0')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as editor:
        assert editor.stdout.readline() == b"locked\n"
        (prompt,), _ = read_prompts(path)
        assert prompt.labels.tolist() == [1]
        editor.stdin.close()


@pytest.mark.fault("O24")
def test_pyogrio_can_still_read_what_the_tests_wrote(tmp_path):
    """Guards the builders: a file that nobody can read would make every refusal above pass."""
    for name in ("p.gpkg", "p.geojson", "p.fgb"):
        path = write_layer(tmp_path / name, shifted(Point(1, 1)), geometry_type="Point", label=[1])
        assert len(pyogrio.read_dataframe(path)) == 1
