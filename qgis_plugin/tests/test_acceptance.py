"""Objects into the edit buffers of layers of all kinds."""

import json
import os
import signal
import subprocess

import pytest
from bench import Mouse, moved, polygon, polygon_layer, raster_layer, same, show, workbench
from conftest import library_python
from qgis.core import QgsCoordinateReferenceSystem, QgsFeature, QgsGeometry, QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import Qt

from geosam_qgis.draft import Draft
from geosam_qgis.tool.acceptance import AcceptanceError, accept
from geosam_qgis.tool.answer import WorkerAnswer
from geosam_qgis.tool.drafted_object import AnswerState
from geosam_qgis.tool.output_layer import new_layer

UTM = "EPSG:32633"
DRAFT = Draft(UTM).with_point(500005.0, 5400005.0, 1)
FACTS = {"score": 0.5, "stability": 0.75, "area_m2": 100.0, "perimeter_m": 40.0, "n_tiles": 2}
FACTS.update(touches_edge=False, truncated=True, model="threshold")
SQUARE = "POLYGON ((500000 5400000, 500000 5400010, 500010 5400010, 500010 5400000, 500000 5400000))"
TWO = (
    "MULTIPOLYGON (((500000 5400000, 500000 5400010, 500010 5400010, 500010 5400000, 500000 5400000)), "
    "((500020 5400000, 500020 5400020, 500040 5400020, 500040 5400000, 500020 5400000)))"
)
BOW = "POLYGON ((500000 5400000, 500010 5400010, 500010 5400000, 500000 5400010, 500000 5400000))"


def answer(wkt=SQUARE, draft=DRAFT, **facts):
    geometry = QgsGeometry.fromWkt(wkt) if wkt else None
    crs = QgsCoordinateReferenceSystem(UTM)
    return WorkerAnswer(draft, crs, geometry, {**FACTS, **facts}, None, ready=True, complete=True)


@pytest.fixture(autouse=True)
def _clean_project(qgis_app):
    yield
    QgsProject.instance().removeAllMapLayers()


def test_fields_are_filled_by_name_whatever_their_case_and_others_are_left_alone(qgis_app):
    fields = "field=SCORE:double&field=stab_score:double&field=n_tiles:string&field=truncated:int&field=class:string"
    layer = polygon_layer(UTM, fields=fields + "&field=Prompts:string")
    accept(answer(), layer)
    (feature,) = layer.getFeatures()
    assert feature["SCORE"] == 0.5
    assert feature["stab_score"] == 0.75
    assert feature["n_tiles"] == "2"
    assert feature["truncated"] == 1
    assert not feature["class"]
    assert Draft.from_json(json.loads(feature["Prompts"])) == DRAFT


def test_a_field_too_short_for_the_draft_stays_empty_rather_than_cut(qgis_app):
    layer = polygon_layer(UTM, fields="field=prompts:string(20)&field=score:double")
    accept(answer(), layer)
    (feature,) = layer.getFeatures()
    assert not feature["prompts"]
    assert feature["score"] == 0.5


@pytest.mark.parametrize(
    ("kind", "areas"),
    [("MultiPolygon", [500.0]), ("Polygon", [400.0, 100.0]), ("MultiPolygonZ", [500.0]), ("PolygonZM", [400.0, 100.0])],
)
def test_parts_are_turned_into_what_the_layer_takes_in_one_undo_step(qgis_app, kind, areas):
    layer = polygon_layer(UTM, kind)
    accept(answer(TWO), layer)
    features = sorted(layer.getFeatures(), key=lambda feature: -feature.geometry().area())
    assert [feature.geometry().area() for feature in features] == areas
    assert {feature.geometry().wkbType() for feature in features} == {layer.wkbType()}
    assert layer.undoStack().count() == 1
    layer.undoStack().undo()
    assert layer.featureCount() == 0


def test_a_single_polygon_gets_into_a_layer_of_multipolygons(qgis_app):
    layer = polygon_layer(UTM, "MultiPolygon")
    accept(answer(), layer)
    (feature,) = layer.getFeatures()
    assert feature.geometry().isMultipart()


