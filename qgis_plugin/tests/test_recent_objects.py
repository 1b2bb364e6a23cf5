"""Accepted objects: listed, found again, continued, and saved as a prompt layer."""

import json
import subprocess

import pytest
from bench import Mouse, moved, polygon, polygon_layer, raster_layer, same, show, workbench
from conftest import library_python
from qgis.core import QgsCoordinateReferenceSystem, QgsFeature, QgsGeometry, QgsPointXY, QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QFileDialog

from geosam_qgis.draft import Draft
from geosam_qgis.tool.drafted_object import AnswerState
from geosam_qgis.tool.feature_reference import reference_to
from geosam_qgis.tool.output_layer import new_layer
from geosam_qgis.tool.recent_objects import feature_at, outline_draft, prompt_objects, stored_draft

PLAIN = "field=class:string"


@pytest.fixture
def desk(client, map_canvas, scene_file, wait):
    scene = scene_file("utm")
    raster, output = raster_layer(scene), polygon_layer("EPSG:4326")
    show(map_canvas, raster, "EPSG:3857")
    with workbench(client, map_canvas, raster, output) as bench:
        bench.scene, bench.output, bench.mouse = scene, output, Mouse(map_canvas)
        bench.wait = wait
        yield bench


def outline(desk, *names):
    whole = polygon(desk.scene.outline(names[0]))
    for name in names[1:]:
        whole = whole.combine(polygon(desk.scene.outline(name)))
    return moved(whole, desk.scene.authid, "EPSG:4326")


def add(desk, *names):
    """Accept an object clicked in all these places."""
    count = desk.output.featureCount()
    for name in names:
        desk.mouse.click(desk.scene.spot(name), desk.scene.authid)
    desk.mouse.key(Qt.Key.Key_Return)
    desk.wait(lambda: desk.output.featureCount() > count)


def test_alt_and_a_click_go_on_with_a_polygon_and_accepting_changes_it_in_one_undo_step(desk):
    add(desk, "roof")
    (before,) = desk.output.getFeatures()
    desk.mouse.click(desk.scene.spot("roof"), desk.scene.authid, modifier=Qt.KeyboardModifier.AltModifier)
    assert desk.session.draft == stored_draft(before)
    assert desk.session.revised == reference_to(desk.output, before)
    desk.mouse.click(desk.scene.spot("field"), desk.scene.authid)
    desk.wait(lambda: desk.session.state is AnswerState.SHOWN)
    desk.mouse.key(Qt.Key.Key_Return)
    (after,) = desk.output.getFeatures()
    assert after.id() == before.id()
    assert same(after.geometry(), outline(desk, "roof", "field"))
    assert len(stored_draft(after).steps) == 2
    assert desk.output.undoStack().count() == 2
    desk.mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    (undone,) = desk.output.getFeatures()
    assert same(undone.geometry(), outline(desk, "roof"))
    assert len(stored_draft(undone).steps) == 1


def test_the_selected_polygon_is_continued_and_esc_leaves_it_unchanged(desk):
    add(desk, "roof")
    (before,) = desk.output.getFeatures()
    desk.continue_selected()
    assert "Select one polygon" in desk.messages[-1]
    desk.output.selectByIds([before.id()])
    desk.continue_selected()
    assert desk.session.revised is not None
    desk.mouse.key(Qt.Key.Key_Escape)
    assert desk.session.revised is None
    add(desk, "field")
    assert desk.output.featureCount() == 2


def test_a_polygon_without_clicks_continues_from_its_outline(desk):
    rough = moved(polygon(desk.scene.outline("pond")).buffer(-2.0, 4), desk.scene.authid, "EPSG:4326")
    feature = QgsFeature(desk.output.fields())
    feature.setGeometry(rough)
    desk.output.startEditing()
    desk.output.addFeature(feature)
    desk.mouse.click(desk.scene.spot("pond"), desk.scene.authid, modifier=Qt.KeyboardModifier.AltModifier)
    (step,) = desk.session.draft.steps
    assert step.kind == "mask"
    desk.wait(lambda: desk.session.state is AnswerState.SHOWN)
    desk.mouse.key(Qt.Key.Key_Return)
    (after,) = desk.output.getFeatures()
    assert same(after.geometry(), outline(desk, "pond"))


