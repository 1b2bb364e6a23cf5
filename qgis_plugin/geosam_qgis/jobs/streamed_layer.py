"""Objects on the map while they are being found."""

from __future__ import annotations

import base64
from collections import deque
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QElapsedTimer, QObject, QTimer

from geosam_qgis.compat import field
from geosam_qgis.jobs.results import outlines

#: How often objects are put into the layer, in milliseconds, and how long that may take each time.
TICK_MS, WORK_MS = 50, 10
#: Objects are put in by this many, between two looks at the clock.
BATCH = 25
#: Not more are shown while the run goes on; the file has them all.
MAX_SHOWN = 200_000
#: The map is drawn again after this time at the earliest, and later the more there is to draw.
REDRAW_MS, REDRAW_MS_PER_OBJECT = 1000, 0.05

_FIELDS = {"score": "number", "area_m2": "number", "touches_edge": "truth", "truncated": "truth"}


class StreamedLayer(QObject):
    """A temporary layer that objects are put into bit by bit, so that the interface never waits.

    The layer belongs to the project, and this object to the layer: what waits is put in even after the run, and the
    user may remove it at any time; objects that come then are only counted.
    """

    def __init__(self, name: str, crs: QgsCoordinateReferenceSystem) -> None:
        layer = QgsVectorLayer("MultiPolygon", name, "memory")
        super().__init__(layer)
        self.found = 0
        """Objects that came."""
        self._waiting: deque[dict[str, Any]] = deque()
        self._shown = self._drawn = 0
        self._since_drawn = QElapsedTimer()
        self._since_drawn.start()
        self._layer: QgsVectorLayer | None = layer
        layer.setCrs(crs)
        layer.dataProvider().addAttributes([field(name, kind) for name, kind in _FIELDS.items()])
        layer.updateFields()
        layer.setRenderer(outlines())
        layer.willBeDeleted.connect(self._forget)
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._put)
        QgsProject.instance().addMapLayer(layer)

    @property
    def layer(self) -> QgsVectorLayer | None:
        """The layer, while it is in the project."""
        return self._layer

    def add(self, objects: list[dict[str, Any]]) -> None:
        """Take objects as the worker sends them."""
        self.found += len(objects)
        if self._layer is not None and self._shown + len(self._waiting) < MAX_SHOWN:
            self._waiting.extend(objects)
            self._timer.start()

    def stop(self) -> None:
        """Leave the layer as it is; what still waits is not put in."""
        self._waiting.clear()
        if self._layer is not None:
            self._timer.stop()
            self._draw()

    def remove(self) -> None:
        """Take the layer out of the project."""
        if self._layer is not None:
            QgsProject.instance().removeMapLayer(self._layer)

    def _put(self) -> None:
        clock = QElapsedTimer()
        clock.start()
        while self._waiting and self._layer is not None and clock.elapsed() < WORK_MS:
            self._put_some()
        pause = REDRAW_MS + REDRAW_MS_PER_OBJECT * self._shown
        if self._since_drawn.elapsed() >= pause:
            self._draw()
        if not self._waiting and self._drawn == self._shown:
            self._timer.stop()

    def _put_some(self) -> None:
        layer = self._layer
        if layer is None:
            return
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        layer.dataProvider().addFeatures([_feature(layer, found) for found in batch])
        self._shown += len(batch)

    def _draw(self) -> None:
        if self._layer is not None and self._drawn != self._shown:
            self._drawn = self._shown
            self._layer.updateExtents()
            self._layer.triggerRepaint()
            self._since_drawn.restart()

    def _forget(self) -> None:
        self._layer = None
        self._waiting.clear()
        self._timer.stop()


def _feature(layer: QgsVectorLayer, found: dict[str, Any]) -> QgsFeature:
    geometry = QgsGeometry()
    geometry.fromWkb(base64.b64decode(found["wkb"]))
    geometry.convertToMultiType()
    feature = QgsFeature(layer.fields())
    feature.setGeometry(geometry)
    feature.setAttributes([found[name] for name in _FIELDS])
    return feature
