"""Mouse and keys on a real canvas, with a real worker."""

import pytest
from bench import LEFT, RIGHT, Mouse, moved, polygon, polygon_layer, raster_layer, same, show, workbench
from qgis.core import QgsGeometry
from qgis.gui import QgsMapToolPan, QgsRubberBand
from qgis.PyQt.QtCore import QEvent, QPoint, Qt
from qgis.PyQt.QtGui import QKeySequence
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QShortcut

from geosam_qgis.tool.drafted_object import AnswerState


@pytest.fixture
def desk(client, map_canvas, scene_file, wait):
    """The turned UTM scene in a project of EPSG:3857, objects to EPSG:4326."""
    scene = scene_file("utm")
    raster, output = raster_layer(scene), polygon_layer("EPSG:4326")
    show(map_canvas, raster, "EPSG:3857")
    with workbench(client, map_canvas, raster, output) as bench:
        bench.scene, bench.output = scene, output
        bench.mouse = Mouse(map_canvas)
        yield bench


def outline(desk, name, crs="EPSG:4326"):
    return moved(polygon(desk.scene.outline(name)), desk.scene.authid, crs)


def shown(desk):
    return desk.session.state is AnswerState.SHOWN


def test_a_click_and_enter_put_the_object_into_the_layer_as_one_undo_step(desk, wait):
    desk.mouse.click(desk.scene.spot("roof"), desk.scene.authid)
    wait(lambda: shown(desk))
    assert same(desk.session.answer.geometry, polygon(desk.scene.outline("roof")))
    desk.mouse.key(Qt.Key.Key_Return)
    (feature,) = desk.output.getFeatures()
    assert same(feature.geometry(), outline(desk, "roof"))
    assert feature["model"] == "threshold"
    assert feature["touches_edge"] is False
    assert feature["area_m2"] == pytest.approx(polygon(desk.scene.outline("roof")).area(), rel=2e-3)
    assert not desk.session.draft.steps
    assert desk.output.undoStack().count() == 1
    desk.mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not list(desk.output.getFeatures())
    desk.mouse.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert desk.output.featureCount() == 1


def test_a_right_click_excludes_and_backspace_takes_the_last_prompt_back(desk, wait):
    for name in ("roof", "field"):
        desk.mouse.click(desk.scene.spot(name), desk.scene.authid)
    wait(lambda: shown(desk))
    both = polygon(desk.scene.outline("roof")).combine(polygon(desk.scene.outline("field")))
    assert same(desk.session.answer.geometry, both)
    desk.mouse.click(desk.scene.spot("field"), desk.scene.authid, RIGHT)
    assert [step.label for step in desk.session.draft.steps] == [1, 1, 0]
    wait(lambda: shown(desk))
    assert same(desk.session.answer.geometry, polygon(desk.scene.outline("roof")))
    desk.mouse.key(Qt.Key.Key_Backspace)
    wait(lambda: shown(desk))
    assert same(desk.session.answer.geometry, both)
    desk.mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(desk.session.draft.steps) == 1
    desk.mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert len(desk.session.draft.steps) == 2
    desk.mouse.key(Qt.Key.Key_Escape)
    assert not desk.session.draft.steps
    assert desk.session.state is AnswerState.IDLE
    assert not list(desk.output.getFeatures())


@pytest.mark.parametrize("rotation", [0.0, 35.0])
def test_a_drag_is_a_box_upright_on_the_screen_even_if_the_map_is_turned(desk, wait, map_canvas, rotation):
    map_canvas.setRotation(rotation)
    corners = [moved(QgsGeometry.fromPointXY(p), desk.scene.authid, "EPSG:3857").asPoint() for p in spots(desk, "pond")]
    pixels = [map_canvas.mapSettings().mapToPixel().transform(corner) for corner in corners]
    low = min(p.x() for p in pixels) - 4, min(p.y() for p in pixels) - 4
    high = max(p.x() for p in pixels) + 4, max(p.y() for p in pixels) + 4
    back = map_canvas.mapSettings().mapToPixel()
    desk.mouse.drag(back.toMapCoordinates(*map(round, low)), back.toMapCoordinates(*map(round, high)))
    (step,) = desk.session.draft.steps
    assert step.kind == "box"
    drawn = [map_canvas.mapSettings().mapToPixel().transform(*xy) for xy in step.rings[0]]
    expected = [low, (high[0], low[1]), high, (low[0], high[1])]
    for pixel, (column, row) in zip(drawn, expected):
        assert (pixel.x(), pixel.y()) == pytest.approx((column, row), abs=1.0)
    wait(lambda: shown(desk))
    assert desk.session.answer.geometry is not None


def spots(desk, name):
    return list(polygon(desk.scene.outline(name)).asPolygon()[0])