def test_alt_and_a_click_beside_all_polygons_is_a_message(desk):
    desk.mouse.click(desk.scene.spot("ground"), desk.scene.authid, modifier=Qt.KeyboardModifier.AltModifier)
    assert "no polygon of objects here" in desk.messages[-1]
    assert not desk.session.draft.steps


def test_recent_objects_are_listed_newest_first_and_can_be_continued_after_saving(desk, tmp_path):
    saved = new_layer(tmp_path / "o.gpkg", QgsCoordinateReferenceSystem(desk.scene.authid))
    desk.dock.output.setLayer(saved)
    desk.output = saved
    add(desk, "roof")
    add(desk, "pond")
    names = [desk.dock.recent.item(row).text() for row in range(desk.dock.recent.count())]
    areas = [recent.answer.facts["area_m2"] for recent in desk.recents.objects]
    assert [f"{area:,.1f} m² in o" for area in areas] == names
    assert areas == sorted(areas)[::-1] or len(areas) == 2
    assert saved.commitChanges()
    _newest, oldest = desk.recents.objects
    assert not saved.getFeature(oldest.reference.feature_id).isValid()  # it has another id now
    assert same(oldest.reference.feature.geometry(), polygon(desk.scene.outline("roof")))
    desk.continue_recent(oldest)
    desk.mouse.click(desk.scene.spot("field"), desk.scene.authid)
    desk.wait(lambda: desk.session.state is AnswerState.SHOWN)
    desk.mouse.key(Qt.Key.Key_Return)
    assert saved.featureCount() == 2
    whole = moved(outline(desk, "roof", "field"), "EPSG:4326", desk.scene.authid)
    assert any(same(feature.geometry(), whole) for feature in saved.getFeatures())


def test_an_object_that_is_saved_while_it_is_continued_is_changed_and_not_doubled(desk, tmp_path):
    saved = new_layer(tmp_path / "o.gpkg", QgsCoordinateReferenceSystem(desk.scene.authid))
    desk.dock.output.setLayer(saved)
    desk.output = saved
    add(desk, "roof")
    desk.mouse.click(desk.scene.spot("roof"), desk.scene.authid, modifier=Qt.KeyboardModifier.AltModifier)
    assert saved.commitChanges()
    desk.mouse.click(desk.scene.spot("field"), desk.scene.authid)
    desk.wait(lambda: desk.session.state is AnswerState.SHOWN)
    desk.mouse.key(Qt.Key.Key_Return)
    (feature,) = saved.getFeatures()
    assert same(feature.geometry(), moved(outline(desk, "roof", "field"), "EPSG:4326", desk.scene.authid))
    assert len(desk.recents.objects) == 1


def test_a_recent_object_of_a_layer_without_our_fields_keeps_its_prompts(desk):
    plain = polygon_layer(desk.scene.authid, fields=PLAIN)
    desk.dock.output.setLayer(plain)
    desk.output = plain
    add(desk, "roof")
    (feature,) = plain.getFeatures()
    assert stored_draft(feature) is None
    assert desk.recents.draft_of(plain, feature) == desk.recents.objects[0].answer.draft


def test_a_deleted_recent_object_continues_as_a_new_one(desk):
    add(desk, "roof")
    (recent,) = desk.recents.objects
    desk.output.deleteFeature(recent.reference.feature_id)
    desk.continue_recent(recent)
    assert desk.session.draft == recent.answer.draft
    assert desk.session.revised is None
    assert "not in its layer" in desk.messages[-1]


def test_objects_of_a_removed_layer_are_forgotten(desk):
    add(desk, "roof")
    QgsProject.instance().removeMapLayer(desk.output.id())
    assert desk.recents.objects == []
    assert desk.dock.recent.count() == 0


def test_the_map_shows_a_recent_object_that_is_clicked_in_the_list(desk, map_canvas):
    add(desk, "roof")
    desk.dock.recent.itemClicked.emit(desk.dock.recent.item(0))
    extent = map_canvas.extent()
    roof = moved(outline(desk, "roof"), "EPSG:4326", "EPSG:3857").boundingBox()
    assert extent.contains(roof)
    assert extent.width() < 6 * roof.width()


