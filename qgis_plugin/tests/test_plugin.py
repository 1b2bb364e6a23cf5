"""The plugin as QGIS loads, unloads and reloads it."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench import Mouse, polygon, polygon_layer, raster_layer, same, show
from qgis.core import QgsApplication, QgsProject
from qgis.gui import QgsMapToolPan, QgsMessageBar, QgsStatusBar
from qgis.PyQt.QtCore import QEvent, Qt
from qgis.PyQt.QtWidgets import QAction, QApplication, QDockWidget, QPushButton, QToolBar

import geosam_qgis
from geosam_qgis.engine.diagnosis_dialog import DiagnosisDialog
from geosam_qgis.tool.dock import DockSettings
from geosam_qgis.tool.drafted_object import AnswerState


class Interface:
    """QGIS's interface to plugins, as far as the plugin uses it."""

    def __init__(self, canvas, message_bar):
        self.canvas, self.bar, self.main = canvas, message_bar, canvas.window()
        self.status = QgsStatusBar()
        self.menu, self.docks, self.active = [], [], None

    def mainWindow(self):
        return self.main

    def mapCanvas(self):
        return self.canvas

    def messageBar(self):
        return self.bar

    def statusBarIface(self):
        return self.status

    def activeLayer(self):
        return self.active

    def addToolBar(self, name):
        return self.main.addToolBar(name)

    def addPluginToRasterMenu(self, name, action):
        self.menu.append((name, action))

    def removePluginRasterMenu(self, name, action):
        self.menu.remove((name, action))

    def addDockWidget(self, area, dock):
        self.docks.append(dock)

    def removeDockWidget(self, dock):
        self.docks.remove(dock)


@pytest.fixture
def iface(qgis_app, map_canvas):
    return Interface(map_canvas, QgsMessageBar())


def gone(qgis_app):
    """Delete all objects that wait for deletion."""
    for _ in range(3):
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        qgis_app.processEvents()


def left_behind(iface):
    main = iface.main
    return (
        len(main.findChildren(QToolBar)),
        len(main.findChildren(QDockWidget)),
        len(main.findChildren(QAction)),
        len(main.children()),
        len(iface.canvas.children()),
        len(iface.canvas.scene().items()),
        "geosam" in [provider.id() for provider in QgsApplication.processingRegistry().providers()],
    )


def test_loading_and_unloading_twice_leaves_nothing_behind(iface, qgis_app):
    gone(qgis_app)
    before = left_behind(iface)
    for _ in range(2):
        plugin = geosam_qgis.classFactory(iface)
        plugin.initGui()
        assert len(iface.menu) >= 5
        assert len(iface.docks) == 1
        assert left_behind(iface)[-1] is True
        iface.canvas.setMapTool(plugin.gui.workbench.tool)
        plugin.unload()
        assert plugin.gui is None
        gone(qgis_app)
        assert iface.menu == []
        assert iface.docks == []
        assert left_behind(iface) == before
        assert iface.canvas.mapTool() is None


def test_without_a_window_there_are_algorithms_and_no_widgets():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from qgis.core import QgsApplication\n"
        "app = QgsApplication([], False)\n"
        "app.initQgis()\n"
        "import geosam_qgis\n"
        "plugin = geosam_qgis.classFactory(None)\n"
        "plugin.initProcessing()\n"
        "print(*[a.id() for a in app.processingRegistry().providerById('geosam').algorithms()])\n"
        "print([name for name in sys.modules if name.startswith('geosam_qgis.tool')])\n"
        "plugin.unload()\n"
        "print(app.processingRegistry().providerById('geosam'))\n"
        "app.exitQgis()\n"
    )
    folder = str(Path(geosam_qgis.__file__).parents[1])
    ran = subprocess.run([sys.executable, "-c", code, folder], check=False, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    algorithms, imported, provider = ran.stdout.splitlines()[-3:]
    assert "geosam:segment" in algorithms
    assert imported == "[]"
    assert provider == "None"


def test_the_action_takes_the_tool_up_and_puts_it_away(iface, scene_file, qgis_app, monkeypatch, wait):
    raster, other = raster_layer(scene_file("utm")), raster_layer(scene_file("mercator"))
    plugin = geosam_qgis.classFactory(iface)
    plugin.initGui()
    try:
        window, bench = plugin.gui, plugin.gui.workbench
        DockSettings().model = "threshold"
        for layer in (other, raster):
            iface.active = layer
            window.segment.trigger()
            assert iface.canvas.mapTool() is bench.tool
            assert window.segment.isChecked()
            assert bench.dock.raster_layer is layer
            assert iface.status.currentMessage().startswith("Click an object")
            window.segment.trigger()
            assert iface.canvas.mapTool() is not bench.tool
            assert not window.segment.isChecked()
            assert iface.status.currentMessage() == ""
        window.segment.trigger()
        iface.canvas.setMapTool(QgsMapToolPan(iface.canvas))
        assert not window.segment.isChecked()
    finally:
        plugin.unload()
        QgsProject.instance().removeAllMapLayers()
        gone(qgis_app)


def test_a_missing_worker_is_a_message(iface, scene_file, qgis_app, monkeypatch, wait):
    monkeypatch.setattr("geosam_qgis.engine.client.find_worker", lambda: None)
    raster = raster_layer(scene_file("utm"))
    show(iface.canvas, raster, "EPSG:32633")
    plugin = geosam_qgis.classFactory(iface)
    plugin.initGui()
    try:
        iface.active = raster
        plugin.gui.segment.trigger()
        Mouse(iface.canvas).click(scene_file("utm").spot("roof"))
        message = wait(iface.bar.currentItem)
        assert "No geosam worker was found" in message.text()
        message.findChild(QPushButton).click()
        (dialog,) = iface.main.findChildren(DiagnosisDialog)
        assert dialog.isVisible()
        wait(lambda: "No geosam worker" in dialog.report.toPlainText() + dialog.findings.text())
    finally:
        plugin.unload()
        QgsProject.instance().removeAllMapLayers()
        gone(qgis_app)
    assert not iface.main.findChildren(DiagnosisDialog)


def test_from_the_action_to_the_saved_polygon(iface, scene_file, qgis_app, wait, worker_command):
    scene = scene_file("utm")
    DockSettings().model = "threshold"
    raster, output = raster_layer(scene), polygon_layer(scene.authid)
    show(iface.canvas, raster, "EPSG:3857")
    plugin = geosam_qgis.classFactory(iface)
    plugin.initGui()
    window = plugin.gui
    try:
        window.workbench.dock.output.setLayer(output)
        iface.active = raster
        window.segment.trigger()
        mouse = Mouse(iface.canvas)
        mouse.click(scene.spot("pond"), scene.authid)
        wait(lambda: window.workbench.session.state is AnswerState.SHOWN)
        mouse.key(Qt.Key.Key_Return)
        assert output.commitChanges()
        (feature,) = output.getFeatures()
        assert same(feature.geometry(), polygon(scene.outline("pond")))
        assert window.client.is_running
    finally:
        mouse.click(scene.spot("roof"), scene.authid)
        plugin.unload()
        wait(lambda: not window.client.is_running and not window.client.is_ending)
        assert iface.bar.currentItem() is None
        QgsProject.instance().removeAllMapLayers()
        gone(qgis_app)
