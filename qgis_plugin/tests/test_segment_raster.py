"""`geosam:segment`: the same features as the command line, in every kind of output."""

from pathlib import Path

import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsVectorLayer,
)
from toolbox import command_line, outlines, rows


def test_the_result_equals_that_of_the_command_line(run, scene_file, tmp_path):
    scene = scene_file()
    options = {"SIMPLIFY": 0.6, "MIN_AREA": 50, "LAYOUT": 1, "TILE_SIZE": 256, "OVERLAP": 64}
    found = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / "a b.gpkg"), **options)
    shaping = ["--simplify", "0.6", "--min-area", "50", "--layout", "planar", "--tile-size", "256", "--overlap", "64"]
    expected = command_line("segment", scene.path, "-o", tmp_path / "c.gpkg", "--model", "threshold", *shaping)
    assert found["OUTPUT"] == str(tmp_path / "a b.gpkg")
    assert found["COUNT"] == expected["count"] > 3
    assert rows(found["OUTPUT"]) == rows(tmp_path / "c.gpkg")
    assert QgsVectorLayer(found["OUTPUT"], "x", "ogr").crs().authid() == scene.authid
    assert f"{expected['count']} objects from {expected['tiles']} tiles" in run.log


def test_bands_resolution_and_window_reach_the_worker(run, scene_file, tmp_path):
    scene = scene_file("mercator")
    xmin, ymax = scene.at(80, 60)
    xmax, ymin = scene.at(260, 380)
    found = run(
        "segment",
        INPUT=scene.path,
        MODEL="threshold",
        EXTENT=f"{xmin},{xmax},{ymin},{ymax} [EPSG:3857]",
        RESOLUTION=1.0,
        BANDS=[3, 2, 1],
        STRETCH="none",
        OUTPUT=str(tmp_path / "a.gpkg"),
    )
    options = ["--window", f"{xmin!r},{ymin!r},{xmax!r},{ymax!r}", "--resolution", "1", "--bands", "3,2,1"]
    command_line(
        "segment", scene.path, "-o", tmp_path / "c.gpkg", "--model", "threshold", "--stretch", "none", *options
    )
    assert rows(found["OUTPUT"]) == rows(tmp_path / "c.gpkg")


def test_a_cache_folder_keeps_what_was_seen(run, scene_file, tmp_path):
    found = run(
        "segment", INPUT=scene_file().path, MODEL="threshold", CACHE=str(tmp_path / "cache"), OUTPUT="memory:objects"
    )
    assert found["COUNT"] > 3
    assert list((tmp_path / "cache").rglob("*.safetensors"))


def test_an_extent_in_another_crs_is_transformed(run, scene_file):
    scene = scene_file()
    inside = QgsGeometry.fromPointXY(QgsPointXY(*scene.spot("roof"))).boundingBox()
    inside.grow(5)
    moved = QgsCoordinateTransform(
        QgsCoordinateReferenceSystem(scene.authid), QgsCoordinateReferenceSystem("EPSG:4326"), QgsProject.instance()
    ).transformBoundingBox(inside)
    extent = f"{moved.xMinimum()},{moved.xMaximum()},{moved.yMinimum()},{moved.yMaximum()} [EPSG:4326]"
    found = run("segment", INPUT=scene.path, MODEL="threshold", EXTENT=extent, OUTPUT="TEMPORARY_OUTPUT")
    (only,) = found["OUTPUT"].getFeatures()
    (roof,) = outlines(scene, "roof")
    assert only.geometry().intersects(QgsGeometry.fromPointXY(QgsPointXY(*scene.spot("roof"))))
    assert only.geometry().area() < roof.area()


def test_other_outputs_get_the_same_features(run, scene_file, tmp_path):
    scene = scene_file()
    expected = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / "file.gpkg"))
    for output in ("memory:", "TEMPORARY_OUTPUT", f"ogr:dbname='{tmp_path / 'db.gpkg'}' table=\"found\" (geom)"):
        found = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=output)["OUTPUT"]
        assert rows(found) == rows(expected["OUTPUT"]), output
    tab = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / "file.tab"))["OUTPUT"]
    assert len(rows(tab)) == expected["COUNT"]  # a format that geosam does not write


def test_the_formats_of_geosam_are_written_by_the_worker(run, scene_file, tmp_path):
    scene = scene_file()
    for suffix in (".geojson", ".fgb", ".shp"):
        found = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / f"out{suffix}"))
        assert len(rows(found["OUTPUT"])) == found["COUNT"]


def test_an_output_that_is_to_be_loaded_is_announced(provider, worker_command, scene_file, tmp_path):
    import processing

    context, project = QgsProcessingContext(), QgsProject()
    output = QgsProcessingOutputLayerDefinition(str(tmp_path / "shown.gpkg"), project)
    parameters = {"INPUT": scene_file().path, "MODEL": "threshold", "OUTPUT": output}
    found = processing.run("geosam:segment", parameters, context=context, feedback=QgsProcessingFeedback(False))
    assert list(context.layersToLoadOnCompletion()) == [found["OUTPUT"]]


def test_tiles_that_cannot_be_read_are_a_warning_or_an_error(run, scene_file, tmp_path):
    damaged = tmp_path / "damaged.tif"
    whole = Path(scene_file("mercator").path).read_bytes()
    damaged.write_bytes(whole[: len(whole) * 2 // 3])
    what = {"INPUT": str(damaged), "MODEL": "threshold", "TILE_SIZE": 128, "OVERLAP": 32, "OUTPUT": "memory:"}
    assert run("segment", ALLOW_PARTIAL=True, **what)["COUNT"] > 0
    assert "tiles failed and are missing" in run.log
    with pytest.raises(QgsProcessingException, match="The file is damaged or incomplete"):
        run("segment", **what)
