"""A temporary layer for the objects of a run that is not finished yet."""

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

#: Pause between two additions to the layer, and the longest time of one, in milliseconds.
TICK_MS, WORK_MS = 50, 10
#: Number of objects that are added between two checks of the time.
BATCH = 25
#: Largest number of objects in the layer; the file has all of them.
MAX_SHOWN = 200_000
#: Shortest time between two redraws of the map, and its increase for each object in the layer.
REDRAW_MS, REDRAW_MS_PER_OBJECT = 1000, 0.05

_FIELDS = {"score": "number", "area_m2": "number", "touches_edge": "truth", "truncated": "truth"}


class StreamedLayer(QObject):
    """A temporary layer that gets its objects in small batches, so that the interface never waits.

    The layer belongs to the project, and this object to the layer: waiting objects are added even after the run. The
    user may remove the layer at any time; later objects are only counted.
    """

    def __init__(self, name: str, crs: QgsCoordinateReferenceSystem) -> None:
        layer = QgsVectorLayer("MultiPolygon", name, "memory")
        super().__init__(layer)  # so it ends with the layer, which may outlive the run
        self.count = 0
        """Number of objects from the worker."""
        self._queue: deque[dict[str, Any]] = deque()
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
        self._timer.timeout.connect(self._add_for_a_moment)
        QgsProject.instance().addMapLayer(layer)

    @property
    def layer(self) -> QgsVectorLayer | None:
        """The layer; None after it was removed from the project."""
        return self._layer

    def add(self, objects: list[dict[str, Any]]) -> None:
        """Add objects as the worker sends them: `wkb` in base64, and the fields."""
        self.count += len(objects)
        if self._layer is not None and self._shown + len(self._queue) < MAX_SHOWN:
            self._queue.extend(objects)
            self._timer.start()

    def stop(self) -> None:
        """Drop the objects that were not added yet."""
        self._queue.clear()
        if self._layer is not None:
            self._timer.stop()
            self._draw()

    def remove(self) -> None:
        """Remove the layer from the project."""
        if self._layer is not None:
            QgsProject.instance().removeMapLayer(self._layer)

    def _add_for_a_moment(self) -> None:
        clock = QElapsedTimer()
        clock.start()
        while self._queue and self._layer is not None and clock.elapsed() < WORK_MS:
            self._add_batch()
        pause = REDRAW_MS + REDRAW_MS_PER_OBJECT * self._shown
        if self._since_drawn.elapsed() >= pause:
            self._draw()
        if not self._queue and self._drawn == self._shown:
            self._timer.stop()

    def _add_batch(self) -> None:
        layer = self._layer
        if layer is None:
            return
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        layer.dataProvider().addFeatures([_feature(layer, item) for item in batch])
        self._shown += len(batch)

    def _draw(self) -> None:
        if self._layer is not None and self._drawn != self._shown:
            self._drawn = self._shown
            self._layer.updateExtents()
            self._layer.triggerRepaint()
            self._since_drawn.restart()

    def _forget(self) -> None:
        self._layer = None
        self._queue.clear()
        self._timer.stop()


def _feature(layer: QgsVectorLayer, item: dict[str, Any]) -> QgsFeature:
    geometry = QgsGeometry()
    geometry.fromWkb(base64.b64decode(item["wkb"]))
    geometry.convertToMultiType()  # the layer takes nothing else
    feature = QgsFeature(layer.fields())
    feature.setGeometry(geometry)
    feature.setAttributes([item[name] for name in _FIELDS])
    return feature