def test_saved_prompts_replay_on_the_command_line_to_the_same_polygons(desk, tmp_path, monkeypatch):
    add(desk, "roof")
    add(desk, "pond", "field")
    (first, _) = desk.output.getFeatures()
    desk.output.changeAttributeValue(first.id(), desk.output.fields().lookupField("class"), "seen")
    prompts, out = tmp_path / "my prompts.gpkg", tmp_path / "replayed.gpkg"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(prompts), ""))
    desk.save_prompts()
    desk.wait(lambda: any("prompts of 2 objects" in text for text in desk.messages))
    told = ["segment", desk.scene.path, "--prompts", str(prompts), "-o", str(out), "--model", "threshold", "--quiet"]
    subprocess.run([library_python(), "-m", "geosam", *told], check=True, timeout=240)
    replayed = list(QgsVectorLayer(str(out), "replayed", "ogr").getFeatures())
    accepted = [moved(f.geometry(), "EPSG:4326", desk.scene.authid) for f in desk.output.getFeatures()]
    assert len(replayed) == len(accepted) == 2
    for feature in replayed:
        assert any(same(feature.geometry(), one) for one in accepted)
    assert "seen" in [feature["class"] for feature in replayed]


def test_without_prompts_there_is_nothing_to_save(desk):
    desk.save_prompts()
    assert "no polygons with prompts" in desk.messages[-1]


def test_a_damaged_field_is_no_draft(qgis_app):
    layer = polygon_layer("EPSG:32633")
    layer.startEditing()
    for text in ("", "{", "[]", json.dumps({"crs": "EPSG:4326", "steps": [{"kind": "star"}]}), "[" * 100_000):
        feature = QgsFeature(layer.fields())
        feature["prompts"] = text
        assert stored_draft(feature) is None
    QgsProject.instance().removeMapLayer(layer)


def test_the_smallest_polygon_at_a_point_is_meant(qgis_app):
    layer = polygon_layer("EPSG:32633")
    layer.startEditing()
    for side in (100, 10, 50):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(500000, 5400000)).buffer(side, 1))
        layer.addFeature(feature)
    crs = QgsCoordinateReferenceSystem("EPSG:32633")
    assert feature_at(layer, QgsPointXY(500001, 5400001), crs).geometry().area() == pytest.approx(200.0)
    assert feature_at(layer, QgsPointXY(500200, 5400001), crs) is None
    QgsProject.instance().removeMapLayer(layer)


def test_holes_of_an_outline_are_rings_of_their_own(qgis_app):
    layer = polygon_layer("EPSG:32633")
    feature = QgsFeature(layer.fields())
    ring = "POLYGON ((0 0, 0 10, 10 10, 10 0, 0 0), (4 4, 6 4, 6 6, 4 4))"
    feature.setGeometry(QgsGeometry.fromWkt(ring))
    (step,) = outline_draft(layer, feature).steps
    assert [len(vertices) for vertices in step.rings] == [4, 3]
    QgsProject.instance().removeMapLayer(layer)


def test_drafts_of_several_crss_are_saved_in_one(qgis_app):
    layer = polygon_layer("EPSG:32633")
    layer.startEditing()
    for crs, x, y in (("EPSG:4326", 15.0, 48.75), ("EPSG:3857", 1669792.36, 6236500.0)):
        feature = QgsFeature(layer.fields())
        feature["prompts"] = json.dumps(Draft(crs).with_point(x, y, 1).to_json())
        layer.addFeature(feature)

    class Nothing:
        def draft_of(self, layer, feature):
            return None

    drafts = [Draft.from_json(each["draft"]) for each in prompt_objects(layer, Nothing())]
    assert {draft.crs for draft in drafts} == {"EPSG:32633"}
    for draft in drafts:
        assert draft.steps[0].rings[0][0][0] == pytest.approx(500000.0, abs=1.0)
    QgsProject.instance().removeMapLayer(layer)