def test_a_polygon_that_crosses_itself_is_made_valid(qgis_app):
    layer = polygon_layer(UTM)
    accept(answer(BOW), layer)
    (feature,) = layer.getFeatures()
    assert feature.geometry().isGeosValid()
    assert feature.geometry().area() == pytest.approx(50.0)


def test_a_revision_changes_geometry_and_attributes_in_one_undo_step(qgis_app):
    layer = polygon_layer(UTM)
    place = accept(answer(), layer)
    layer.changeAttributeValue(place.feature_id, layer.fields().lookupField("class"), "roof")
    count = layer.undoStack().count()
    again = accept(answer(TWO, score=0.9), layer, revised=place)
    assert again == place
    (feature,) = layer.getFeatures()
    assert (feature.geometry().area(), feature["score"], feature["class"]) == (500.0, 0.9, "roof")
    assert layer.undoStack().count() == count + 1
    layer.undoStack().undo()
    (feature,) = layer.getFeatures()
    assert (feature.geometry().area(), feature["score"], feature["class"]) == (100.0, 0.5, "roof")


def test_a_revision_of_a_feature_that_was_deleted_adds_it_again(qgis_app):
    layer = polygon_layer(UTM)
    place = accept(answer(), layer)
    layer.deleteFeature(place.feature_id)
    accept(answer(TWO), layer, revised=place)
    (feature,) = layer.getFeatures()
    assert feature.geometry().area() == 500.0


def test_what_is_too_small_is_refused_with_both_numbers(qgis_app):
    layer = polygon_layer(UTM)
    with pytest.raises(AcceptanceError, match=r"100\.0 m², expected at least 250 m²"):
        accept(answer(), layer, min_area_m2=250.0)
    assert layer.featureCount() == 0
    assert not layer.isEditable()


def test_a_layer_that_cannot_be_edited_is_named(qgis_app):
    layer = polygon_layer(UTM)
    layer.setReadOnly(True)
    with pytest.raises(AcceptanceError, match="objects cannot be edited"):
        accept(answer(), layer)


def test_a_refused_object_leaves_other_edits_as_they_were(qgis_app):
    layer = polygon_layer(UTM)
    place = accept(answer(), layer)
    layer.addFeature = lambda feature: False
    with pytest.raises(AcceptanceError, match="refused the object"):
        accept(answer(TWO), layer)
    del layer.addFeature
    assert [feature.id() for feature in layer.getFeatures()] == [place.feature_id]
    assert layer.undoStack().count() == 1
    layer.undoStack().undo()
    assert layer.featureCount() == 0


def test_a_place_that_the_layers_crs_does_not_have_is_a_message(qgis_app):
    layer = polygon_layer("EPSG:32633")
    lost = WorkerAnswer(
        DRAFT,
        QgsCoordinateReferenceSystem("EPSG:4326"),
        QgsGeometry.fromWkt("POLYGON ((15 94, 15 95, 16 95, 15 94))"),
        dict(FACTS),
        None,
        ready=True,
        complete=True,
    )
    with pytest.raises(AcceptanceError, match="but none in EPSG:32633"):
        accept(lost, layer)
    assert layer.featureCount() == 0


def test_what_was_accepted_can_be_saved_to_a_geopackage_beside_other_edits(qgis_app, tmp_path):
    layer = new_layer(tmp_path / "objects.gpkg", QgsCoordinateReferenceSystem(UTM))
    mine = QgsFeature(layer.fields())
    mine.setGeometry(QgsGeometry.fromWkt(TWO))
    assert layer.addFeature(mine)
    accept(answer(), layer)
    assert layer.commitChanges(), layer.commitErrors()
    saved = QgsVectorLayer(str(tmp_path / "objects.gpkg"), "saved", "ogr")
    assert sorted(feature.geometry().area() for feature in saved.getFeatures()) == [100.0, 500.0]
    (found,) = [feature for feature in saved.getFeatures() if feature["score"]]
    assert found["touches_edge"] is False
    assert found["truncated"] is True
    assert found["n_tiles"] == 2
    assert Draft.from_json(json.loads(found["prompts"])) == DRAFT


