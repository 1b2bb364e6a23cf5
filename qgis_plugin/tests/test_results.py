"""Files with polygons as layers of a project."""

import pytest
from qgis.core import QgsProject, QgsVectorFileWriter, QgsVectorLayer
from qgis.PyQt.QtCore import Qt

from geosam_qgis.jobs.results import outlines, result_layer, shown_layer


@pytest.fixture
def geopackage(qgis_app, tmp_path):
    """A GeoPackage with two layers, `found` and `other`."""
    path = str(tmp_path / "d\u00e9p\u00f4t un" / "found.gpkg")
    (tmp_path / "d\u00e9p\u00f4t un").mkdir()
    for number, name in enumerate(("other", "found")):
        layer = QgsVectorLayer("Polygon?crs=EPSG:32633&field=score:double", name, "memory")
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.driverName, options.layerName = "GPKG", name
        if number:
            options.actionOnExistingFile = QgsVectorFileWriter.ActionOnExistingFile.CreateOrOverwriteLayer
        context = QgsProject.instance().transformContext()
        error, *_ = QgsVectorFileWriter.writeAsVectorFormatV3(layer, path, context, options)
        assert error == QgsVectorFileWriter.WriterError.NoError
    return path


def test_the_layer_of_a_run_has_the_name_of_its_file(geopackage):
    layer = result_layer(geopackage)
    assert layer.isValid()
    assert layer.name() == "found"
    assert layer.source().endswith("|layername=found")


def test_a_file_that_a_layer_shows_is_known_by_the_name_of_the_layer(geopackage, qgis_new_project):
    project = QgsProject.instance()
    assert shown_layer(project, geopackage) == ""
    project.addMapLayer(QgsVectorLayer(f"{geopackage}|layername=other", "my roofs", "ogr"))
    assert shown_layer(project, geopackage) == "my roofs"
    assert shown_layer(project, geopackage.replace("found.gpkg", "another.gpkg")) == ""
    project.removeAllMapLayers()
    assert shown_layer(project, geopackage) == ""


def test_layers_without_a_file_show_none(geopackage, qgis_new_project):
    project = QgsProject.instance()
    project.addMapLayer(QgsVectorLayer("Polygon?crs=EPSG:32633", geopackage, "memory"))
    assert shown_layer(project, geopackage) == ""
    assert shown_layer(project, "") == ""


def test_outlines_have_no_fill(qgis_app):
    renderer = outlines()
    symbol_layer = renderer.symbol().symbolLayer(0)
    assert symbol_layer.brushStyle() == Qt.BrushStyle.NoBrush
    assert symbol_layer.strokeColor().alpha() == 255
