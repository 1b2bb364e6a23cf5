"""The map tool: clicks, drags, hovering and keys become what is said about an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from qgis.gui import QgsMapCanvas, QgsMapMouseEvent, QgsMapTool
from qgis.PyQt.QtCore import QEvent, QObject, QPoint, Qt, QTimer, pyqtSignal
from qgis.PyQt.QtGui import QCursor, QKeyEvent
from qgis.PyQt.QtWidgets import QApplication

from geosam_qgis.texts import granularity_text, tr
from geosam_qgis.tool.canvas_bands import CanvasBands
from geosam_qgis.tool.drafted_object import AnswerState

if TYPE_CHECKING:
    from qgis.core import QgsCoordinateReferenceSystem, QgsPointXY, QgsVectorLayer

    from geosam_qgis.tool.draft_session import DraftSession
    from geosam_qgis.tool.hover_preview import HoverPreview

#: The view is looked at when it has been still for so long, milliseconds.
STILL_MS = 300


class SegmentTool(QgsMapTool):
    """Left click includes, right click excludes, a drag is a box; keys are bound while the tool is active only."""

    accept_asked = pyqtSignal()
    """The object is as it should be."""
    continue_asked = pyqtSignal(object)
    """The polygon at this point of the canvas is to be gone on with."""
    hint_changed = pyqtSignal(str)
    """What can be done now, for the status bar."""

    def __init__(
        self,
        canvas: QgsMapCanvas,
        session: DraftSession,
        preview: HoverPreview,
        target: Callable[[], QgsVectorLayer | None],
    ) -> None:
        """A tool of `canvas`; `target` is asked for the layer whose edits can be undone."""
        super().__init__(canvas)
        self._session = session
        self._preview = preview
        self._target = target
        self._bands: CanvasBands | None = None
        self._pressed: QPoint | None = None
        self._button = Qt.MouseButton.NoButton
        self._is_drag = False
        self._still = QTimer(self)
        self._still.setSingleShot(True)
        self._still.setInterval(STILL_MS)
        self._still.timeout.connect(self._look_ahead)
        session.changed.connect(self.redraw)
        preview.changed.connect(self._redraw_hover)
        preview.looking_changed.connect(self._redraw_window)
        canvas.extentsChanged.connect(self.follow_view)
        canvas.destinationCrsChanged.connect(self.redraw)

    @property
    def bands(self) -> CanvasBands | None:
        """What is drawn on the canvas; None while the tool is not active."""
        return self._bands

    # What QGIS calls

    def activate(self) -> None:
        """The tool is taken up: bind the keys, draw what was drafted, and look at the view."""
        self._bands = CanvasBands(self.canvas())
        self.canvas().installEventFilter(self)
        self.canvas().viewport().installEventFilter(self)
        self.canvas().setFocus()
        self.redraw()
        super().activate()  # tells others, who find everything in its place

    def deactivate(self) -> None:
        """The tool is put away: nothing of it is left on the canvas. The draft waits."""
        self.canvas().removeEventFilter(self)
        self.canvas().viewport().removeEventFilter(self)
        self._still.stop()
        self._pressed, self._is_drag = None, False
        self._preview.leave()
        if self._bands is not None:
            self._bands.remove()
            self._bands = None
        self.hint_changed.emit("")
        super().deactivate()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Claim our keys before they become shortcuts of QGIS, and notice when the cursor leaves."""
        if event.type() == QEvent.Type.ShortcutOverride and self._meaning_of(event) is not None:
            event.accept()
        elif event.type() == QEvent.Type.Leave:
            self._preview.leave()
        return bool(super().eventFilter(watched, event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Do what a key means here; other keys keep what they mean elsewhere."""
        meaning = self._meaning_of(event)
        if meaning is None:
            event.ignore()
        else:
            meaning()
            event.accept()

    def canvasPressEvent(self, event: QgsMapMouseEvent) -> None:
        """A click or a drag begins."""
        self._pressed, self._button, self._is_drag = event.pos(), event.button(), False

    def canvasMoveEvent(self, event: QgsMapMouseEvent) -> None:
        """A drag goes on, or the cursor hovers."""
        if self._pressed is None:
            if event.buttons() == Qt.MouseButton.NoButton:
                self._preview.hover(self.toMapCoordinates(event.pos()), self._crs())
            return
        distance = (event.pos() - self._pressed).manhattanLength()
        is_left = self._button == Qt.MouseButton.LeftButton
        self._is_drag = self._is_drag or (is_left and distance >= QApplication.startDragDistance())
        if self._is_drag and self._bands is not None:
            self._preview.leave()
            self._bands.show_dragged(self._corners(self._pressed, event.pos()))

    def canvasReleaseEvent(self, event: QgsMapMouseEvent) -> None:
        """A click or a drag is done."""
        start, was_drag = self._pressed, self._is_drag
        if start is None or event.button() != self._button:
            return
        self._pressed, self._is_drag = None, False
        point = self.toMapCoordinates(start)
        if was_drag:
            self._say_box(self._corners(start, event.pos()))
        elif event.button() == Qt.MouseButton.RightButton:
            self._session.add_point(point, self._crs(), 0)
        elif event.button() != Qt.MouseButton.LeftButton:
            return
        elif event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.continue_asked.emit(point)
        else:
            self._include(point)

    def unload(self) -> None:
        """Take the tool off the canvas, for good."""
        self.canvas().unsetMapTool(self)
        self.canvas().extentsChanged.disconnect(self.follow_view)
        self.canvas().destinationCrsChanged.disconnect(self.redraw)
        self.deleteLater()

    # Drawing

    def redraw(self) -> None:
        """Draw what was drafted and what was answered, and say what can be done."""
        if self._bands is None:
            return
        session = self._session
        self._bands.show_draft(session.draft)
        self._bands.show_answer(session.answer)
        self._redraw_hover()
        self._redraw_window()
        is_busy = session.state is AnswerState.ASKING
        self.setCursor(QCursor(Qt.CursorShape.BusyCursor if is_busy else Qt.CursorShape.CrossCursor))
        self.hint_changed.emit(self.hint())

    def follow_view(self) -> None:
        """Look at what is in view, as soon as it is still."""
        if self._bands is not None:
            self._still.start()

    def hint(self) -> str:
        """What can be done now."""
        if not self._session.draft.steps:
            return tr("Click an object, or drag a box around it. Alt+click: go on with a polygon. Ctrl+Z: undo.")
        text = tr("Click: include. Right click: exclude. Enter: accept. Backspace: back. Esc: clear. G: {granularity}.")
        return text.format(granularity=granularity_text(self._session.draft.granularity))

    def _redraw_hover(self) -> None:
        if self._bands is not None:
            self._bands.show_hover(self._preview.answer)

    def _redraw_window(self) -> None:
        """The window that is being looked at, else the one that the answer comes from."""
        if self._bands is None:
            return
        looking, answer = self._preview.looking, self._session.answer
        if looking:
            self._bands.show_window(looking[-1], self._preview.crs)
        else:
            self._bands.show_window(answer and answer.window, answer and answer.crs)

    # Meaning

    def _meaning_of(self, event: QKeyEvent) -> Callable[[], object] | None:
        none, control = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
        bound: tuple[tuple[int, Any, Callable[[], object]], ...] = (
            (Qt.Key.Key_Return, none, self.accept_asked.emit),
            (Qt.Key.Key_Enter, none, self.accept_asked.emit),
            (Qt.Key.Key_Escape, none, self._session.clear),
            (Qt.Key.Key_G, none, self._next_granularity),
            (Qt.Key.Key_Backspace, none, self._undo),
            (Qt.Key.Key_Z, control, self._undo),
            (Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier, self._redo),
            (Qt.Key.Key_Y, control, self._redo),
        )
        held = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        return next((do for key, modifiers, do in bound if event.key() == key and held == modifiers), None)

    def _undo(self) -> None:
        """Take back what was said last; then what was done to the layer last."""
        layer = self._target()
        if not self._session.undo() and layer is not None and layer.isEditable():
            layer.undoStack().undo()
            layer.triggerRepaint()

    def _redo(self) -> None:
        layer = self._target()
        if not self._session.redo() and layer is not None and layer.isEditable():
            layer.undoStack().redo()
            layer.triggerRepaint()

    def _next_granularity(self) -> None:
        self._session.set_granularity(self._session.draft.with_next_granularity().granularity)

    def _include(self, point: QgsPointXY) -> None:
        """What the ghost showed here is there at once, until the full answer comes."""
        foreseen = self._preview.answer
        self._session.add_point(point, self._crs(), 1)
        if foreseen is not None:
            self._session.foresee(foreseen)

    def _say_box(self, corners: list[QgsPointXY]) -> None:
        if self._bands is not None:
            self._bands.show_dragged([])
        self._session.add_box(corners, self._crs())

    def _corners(self, start: QPoint, end: QPoint) -> list[QgsPointXY]:
        """The corners on the map of a box that is upright on the screen; the map may be turned."""
        pixels = [start, QPoint(end.x(), start.y()), end, QPoint(start.x(), end.y())]
        return [self.toMapCoordinates(pixel) for pixel in pixels]

    def _crs(self) -> QgsCoordinateReferenceSystem:
        """Of the canvas; a project without one shows the scene's coordinates as they are."""
        shown = self.canvas().mapSettings().destinationCrs()
        return shown if shown.isValid() else self._preview.crs or shown

    def _look_ahead(self) -> None:
        self._preview.look_ahead(self.canvas().extent(), self._crs())
