"""The output layer: its file and its fields; no existing file is replaced."""

import pytest
from bench import Mouse, polygon, raster_layer, same, show, workbench
from qgis.core import QgsCoordinateReferenceSystem, QgsProject, QgsRasterLayer, QgsVectorLayer, QgsWkbTypes
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QFileDialog

from geosam_qgis.tool.drafted_object import AnswerState
from geosam_qgis.tool.output_layer import FIELDS, OutputLayerError, default_path, new_layer

UTM = "EPSG:32633"


@pytest.fixture(autouse=True)
def _clean_project(qgis_app):
    yield
    QgsProject.instance().removeAllMapLayers()


def test_a_new_layer_has_our_fields_and_is_editable_at_once(qgis_app, tmp_path):
    layer = new_layer(tmp_path / "Gebäude 1.gpkg", QgsCoordinateReferenceSystem(UTM))
    assert layer.isEditable()
    assert [name for name in layer.fields().names() if name != "fid"] == list(FIELDS)
    assert layer.crs().authid() == UTM
    assert layer.wkbType() == QgsWkbTypes.Type.MultiPolygon
    assert QgsProject.instance().mapLayer(layer.id()) is layer


def test_a_file_that_exists_is_never_written_over(qgis_app, tmp_path):
    kept = tmp_path / "kept.gpkg"
    kept.write_bytes(b"precious")
    with pytest.raises(OutputLayerError, match="exists"):
        new_layer(kept, QgsCoordinateReferenceSystem(UTM))
    assert kept.read_bytes() == b"precious"


def test_a_folder_that_does_not_exist_is_named(qgis_app, tmp_path):
    with pytest.raises(OutputLayerError, match="cannot be written"):
        new_layer(tmp_path / "missing" / "objects.gpkg", QgsCoordinateReferenceSystem(UTM))


def test_the_name_that_is_proposed_lies_beside_the_raster_and_is_free(scene_file, tmp_path):
    raster = QgsRasterLayer(scene_file("utm").path, "scene")
    proposed = default_path(raster)
    assert str(proposed) == scene_file("utm").path.replace(".tif", "_objects.gpkg")
    proposed.write_bytes(b"")
    try:
        assert default_path(raster).name == proposed.name.replace("_objects", "_objects_2")
    finally:
        proposed.unlink()


@pytest.fixture
def desk(client, map_canvas, scene_file):
    scene = scene_file("utm")
    raster = raster_layer(scene)
    show(map_canvas, raster, scene.authid)
    with workbench(client, map_canvas, raster) as bench:
        bench.scene, bench.mouse = scene, Mouse(map_canvas)
        yield bench


def test_accepting_without_a_layer_makes_one_that_is_chosen_from_then_on(desk, wait, tmp_path, monkeypatch):
    asked = []

    def name_it(*args, **options):
        asked.append(args)
        return (str(tmp_path / "new"), "") if len(asked) > 1 else ("", "")

    monkeypatch.setattr(QFileDialog, "getSaveFileName", name_it)
    scene, mouse = desk.scene, desk.mouse
    mouse.click(scene.spot("roof"), scene.authid)
    wait(lambda: desk.session.state is AnswerState.SHOWN)
    mouse.key(Qt.Key.Key_Return)  # and the dialog is cancelled
    assert len(desk.session.draft.steps) == 1
    mouse.key(Qt.Key.Key_Return)
    layer = desk.dock.output_layer
    assert layer.source().startswith(str(tmp_path / "new.gpkg"))
    mouse.click(scene.spot("pond"), scene.authid)
    mouse.key(Qt.Key.Key_Return)
    wait(lambda: layer.featureCount() == 2)
    assert len(asked) == 2
    assert layer.commitChanges()
    saved = QgsVectorLayer(str(tmp_path / "new.gpkg"), "saved", "ogr")
    found = [feature.geometry() for feature in saved.getFeatures()]
    assert same(found[0], polygon(scene.outline("roof")))
    assert same(found[1], polygon(scene.outline("pond")))