def test_a_drag_shorter_than_the_system_calls_one_is_a_click(desk):
    spot = desk.scene.spot("roof")
    pixel = desk.mouse.pixel(spot, desk.scene.authid)
    viewport = desk.mouse.canvas.viewport()
    QTest.mousePress(viewport, LEFT, Qt.KeyboardModifier.NoModifier, pixel)
    QTest.mouseRelease(viewport, LEFT, Qt.KeyboardModifier.NoModifier, pixel + QPoint(2, 2))
    assert [step.kind for step in desk.session.draft.steps] == ["point"]


def test_the_key_g_goes_through_the_levels_of_detail(desk, wait):
    for level in ("part", "whole", "group", "auto"):
        desk.mouse.key(Qt.Key.Key_G)
        assert desk.session.draft.granularity == level
        assert desk.dock.granularity.currentData() == level
    desk.mouse.click(desk.scene.spot("roof"), desk.scene.authid)
    desk.mouse.key(Qt.Key.Key_G)
    assert desk.session.draft.granularity == "part"
    assert len(desk.session.draft.steps) == 1
    desk.mouse.key(Qt.Key.Key_Backspace)
    assert desk.session.draft.granularity == "auto"


def test_keys_are_bound_while_the_tool_is_active_and_only_then(desk, map_canvas, wait):
    fired = []
    shortcuts = []
    for keys in ("G", "Ctrl+Z", "Backspace", "S"):
        shortcut = QShortcut(QKeySequence(keys), map_canvas.window())
        shortcut.activated.connect(lambda keys=keys: fired.append(keys))
        shortcuts.append(shortcut)
    map_canvas.window().activateWindow()
    map_canvas.setFocus()
    press_all(desk)
    assert fired == ["S"]  # not one of ours
    pan = QgsMapToolPan(map_canvas)
    map_canvas.setMapTool(pan)
    press_all(desk)
    assert fired == ["S", "G", "Ctrl+Z", "Backspace", "S"]
    map_canvas.setMapTool(desk.tool)
    press_all(desk)
    assert fired[5:] == ["S"]
    for shortcut in shortcuts:
        shortcut.setParent(None)


def press_all(desk):
    for key, modifier in (("G", "No"), ("Z", "Control"), ("Backspace", "No"), ("S", "No")):
        desk.mouse.key(getattr(Qt.Key, f"Key_{key}"), getattr(Qt.KeyboardModifier, f"{modifier}Modifier"))


def test_hovering_shows_a_preview_of_a_known_window_and_a_click_keeps_it(desk, wait):
    def ghost():
        desk.mouse.hover(desk.scene.spot("roof"), desk.scene.authid)
        return desk.preview.answer

    wait(ghost)
    assert same(desk.preview.answer.geometry, polygon(desk.scene.outline("roof")))
    band = desk.tool.bands.hover.asGeometry()
    assert band.area() == pytest.approx(outline(desk, "roof", "EPSG:3857").area(), rel=1e-6)
    foreseen = desk.preview.answer
    desk.mouse.click(desk.scene.spot("roof"), desk.scene.authid)
    assert desk.session.answer is foreseen  # at once
    assert desk.session.state is AnswerState.WAITING
    assert desk.preview.answer is None
    assert desk.tool.bands.hover.asGeometry().isEmpty()
    wait(lambda: shown(desk))
    assert desk.session.answer is not foreseen
    assert desk.session.answer.geometry.equals(foreseen.geometry)


def test_the_preview_ends_when_the_cursor_leaves_and_over_no_object(desk, wait):
    def ghost():
        desk.mouse.hover(desk.scene.spot("field"), desk.scene.authid)
        return desk.preview.answer

    wait(ghost)
    QApplication.sendEvent(desk.mouse.canvas.viewport(), QEvent(QEvent.Type.Leave))
    assert desk.preview.answer is None


def test_the_drawings_end_with_the_tool_and_the_draft_stays(desk, map_canvas, wait):
    def bands():
        return [item for item in map_canvas.scene().items() if isinstance(item, QgsRubberBand)]

    desk.mouse.click(desk.scene.spot("roof"), desk.scene.authid)
    wait(lambda: shown(desk))
    assert desk.tool.bands.object.asGeometry().area() > 0
    assert desk.tool.bands.include.numberOfVertices() == 1
    pan = QgsMapToolPan(map_canvas)
    map_canvas.setMapTool(pan)
    assert bands() == []
    assert desk.session.draft.steps
    map_canvas.setMapTool(desk.tool)
    assert desk.tool.bands.object.asGeometry().area() > 0


def test_the_panel_and_an_outline_show_the_window_that_is_embedded(desk, wait):
    states = []
    desk.preview.activity_changed.connect(
        lambda: states.append((desk.dock.state.text(), desk.tool.bands.window.asGeometry().area() > 0))
    )
    desk.mouse.click(desk.scene.spot("roof"), desk.scene.authid)
    wait(lambda: shown(desk) and states)
    assert ("Segmenting…", True) in states
    wait(lambda: desk.dock.state.text() == "Ready.")
    assert desk.tool.bands.window.asGeometry().area() > 0
