"""The panel: its choices are those of the requests."""

import pytest
from bench import FakeClient, Mouse, polygon_layer, raster_layer, show, workbench
from qgis.core import QgsCoordinateReferenceSystem, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import Qt

from geosam_qgis.jobs.sources import RasterSource
from geosam_qgis.tool.dock import DockSettings
from geosam_qgis.tool.drafted_object import AnswerState

MODELS = [
    {"name": "geosam_lite", "description": "our own", "ready": True},
    {"name": "threshold", "description": "exact", "ready": True},
    {"name": "sam_vit_h", "description": "Segment Anything", "ready": False},
]


@pytest.fixture
def scene(scene_file):
    return scene_file("utm")


@pytest.fixture
def desk(qgis_app, map_canvas, scene):
    raster, output = raster_layer(scene), polygon_layer("EPSG:32633")
    show(map_canvas, raster, "EPSG:32633")
    client = FakeClient()
    with workbench(client, map_canvas, raster, output) as bench:
        bench.client, bench.raster, bench.output, bench.mouse = client, raster, output, Mouse(map_canvas)
        yield bench


def segments(desk):
    return [params for method, params, *_ in desk.client.requests if method == "segment"]


def test_requests_have_the_chosen_raster_model_and_tolerance(desk, scene):
    desk.dock.simplify_m.setValue(0.5)
    desk.mouse.click(scene.spot("roof"), scene.authid)
    (asked,) = segments(desk)
    assert asked["scene"] == scene.path
    assert asked["model"] == {"name": "threshold"}
    assert asked["simplify_m"] == 0.5


def test_models_without_weights_cannot_be_chosen_and_have_a_remedy(desk):
    desk.client.started.emit({"models": MODELS})
    items = desk.dock.model.model()
    assert [items.item(row).isEnabled() for row in range(3)] == [True, True, False]
    assert "geosam models download sam_vit_h" in items.item(2).toolTip()
    assert desk.dock.model_name == "threshold"  # as it was


def test_the_choice_is_remembered(desk):
    desk.client.started.emit({"models": MODELS})
    desk.dock.model.setCurrentIndex(0)
    desk.dock.min_area_m2.setValue(12.0)
    assert DockSettings().model == "geosam_lite"
    assert DockSettings().min_area_m2 == 12.0
    assert desk.session.options.model == "geosam_lite"


def test_a_model_that_the_worker_does_not_have_gives_way_to_one_that_is_ready(desk):
    desk.client.started.emit({"models": [MODELS[2], MODELS[0]]})
    assert desk.dock.model_name == "geosam_lite"
    assert desk.session.options.model == "geosam_lite"


def test_a_too_small_object_is_a_message_and_stays_the_present_one(desk, scene):
    desk.dock.min_area_m2.setValue(250.0)
    desk.mouse.click(scene.spot("roof"), scene.authid)
    desk.client.answer(-1)
    desk.mouse.key(Qt.Key.Key_Return)
    assert "expected at least 250 m²" in desk.messages[-1]
    assert desk.output.featureCount() == 0
    assert desk.session.draft.steps
    desk.dock.min_area_m2.setValue(50.0)
    desk.client.answer(-1)
    desk.mouse.key(Qt.Key.Key_Return)
    assert desk.output.featureCount() == 1


def test_an_object_is_added_to_the_layer_that_was_the_output_at_its_acceptance(desk, scene):
    desk.client.started.emit({"models": MODELS})
    desk.mouse.click(scene.spot("roof"), scene.authid)
    desk.mouse.key(Qt.Key.Key_Return)
    assert "1 accepted objects" in desk.dock.state.text()
    other = polygon_layer("EPSG:32633")
    desk.dock.output.setLayer(other)
    desk.client.answer(-1)
    assert (desk.output.featureCount(), other.featureCount()) == (1, 0)


def test_an_object_whose_layer_was_removed_comes_back(desk, scene):
    desk.mouse.click(scene.spot("roof"), scene.authid)
    desk.mouse.key(Qt.Key.Key_Return)
    QgsProject.instance().removeMapLayer(desk.output.id())
    desk.client.answer(-1)
    assert "output layer was removed" in desk.messages[-1]
    assert len(desk.session.draft.steps) == 1


def test_the_level_of_detail_is_chosen_in_the_panel_too(desk):
    desk.dock.granularity.setCurrentIndex(2)
    assert desk.session.draft.granularity == "whole"


