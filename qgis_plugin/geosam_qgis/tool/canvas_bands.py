"""What the map tool draws on the canvas: never in a layer, and gone when the tool is put away."""

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
    """The rubber bands of a canvas."""

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
    def bands(self) -> tuple[QgsRubberBand, ...]:
        """All of them."""
        return self.window, self.hover, self.object, self.box, self.dragged, self.include, self.exclude

    def show_draft(self, draft: Draft) -> None:
        """Mark what the user has said."""
        marked: dict[int, list[QgsPointXY]] = {0: [], 1: []}
        rings = []
        for step in draft.steps:
            if step.kind == "point":
                marked[step.label].append(QgsPointXY(*step.rings[0][0]))
            else:
                rings += [[[QgsPointXY(*xy) for xy in ring]] for ring in step.rings]
        crs = crs_of(draft.crs)
        self._show(self.include, QgsGeometry.fromMultiPointXY(marked[1]) if marked[1] else None, crs)
        self._show(self.exclude, QgsGeometry.fromMultiPointXY(marked[0]) if marked[0] else None, crs)
        self._show(self.box, QgsGeometry.fromMultiPolygonXY(rings) if rings else None, crs)

    def show_answer(self, answer: WorkerAnswer | None) -> None:
        """Outline the object of the draft."""
        self._show(self.object, answer and answer.geometry, answer and answer.crs)

    def show_hover(self, answer: WorkerAnswer | None) -> None:
        """Outline what a click here would give."""
        self._show(self.hover, answer and answer.geometry, answer and answer.crs)

    def show_window(self, window: QgsGeometry | None, crs: QgsCoordinateReferenceSystem | None) -> None:
        """Outline what is being looked at, or was."""
        self._show(self.window, window, crs)

    def show_dragged(self, corners: list[QgsPointXY]) -> None:
        """Outline the box that is being drawn, in the canvas's CRS."""
        self._show(self.dragged, QgsGeometry.fromPolygonXY([corners]) if corners else None, None)

    def clear(self) -> None:
        """Draw nothing."""
        for band in self.bands:
            band.reset()

    def remove(self) -> None:
        """Take everything off the canvas, for good."""
        for band in self.bands:
            self._canvas.scene().removeItem(band)

    def _show(
        self, band: QgsRubberBand, geometry: QgsGeometry | None, crs: QgsCoordinateReferenceSystem | None
    ) -> None:
        """Draw a geometry, in the canvas's CRS if none is given; nothing where the canvas cannot show it."""
        shown = QgsGeometry()
        if geometry is not None:
            try:
                canvas_crs = self._canvas.mapSettings().destinationCrs()
                shown = transformed(geometry, crs or canvas_crs, canvas_crs)
            except ProjectionError:
                shown = QgsGeometry()
        if shown.isNull():
            band.reset()
        else:
            band.setToGeometry(shown)

    def _outline(self, colour: QColor, width: int, style: Qt.PenStyle, opacity: int = 0) -> QgsRubberBand:
        band = QgsRubberBand(self._canvas, QgsWkbTypes.GeometryType.PolygonGeometry)
        band.setStrokeColor(colour)
        band.setWidth(width)
        band.setLineStyle(style)
        band.setSecondaryStrokeColor(_HALO)  # to be seen on imagery of any colour
        inside = QColor(colour)
        inside.setAlpha(opacity)
        band.setFillColor(inside if opacity else _CLEAR)
        return band

    def _marks(self, colour: QColor, icon: QgsRubberBand.IconType) -> QgsRubberBand:
        band = QgsRubberBand(self._canvas, QgsWkbTypes.GeometryType.PointGeometry)
        band.setColor(colour)
        band.setIcon(icon)
        band.setIconSize(9)
        band.setWidth(3)
        return band
