"""The dialog before a whole layer is segmented."""

from pathlib import Path

import pytest
from layers import Interface, raster
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

from geosam_qgis.jobs.job_dialog import JobDialog


@pytest.fixture
def iface(map_canvas, qgis_new_project):
    return Interface(map_canvas)


@pytest.fixture
def dialog(iface):
    made = []

    def make(layer=None, extent="whole"):
        made.append(JobDialog(iface, layer, extent))
        return made[-1]

    yield make
    for one in made:
        one.deleteLater()


def test_the_dialog_suggests_and_asks_for_the_whole_layer(dialog, scene_file):
    layer = raster(scene_file())
    job = dialog(layer).job()
    assert job.layer is layer
    assert job.out == str(Path(layer.source()).with_name("scène utm_segments.gpkg"))
    assert (job.extent, job.resolution_m, job.model) == (None, None, "geosam_lite")
    assert job.running == {"layout": "overlapping", "simplify_m": 0.0, "min_area_m2": 0.0, "overwrite": True}


def test_the_extent_of_the_view_is_in_the_crs_of_the_raster(dialog, iface, scene_file):
    scene = scene_file("mercator")
    layer = raster(scene)
    iface.canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    x, y = scene.spot("roof")
    box = QgsRectangle(x - 20, y - 20, x + 20, y + 20)
    from qgis.core import QgsCoordinateTransform

    there = QgsCoordinateTransform(layer.crs(), QgsCoordinateReferenceSystem("EPSG:4326"), QgsProject.instance())
    iface.canvas.setExtent(there.transformBoundingBox(box))
    job = dialog(layer, "view").job()
    assert job.extent.contains(QgsPointXY(x, y))
    assert 40 <= job.extent.height() < 120
    assert job.layer.extent().contains(job.extent)


def test_the_extent_of_a_selection_is_its_bounds(dialog, iface, scene_file):
    scene = scene_file()
    layer = raster(scene)
    iface.active = areas = QgsVectorLayer(f"Polygon?crs={scene.authid}", "areas", "memory")
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromPolygonXY([[QgsPointXY(*vertex) for vertex in scene.outline("roof")]]))
    areas.dataProvider().addFeature(feature)
    window = dialog(layer, "selection")
    assert "Select features" in window.job()
    areas.selectAll()
    assert window.job().extent == feature.geometry().boundingBox()


def test_the_dialog_names_a_missing_choice_and_stays_open(dialog, scene_file, tmp_path):
    layer = raster(scene_file())
    window = dialog(layer)
    asked = []
    window.confirmed.connect(asked.append)
    window.output.setFilePath("")
    window.buttons.accepted.emit()
    assert window.problem.text() == "Choose an output file."
    window.output.setFilePath(str(tmp_path / "x"))
    (tmp_path / "x.gpkg").touch()
    window.buttons.accepted.emit()
    assert "Press OK again to replace it" in window.problem.text()
    assert asked == []
    window.buttons.accepted.emit()
    assert asked[0].out == str(tmp_path / "x.gpkg")
