"""Runs inside QGIS (`qgis --code drive.py`): answers questions, acts without a mouse, and measures times.

A question is a file of JSON in the folder that GEOSAM_DRIVE names; it is answered by a file beside it.
"""

import json
import os
import time
import traceback
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QEvent, QObject, Qt, QTimer
from qgis.utils import iface, plugins

FOLDER = Path(os.environ["GEOSAM_DRIVE"])


def window():
    """The plugin's part of the main window."""
    return plugins["geosam_qgis"].gui


def workbench():
    """The plugin's map tool with its panel."""
    return window().workbench


class Clock(QObject):
    """A clock for stalls of the interface, and for the time from a click to its outline on the screen."""

    def __init__(self):
        super().__init__(iface.mapCanvas())
        self.clicks = []
        self._stall_ms = 0.0
        self._pressed = None
        self._looked = False
        self._ticked = time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)
        iface.mapCanvas().viewport().installEventFilter(self)

    def stop(self):
        """Stop the clock before the plugin is unloaded."""
        self._timer.stop()
        iface.mapCanvas().viewport().removeEventFilter(self)

    def taken(self):
        """The longest stall since the last press, or since the last question."""
        stall_ms, self._stall_ms = self._stall_ms, 0.0
        return stall_ms

    def looking(self, method, _params):
        """Note that the worker sees a new window: the outline does not come from memory."""
        self._looked = self._looked or method == "looking"

    def eventFilter(self, _watched, event):
        """Measure the time between a press of the mouse and the painting."""
        ghost = workbench().tool.bands
        if event.type() == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self._looked, self._stall_ms = time.perf_counter(), False, 0.0
        elif event.type() == QEvent.Type.Paint and self._pressed and ghost and outlines(ghost.object):
            QTimer.singleShot(0, self._painted)  # the painting itself comes after this filter
        return False

    def _tick(self):
        now = time.perf_counter()
        self._stall_ms = max(self._stall_ms, (now - self._ticked) * 1000)
        self._ticked = now

    def _painted(self):
        if self._pressed:
            ms = (time.perf_counter() - self._pressed) * 1000
            self.clicks.append({"ms": ms, "known": not self._looked, "stall_ms": self._stall_ms})
            self._pressed = None


def outlines(band):
    """Return True if a rubber band shows anything."""
    return band.isVisible() and band.numberOfVertices() > 2


class Driver(QObject):
    """Answers questions; a method each."""

    def __init__(self):
        super().__init__(iface.mainWindow())
        self.log = []
        QgsApplication.messageLog().messageReceived.connect(self._logged)
        self._clock = Clock()
        self._pid = 0
        window().client.notified.connect(self._clock.looking)
        window().client.started.connect(self._worker_started)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(20)

    def ready(self):
        """Return the version of QGIS."""
        return Qgis.QGIS_VERSION

    def show(self, raster):
        """Add a raster to the project, and take up the tool."""
        iface.mainWindow().setGeometry(0, 0, 1600, 960)
        layer = QgsRasterLayer(raster, Path(raster).stem)
        QgsProject.instance().addMapLayer(layer)
        iface.setActiveLayer(layer)
        window().segment.trigger()

    def project(self, crs):
        """Show the map in a CRS, whichever QGIS took from the first layer."""
        QgsProject.instance().setCrs(QgsCoordinateReferenceSystem(crs))

    def view(self, bounds, crs):
        """Show a part of the map."""
        canvas = iface.mapCanvas()
        canvas.setExtent(moved(QgsRectangle(*bounds), crs))
        canvas.refresh()

    def use_model(self, name):
        """Choose a model in the panel."""
        box = workbench().dock.model
        box.setCurrentIndex(box.findData(name))
        return workbench().dock.model_name

    def places(self, points, crs):
        """Return the screen positions of points of the map."""
        canvas = iface.mapCanvas()
        pixels = canvas.mapSettings().mapToPixel()
        moved_points = [pixels.transform(moved(QgsPointXY(*point), crs)) for point in points]
        on_screen = [canvas.viewport().mapToGlobal(point.toQPointF().toPoint()) for point in moved_points]
        return [[point.x(), point.y()] for point in on_screen]

    def state(self):
        """Return the visible state of QGIS and the plugin."""
        bench = workbench()
        layer, ghost = bench.dock.output_layer, bench.tool.bands
        return {
            "features": layer.featureCount() if layer else 0,
            "undo_steps": layer.undoStack().index() if layer else 0,
            "layer": layer.source() if layer else "",
            "drawing": iface.mapCanvas().isDrawing(),
            "drafting": bench.session.state.value,
            "looking": bool(bench.preview.windows),
            "steps": len(bench.session.draft.steps),
            "hover": bool(ghost and outlines(ghost.hover)),
            "object": bool(ghost and outlines(ghost.object)),
            "dialog": bool(QgsApplication.activeModalWidget()),
            "window": QgsApplication.activeWindow() is not None,
            "models": [bench.dock.model.itemData(index) for index in range(bench.dock.model.count())],
            "worker": self._pid if window().client.is_running else 0,
        }

    def objects(self):
        """The polygons of the output layer, saved or not, as WKT in the layer's CRS."""
        layer = workbench().dock.output_layer
        return {"crs": layer.crs().authid(), "wkt": [feature.geometry().asWkt() for feature in layer.getFeatures()]}

    def answer(self, crs):
        """The outline of the present draft, as WKT in a CRS."""
        answer, project = workbench().session.answer, QgsProject.instance()
        outline = QgsGeometry(answer.geometry)
        outline.transform(QgsCoordinateTransform(answer.crs, QgsCoordinateReferenceSystem(crs), project))
        return outline.asWkt()

    def clicks(self):
        """Times of the clicks since the last question: until the outline was there, and the longest stall."""
        clicks, self._clock.clicks = self._clock.clicks, []
        return clicks

    def stall(self):
        """The longest stall since the last press, or since the last question, in milliseconds."""
        return self._clock.taken()

    def messages(self):
        """Return the log of QGIS and the plugin: tag, level, text."""
        return self.log

    def save(self):
        """Save the output layer's edits."""
        return workbench().dock.output_layer.commitChanges()

    def quit(self):
        """Close QGIS as a user does, once this is answered."""
        self._clock.stop()
        QgsProject.instance().setDirty(False)
        QTimer.singleShot(200, iface.actionExit().trigger)

    def _worker_started(self, answer):
        self._pid = answer["pid"]

    def _logged(self, text, tag, level):
        self.log.append([tag, int(level), text])

    def _look(self):
        for question in sorted(FOLDER.glob("*.question"), key=lambda path: int(path.stem)):
            asked = json.loads(question.read_text())
            question.unlink()
            try:
                answer = {"value": getattr(self, asked["name"])(**asked["arguments"])}
            except Exception:  # noqa: BLE001  # whatever it is, the other side has to hear of it
                answer = {"error": traceback.format_exc()}
            unfinished = question.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(answer))
            unfinished.rename(question.with_suffix(".answer"))


def moved(geometry, crs):
    """A point or rectangle in the CRS of the map."""
    project = QgsProject.instance()
    return QgsCoordinateTransform(QgsCoordinateReferenceSystem(crs), project.crs(), project).transform(geometry)


DRIVER = Driver()