def test_requests_follow_the_chosen_raster_and_end_with_a_removed_one(desk, scene, scene_file):
    desk.mouse.click(scene.spot("roof"), scene.authid)
    other = raster_layer(scene_file("mercator"))
    desk.dock.raster.setLayer(other)
    assert segments(desk)[-1]["scene"] == scene_file("mercator").path
    QgsProject.instance().removeMapLayers([other.id(), desk.raster.id()])
    assert desk.dock.raster_layer is None
    assert not desk.session.draft.steps
    count = len(desk.client.requests)
    desk.mouse.click(scene.spot("roof"), scene.authid)
    assert len(desk.client.requests) == count
    assert "Choose a raster layer" in desk.messages[-1]


def test_a_layer_whose_crs_is_not_its_files_is_refused_until_it_is_set_back(desk, scene):
    right = desk.raster.crs()
    desk.raster.setCrs(QgsCoordinateReferenceSystem("EPSG:32634"))
    assert "EPSG:32634" in desk.dock.notice.text()
    assert "EPSG:32633" in desk.dock.notice.text()
    desk.mouse.click(scene.spot("roof"), scene.authid)
    assert segments(desk) == []
    assert desk.messages[-1] == desk.dock.notice.text()
    desk.raster.setCrs(right)
    assert desk.dock.notice.text() == ""
    desk.mouse.click(scene.spot("roof"), scene.authid)
    assert len(segments(desk)) == 1


def test_a_web_layer_is_offered_to_be_exported(desk):
    web = QgsRasterLayer("type=xyz&url=http://localhost:9/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=3", "tiles", "wms")
    QgsProject.instance().addMapLayer(web)
    desk.dock.raster.setLayer(web)
    assert "tiles" in desk.dock.notice.text()
    assert not desk.dock.export.isHidden()
    desk.dock.raster.setLayer(desk.raster)
    assert desk.dock.export.isHidden()


def test_the_exported_view_becomes_the_chosen_raster_layer(desk, scene_file, map_canvas, monkeypatch):
    taken = []
    monkeypatch.setattr(desk._pictures, "take", lambda *asked: taken.append(asked))
    show(map_canvas, desk.raster, "EPSG:3857")
    desk.dock.export_requested.emit()
    ((layer, extent, resolution_m, ready, failed),) = taken
    assert layer is desk.raster
    assert extent.contains(desk.raster.extent())
    assert resolution_m == pytest.approx(map_canvas.mapUnitsPerPixel() * 0.6593, rel=0.01)
    failed("")
    assert desk.messages == []
    failed("The server has delivered nothing.")
    assert desk.messages == ["The server has delivered nothing."]
    ready(RasterSource(scene_file("mercator").path))
    assert desk.session.source == RasterSource(scene_file("mercator").path)
    assert desk.dock.raster_layer.name() == "scene, view"


def test_the_panel_shows_the_state_of_the_worker(desk, scene):
    state = desk.dock.state
    desk.client.started.emit({"models": MODELS})
    assert state.text() == "Ready."
    desk.mouse.click(scene.spot("roof"), scene.authid)
    assert state.text() == "Segmenting…"
    desk.client.answer(-1)
    assert desk.session.state is AnswerState.SHOWN
    assert state.text() == "Ready."
    desk.client.is_running = False
    desk.client.stopped.emit("The worker crashed (-11).")
    assert state.text() == "The worker crashed (-11)."
    desk.client.is_running = True
    desk.mouse.click(scene.spot("field"), scene.authid)
    assert state.text() == "The worker is starting…"


def test_the_view_is_embedded_after_it_has_stopped_moving(desk, map_canvas, wait):
    def prefetched():
        return [params["bounds"] for method, params, *_ in desk.client.requests if method == "prefetch"]

    wait(prefetched)
    before = len(prefetched())
    for factor in (0.9, 0.8, 0.7):
        map_canvas.zoomByFactor(factor)
    wait(lambda: len(prefetched()) > before)
    extent = map_canvas.extent()
    assert prefetched()[-1] == [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()]
    assert len(prefetched()) == before + 1


def test_after_a_restart_the_view_is_embedded_again(desk, wait):
    count = len(desk.client.requests)
    desk.client.started.emit({"models": MODELS})
    wait(lambda: [method for method, *_ in desk.client.requests[count:]] == ["prefetch"])
