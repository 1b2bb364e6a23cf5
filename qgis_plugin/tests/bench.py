"""Tools for the tests of the map tool: a workbench on a canvas, a mouse, and a client without a worker."""

from __future__ import annotations

import base64
from contextlib import contextmanager

from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QEvent, QObject, QPoint, QPointF, Qt, pyqtSignal
from qgis.PyQt.QtGui import QMouseEvent
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication

from geosam_qgis.engine.client import GONE, WorkerFailure
from geosam_qgis.tool.dock import DockSettings
from geosam_qgis.tool.workbench import Workbench

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


class FakeClient(QObject):
    """A client whose answers the test gives, in any order."""

    started = pyqtSignal(object)
    stopped = pyqtSignal(str)
    notified = pyqtSignal(str, object)

    def __init__(self):
        super().__init__()
        self.is_running = True
        self.model = None
        self.requests = []
        self.cancelled = []

    def scene(self, path, options, on_ready, on_error):
        wkt = QgsCoordinateReferenceSystem("EPSG:32633").toWkt()
        on_ready({"scene": path, "authority": "EPSG:32633", "crs": wkt, "warnings": []})

    def forget_scene(self, path):
        self.forgotten = path

    def request(self, method, params, on_result, on_error, stream=""):
        self.requests.append((method, params, on_result, on_error, stream))
        return len(self.requests)

    def cancel(self, request_id):
        self.cancelled.append(request_id)

    @property
    def looks(self):
        """Requests in short: (stream, look, number of steps)."""
        return [
            (stream, params["look"], len(params["draft"]["steps"]))
            for method, params, _, _, stream in self.requests
            if method == "segment"
        ]

    def answer(self, number, wkt="POLYGON ((0 0, 0 10, 10 10, 10 0, 0 0))", *, complete=True, ready=True, **facts):
        """Answer a request, counted from 1 (or from the end)."""
        found = None
        if wkt:
            wkb = bytes(QgsGeometry.fromWkt(wkt).asWkb())
            known = {"score": 0.5, "stability": 0.75, "area_m2": 100.0, "perimeter_m": 40.0, "n_tiles": 1}
            known.update(touches_edge=False, truncated=False, model="threshold", **facts)
            found = {"wkb": base64.b64encode(wkb).decode(), **known}
        window = [[0, 0], [0, 1024], [1024, 1024], [1024, 0]]
        self._of(number)[2]({"ready": ready, "complete": complete, "object": found, "window": window})

    def fail(self, number, code=GONE, message="The worker crashed.", data=None):
        self._of(number)[3](WorkerFailure(code, message, data))

    def _of(self, number):
        return self.requests[number - 1 if number > 0 else number]


class Mouse:
    """Real mouse events on a canvas, at places of a CRS."""

    def __init__(self, canvas):
        self.canvas = canvas

    def pixel(self, xy, crs=None):
        """The pixel of the canvas at a place."""
        place = QgsPointXY(*xy)
        if crs is not None:
            geometry = QgsGeometry.fromPointXY(place)
            place = moved(geometry, crs, self.canvas.mapSettings().destinationCrs()).asPoint()
        shown = self.canvas.mapSettings().mapToPixel().transform(place)
        return QPoint(round(shown.x()), round(shown.y()))

    def click(self, xy, crs=None, button=LEFT, modifier=Qt.KeyboardModifier.NoModifier):
        QTest.mouseClick(self.canvas.viewport(), button, modifier, self.pixel(xy, crs))

    def hover(self, xy, crs=None):
        self._send(QEvent.Type.MouseMove, self.pixel(xy, crs), Qt.MouseButton.NoButton)

    def drag(self, start, end, crs=None):
        first, last = self.pixel(start, crs), self.pixel(end, crs)
        QTest.mousePress(self.canvas.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, first)
        for pixel in ((first + last) / 2, last):
            self._send(QEvent.Type.MouseMove, pixel, LEFT)
        QTest.mouseRelease(self.canvas.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, last)

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        QTest.keyClick(self.canvas, key, modifier)

    def _send(self, kind, pixel, buttons):
        viewport = self.canvas.viewport()
        at, everywhere = QPointF(pixel), QPointF(viewport.mapToGlobal(pixel))
        event = QMouseEvent(kind, at, everywhere, Qt.MouseButton.NoButton, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(viewport, event)


def moved(geometry, source, target):
    """A copy of a geometry in another CRS; CRSs are authority codes or QGIS's."""
    from geosam_qgis.jobs.projections import transformed

    return transformed(geometry, QgsCoordinateReferenceSystem(source), QgsCoordinateReferenceSystem(target))


def show(canvas, layer, authid):
    """Show all of a layer on a canvas in a CRS."""
    QgsProject.instance().setCrs(QgsCoordinateReferenceSystem(authid))
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem(authid))
    extent = moved(QgsGeometry.fromRect(layer.extent()), layer.crs(), authid).boundingBox()
    canvas.setExtent(extent)
    QApplication.processEvents()


def raster_layer(scene, wait=None):
    """A picture as a layer of the project."""
    layer = QgsRasterLayer(scene.path, "scene")
    assert layer.isValid()
    return QgsProject.instance().addMapLayer(layer)


FIELDS = (
    "field=score:double&field=stability:double&field=area_m2:double&field=perimeter_m:double&field=model:string"
    "&field=n_tiles:int&field=touches_edge:bool&field=truncated:bool&field=prompts:string&field=class:string"
)


def polygon_layer(authid="EPSG:32633", kind="MultiPolygon", fields=FIELDS):
    """An empty layer of the project in memory."""
    layer = QgsVectorLayer(f"{kind}?crs={authid}&{fields}", "objects", "memory")
    assert layer.isValid()
    return QgsProject.instance().addMapLayer(layer)


@contextmanager
def workbench(client, canvas, raster, output=None, model="threshold"):
    """A workbench whose tool is active; it is unloaded in the end, and the project emptied."""
    DockSettings().model = model
    bench = Workbench(client, canvas, canvas.window())
    bench.messages = []
    bench.message.connect(lambda text, _failed: bench.messages.append(text))
    bench.dock.raster.setLayer(raster)
    bench.dock.output.setLayer(output)
    canvas.setMapTool(bench.tool)
    try:
        yield bench
    finally:
        bench.unload()
        QgsProject.instance().removeAllMapLayers()
        QApplication.processEvents()


def polygon(points):
    """A polygon from its vertices, not closed."""
    return QgsGeometry.fromPolygonXY([[QgsPointXY(*xy) for xy in points]])


def same(one, other, tolerance=1e-6):
    """Return True if two polygons differ by slivers only: a millionth of their area."""
    return one.symDifference(other).area() <= tolerance * max(one.area(), other.area())
