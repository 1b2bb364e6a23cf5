"""The drawings of the map tool on the canvas: not part of any layer, and removed with the tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY, QgsWkbTypes
from qgis.gui import QgsMapCanvas, QgsRubberBand
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from geosam_qgis.jobs.projections import ProjectionError, crs_of, transformed

if TYPE_CHECKING:
    from geosam_qgis.draft import Draft
    from geosam_qgis.tool.answer import WorkerAnswer

_OBJECT, _INCLUDE, _EXCLUDE, _WINDOW = QColor(255, 140, 0), QColor(0, 150, 60), QColor(210, 20, 40), QColor(60, 60, 60)
_HALO = QColor(255, 255, 255, 150)
_CLEAR = QColor(0, 0, 0, 0)


class CanvasBands:
    """The rubber bands of the map tool on a canvas."""

    def __init__(self, canvas: QgsMapCanvas) -> None:
        self._canvas = canvas
        self.window = self._outline(_WINDOW, 1, Qt.PenStyle.DashLine)
        self.hover = self._outline(_OBJECT, 2, Qt.PenStyle.DashLine)
        self.object = self._outline(_OBJECT, 2, Qt.PenStyle.SolidLine, opacity=60)
        self.box = self._outline(_INCLUDE, 1, Qt.PenStyle.SolidLine)
        self.dragged = self._outline(_INCLUDE, 1, Qt.PenStyle.DashLine)
        self.include = self._marks(_INCLUDE, QgsRubberBand.IconType.ICON_CIRCLE)
        self.exclude = self._marks(_EXCLUDE, QgsRubberBand.IconType.ICON_X)

    @property
    def all(self) -> tuple[QgsRubberBand, ...]:
        """All rubber bands."""
        return self.window, self.hover, self.object, self.box, self.dragged, self.include, self.exclude

    def show_draft(self, draft: Draft) -> None:
        """Mark the points and boxes of a draft."""
        points: dict[int, list[QgsPointXY]] = {0: [], 1: []}
        rings = []
        for step in draft.steps:
            if step.kind == "point":
                points[step.label].append(QgsPointXY(*step.rings[0][0]))
            else:
                rings += [[[QgsPointXY(*xy) for xy in ring]] for ring in step.rings]
        crs = crs_of(draft.crs)
        self._show(self.include, QgsGeometry.fromMultiPointXY(points[1]) if points[1] else None, crs)
        self._show(self.exclude, QgsGeometry.fromMultiPointXY(points[0]) if points[0] else None, crs)
        self._show(self.box, QgsGeometry.fromMultiPolygonXY(rings) if rings else None, crs)

    def show_answer(self, answer: WorkerAnswer | None) -> None:
        """Outline the object of the draft."""
        self._show(self.object, answer and answer.geometry, answer and answer.crs)

    def show_hover(self, answer: WorkerAnswer | None) -> None:
        """Outline the object of a click under the cursor."""
        self._show(self.hover, answer and answer.geometry, answer and answer.crs)

    def show_window(self, window: QgsGeometry | None, crs: QgsCoordinateReferenceSystem | None) -> None:
        """Outline the window that the model sees, or has seen last."""
        self._show(self.window, window, crs)

    def show_dragged(self, corners: list[QgsPointXY]) -> None:
        """Outline the box that the user draws, in the canvas's CRS."""
        self._show(self.dragged, QgsGeometry.fromPolygonXY([corners]) if corners else None, None)

    def clear(self) -> None:
        """Remove all drawings."""
        for band in self.all:
            band.reset()

    def remove(self) -> None:
        """Remove the rubber bands from the canvas."""
        for band in self.all:
            self._canvas.scene().removeItem(band)

    def _show(
        self, band: QgsRubberBand, geometry: QgsGeometry | None, crs: QgsCoordinateReferenceSystem | None
    ) -> None:
        """Draw a geometry, by default in the canvas's CRS; nothing if the canvas cannot show it."""
        projected = QgsGeometry()
        if geometry is not None:
            try:
                canvas_crs = self._canvas.mapSettings().destinationCrs()
                projected = transformed(geometry, crs or canvas_crs, canvas_crs)
            except ProjectionError:
                projected = QgsGeometry()
        if projected.isNull():
            band.reset()
        else:
            band.setToGeometry(projected)

    def _outline(self, colour: QColor, width: int, style: Qt.PenStyle, opacity: int = 0) -> QgsRubberBand:
        band = QgsRubberBand(self._canvas, QgsWkbTypes.GeometryType.PolygonGeometry)
        band.setStrokeColor(colour)
        band.setWidth(width)
        band.setLineStyle(style)
        band.setSecondaryStrokeColor(_HALO)  # visible on imagery of any colour
        fill = QColor(colour)
        fill.setAlpha(opacity)
        band.setFillColor(fill if opacity else _CLEAR)
        return band

    def _marks(self, colour: QColor, icon: QgsRubberBand.IconType) -> QgsRubberBand:
        band = QgsRubberBand(self._canvas, QgsWkbTypes.GeometryType.PointGeometry)
        band.setColor(colour)
        band.setIcon(icon)
        band.setIconSize(9)
        band.setWidth(3)
        return band