# With the real worker


def command_line(scene, tmp_path, *options):
    """Polygons of the command line, in the scene's CRS."""
    out = tmp_path / "command line.gpkg"
    told = ["-m", "geosam", "segment", scene.path, "-o", str(out), "--model", "threshold", "--quiet", *options]
    subprocess.run([library_python(), *told], check=True, timeout=240)
    layer = QgsVectorLayer(str(out), "out", "ogr")
    (feature,) = layer.getFeatures()
    return feature


def test_a_click_gives_what_the_command_line_gives_though_project_raster_and_layer_have_different_crss(
    client, map_canvas, scene_file, wait, tmp_path
):
    scene = scene_file("utm")
    raster, output = raster_layer(scene), polygon_layer("EPSG:4326")
    show(map_canvas, raster, "EPSG:3857")
    with workbench(client, map_canvas, raster, output) as bench:
        bench.dock.simplify_m.setValue(0.3)
        Mouse(map_canvas).click(scene.spot("pond"), scene.authid)
        ((kind, label, ((clicked,),)),) = [(s.kind, s.label, s.rings) for s in bench.session.draft.steps]
        wait(lambda: bench.session.state is AnswerState.SHOWN)
        found = bench.session.answer
        Mouse(map_canvas).key(Qt.Key.Key_Return)
        (feature,) = output.getFeatures()
        x, y = clicked
        options = ["--point", f"{x!r},{y!r}", "--prompt-crs", "EPSG:3857", "--simplify", "0.3"]
        expected = command_line(scene, tmp_path, *options)
        assert (kind, label) == ("point", 1)
        assert found.geometry.isGeosEqual(expected.geometry())
        assert same(feature.geometry(), moved(expected.geometry(), scene.authid, "EPSG:4326"), 1e-9)
        for name in ("score", "stability", "area_m2", "perimeter_m", "n_tiles", "touches_edge", "truncated", "model"):
            told = pytest.approx(expected[name], rel=1e-6) if isinstance(expected[name], float) else expected[name]
            assert feature[name] == told, name


def test_an_object_wider_than_three_windows_arrives_whole(client, map_canvas, scene_file, wait, tmp_path):
    scene = scene_file("long")
    raster, output = raster_layer(scene), polygon_layer(scene.authid)
    show(map_canvas, raster, scene.authid)
    with workbench(client, map_canvas, raster, output) as bench:
        Mouse(map_canvas).click(scene.spot("road"), scene.authid)
        Mouse(map_canvas).key(Qt.Key.Key_Return)  # before the answer is there
        wait(output.featureCount)
        (feature,) = output.getFeatures()
        assert same(feature.geometry(), polygon(scene.outline("road")), 1e-12)
        assert feature["n_tiles"] > 3
        assert feature["truncated"] is False
        assert not bench.messages


@pytest.mark.fault("F08")
def test_edits_survive_a_killed_worker_and_the_next_click_works(client, map_canvas, scene_file, wait):

    scene = scene_file("utm")
    raster, output = raster_layer(scene), polygon_layer(scene.authid)
    show(map_canvas, raster, scene.authid)
    pids = []
    client.started.connect(lambda greeting: pids.append(greeting["pid"]))
    with workbench(client, map_canvas, raster, output) as bench:
        mouse = Mouse(map_canvas)
        mouse.click(scene.spot("roof"), scene.authid)
        mouse.key(Qt.Key.Key_Return)
        wait(lambda: output.featureCount() == 1)
        mouse.click(scene.spot("pond"), scene.authid)
        os.kill(pids[-1], signal.SIGKILL)
        wait(lambda: not client.is_running)
        assert output.featureCount() == 1
        assert output.isEditable()
        assert len(bench.session.draft.steps) == 1
        mouse.click(scene.spot("field"), scene.authid)
        wait(lambda: bench.session.state is AnswerState.SHOWN)
        both = polygon(scene.outline("pond")).combine(polygon(scene.outline("field")))
        assert same(bench.session.answer.geometry, both)
        mouse.key(Qt.Key.Key_Return)
        assert output.featureCount() == 2
        assert len(pids) == 2
