"""The map tool: clicks, drags, cursor and keys become steps of a draft."""

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

#: Time without a change of the view, in milliseconds, after which its windows are embedded.
STILL_MS = 300


class SegmentTool(QgsMapTool):
    """The map tool: left click includes, right click excludes, a drag draws a box; keys work while it is active."""

    accept_requested = pyqtSignal()
    """Accept the present object."""
    continue_requested = pyqtSignal(object)
    """Continue the accepted polygon under this canvas point."""
    hint_changed = pyqtSignal(str)
    """A hint for the status bar: the possible gestures."""

    def __init__(
        self,
        canvas: QgsMapCanvas,
        session: DraftSession,
        preview: HoverPreview,
        target: Callable[[], QgsVectorLayer | None],
    ) -> None:
        """Make a tool.

        Args:
            canvas: The map canvas.
            session: Gets the steps.
            preview: Gets the positions of the cursor.
            target: Returns the output layer, for undo and redo of its edits.
        """
        super().__init__(canvas)
        self._session = session
        self._preview = preview
        self._target = target
        self._bands: CanvasBands | None = None
        self._pressed: QPoint | None = None
        self._button = Qt.MouseButton.NoButton
        self._is_drag = False
        self._timer = QTimer(self)  # a pan or a zoom changes the extent many times
        self._timer.setSingleShot(True)
        self._timer.setInterval(STILL_MS)
        self._timer.timeout.connect(self._look_ahead)
        session.changed.connect(self.redraw)
        preview.changed.connect(self._redraw_hover)
        preview.activity_changed.connect(self._redraw_window)
        canvas.extentsChanged.connect(self.follow_view)
        canvas.destinationCrsChanged.connect(self.redraw)

    @property
    def bands(self) -> CanvasBands | None:
        """The drawings on the canvas; None while the tool is not active."""
        return self._bands

    # Calls of QGIS

    def activate(self) -> None:
        """Start the tool: bind the keys, draw the draft, and embed the windows of the view."""
        self._bands = CanvasBands(self.canvas())
        self.canvas().installEventFilter(self)
        self.canvas().viewport().installEventFilter(self)
        self.canvas().setFocus()
        self.redraw()
        super().activate()  # emits `activated`, whose slots need the drawings

    def deactivate(self) -> None:
        """Put the tool away, with its drawings; the draft stays."""
        self.canvas().removeEventFilter(self)
        self.canvas().viewport().removeEventFilter(self)
        self._timer.stop()
        self._pressed, self._is_drag = None, False
        self._preview.leave()
        if self._bands is not None:
            self._bands.remove()
            self._bands = None
        self.hint_changed.emit("")
        super().deactivate()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the keys of the tool before they become shortcuts of QGIS, and notice when the cursor leaves."""
        if event.type() == QEvent.Type.ShortcutOverride and self._command_of(event) is not None:
            event.accept()
        elif event.type() == QEvent.Type.Leave:
            self._preview.leave()
        return bool(super().eventFilter(watched, event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Run the command of a key; other keys keep their meaning in QGIS."""
        command = self._command_of(event)
        if command is None:
            event.ignore()
        else:
            command()
            event.accept()

    def canvasPressEvent(self, event: QgsMapMouseEvent) -> None:
        """Begin a click or a drag."""
        self._pressed, self._button, self._is_drag = event.pos(), event.button(), False

    def canvasMoveEvent(self, event: QgsMapMouseEvent) -> None:
        """Continue a drag, or preview the object under the cursor."""
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
        """End a click or a drag, which becomes a step of the draft."""
        start, was_drag = self._pressed, self._is_drag
        # another button than the pressed one ends nothing
        if start is None or event.button() != self._button:
            return
        self._pressed, self._is_drag = None, False
        point = self.toMapCoordinates(start)  # where the button went down: the hand moves a little
        if was_drag:
            self._add_box(self._corners(start, event.pos()))
        elif event.button() == Qt.MouseButton.RightButton:
            self._session.add_point(point, self._crs(), 0)
        elif event.button() != Qt.MouseButton.LeftButton:
            return
        elif event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.continue_requested.emit(point)
        else:
            self._include(point)

    def unload(self) -> None:
        """Remove the tool from the canvas."""
        self.canvas().unsetMapTool(self)
        self.canvas().extentsChanged.disconnect(self.follow_view)
        self.canvas().destinationCrsChanged.disconnect(self.redraw)
        self.deleteLater()

    # Drawing

    def redraw(self) -> None:
        """Draw the draft and its answer, and update the hint."""
        if self._bands is None:
            return
        session = self._session
        self._bands.show_draft(session.draft)
        self._bands.show_answer(session.answer)
        self._redraw_hover()
        self._redraw_window()
        is_busy = session.state is AnswerState.WAITING
        self.setCursor(QCursor(Qt.CursorShape.BusyCursor if is_busy else Qt.CursorShape.CrossCursor))
        self.hint_changed.emit(self.hint())

    def follow_view(self) -> None:
        """Embed the windows of the view as soon as it does not change any more."""
        if self._bands is not None:
            self._timer.start()

    def hint(self) -> str:
        """Return the hint for the status bar: the possible gestures."""
        if not self._session.draft.steps:
            return tr("Click an object, or drag a box around it. Alt+click: continue a polygon. Ctrl+Z: undo.")
        text = tr("Click: include. Right click: exclude. Enter: accept. Backspace: undo. Esc: clear. G: {granularity}.")
        return text.format(granularity=granularity_text(self._session.draft.granularity))

    def _redraw_hover(self) -> None:
        if self._bands is not None:
            self._bands.show_hover(self._preview.answer)

    def _redraw_window(self) -> None:
        """Draw the window that is being embedded, else the window of the answer."""
        if self._bands is None:
            return
        windows, answer = self._preview.windows, self._session.answer
        if windows:
            self._bands.show_window(windows[-1], self._preview.crs)
        else:
            self._bands.show_window(answer and answer.window, answer and answer.crs)

    # Commands

    def _command_of(self, event: QKeyEvent) -> Callable[[], object] | None:
        plain, control = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
        bound: tuple[tuple[int, Any, Callable[[], object]], ...] = (
            (Qt.Key.Key_Return, plain, self.accept_requested.emit),
            (Qt.Key.Key_Enter, plain, self.accept_requested.emit),
            (Qt.Key.Key_Escape, plain, self._session.clear),
            (Qt.Key.Key_G, plain, self._next_granularity),
            (Qt.Key.Key_Backspace, plain, self._undo),
            (Qt.Key.Key_Z, control, self._undo),
            (Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier, self._redo),
            (Qt.Key.Key_Y, control, self._redo),
        )
        pressed = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier  # Enter of the number pad counts, too
        return next((run for key, modifiers, run in bound if event.key() == key and pressed == modifiers), None)

    def _undo(self) -> None:
        """Undo the last step of the draft; without steps, the last edit of the output layer."""
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
        """Add an including point, and show the preview at once until the complete answer is there."""
        previewed = self._preview.answer
        self._session.add_point(point, self._crs(), 1)
        if previewed is not None:
            self._session.show_preview(previewed)

    def _add_box(self, corners: list[QgsPointXY]) -> None:
        if self._bands is not None:
            self._bands.show_dragged([])
        self._session.add_box(corners, self._crs())

    def _corners(self, start: QPoint, end: QPoint) -> list[QgsPointXY]:
        """Return the map coordinates of the corners of a box on the screen; the map may be rotated."""
        pixels = [start, QPoint(end.x(), start.y()), end, QPoint(start.x(), end.y())]
        return [self.toMapCoordinates(pixel) for pixel in pixels]

    def _crs(self) -> QgsCoordinateReferenceSystem:
        """Return the CRS of the canvas; a project without one shows the coordinates of the scene."""
        crs = self.canvas().mapSettings().destinationCrs()
        return crs if crs.isValid() else self._preview.crs or crs

    def _look_ahead(self) -> None:
        self._preview.look_ahead(self.canvas().extent(), self._crs())
