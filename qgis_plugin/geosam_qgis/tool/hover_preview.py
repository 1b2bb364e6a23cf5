"""The preview under the cursor: the object of a click there, from windows that the model has seen already.

Only one request is on its way at a time; the newest position is next. Failures are silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qgis.PyQt.QtCore import QObject, pyqtSignal

from geosam_qgis.jobs.projections import ProjectionError, scene_crs
from geosam_qgis.jobs.sources import RasterSource, crs_text
from geosam_qgis.tool.answer import WorkerAnswer, window_polygon
from geosam_qgis.tool.drafted_object import segment_parameters

if TYPE_CHECKING:
    from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY, QgsRectangle

    from geosam_qgis.draft import Draft
    from geosam_qgis.engine.client import WorkerClient, WorkerFailure
    from geosam_qgis.tool.draft_session import DraftSession


class HoverPreview(QObject):
    """The preview of the next click, and the windows that the model sees at the moment."""

    changed = pyqtSignal()
    """The preview has changed."""
    activity_changed = pyqtSignal()
    """The windows that are being embedded, or the models that are being loaded, have changed."""

    def __init__(self, client: WorkerClient, session: DraftSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._session = session
        self._draft: Draft | None = None
        self._requested: Draft | None = None
        self._is_waiting = False
        self._serial = 0
        self._answer: WorkerAnswer | None = None
        self._info: dict[str, Any] = {}
        self._windows: dict[str, QgsGeometry] = {}
        self._loading: set[str] = set()
        session.restarted.connect(self.leave)
        client.notified.connect(self._notified)
        client.stopped.connect(self._forget)

    @property
    def answer(self) -> WorkerAnswer | None:
        """The answer to a click under the cursor; None while it is unknown."""
        return self._answer

    @property
    def windows(self) -> list[QgsGeometry]:
        """Outlines of the windows that are being embedded, in `crs`."""
        return list(self._windows.values())

    @property
    def is_loading(self) -> bool:
        """True while the worker loads a model."""
        return bool(self._loading)

    @property
    def crs(self) -> QgsCoordinateReferenceSystem | None:
        """The CRS of the scene; None before the scene is open."""
        return scene_crs(self._info) if self._info else None

    def hover(self, point: QgsPointXY, crs: QgsCoordinateReferenceSystem) -> None:
        """Preview a click at the point under the cursor."""
        try:
            self._draft = self._session.with_point(point, crs, 1)
        except ProjectionError:
            self.leave()
        else:
            self._request_preview()

    def leave(self) -> None:
        """Drop the preview: the cursor is elsewhere, or a click would give another answer."""
        self._serial += 1
        self._draft = self._requested = None
        if self._answer is not None:
            self._answer = None
            self.changed.emit()

    def look_ahead(self, view: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> None:
        """Open the raster, and let the worker embed the windows of a view while it is idle."""
        source, model = self._session.source, self._session.options.model
        if not isinstance(source, RasterSource) or not model:
            return
        bounds = [view.xMinimum(), view.yMinimum(), view.xMaximum(), view.yMaximum()]

        def ready(info: dict[str, Any]) -> None:
            if source != self._session.source:
                return
            self._info = info
            params = {"scene": info["scene"], "model": {"name": model}, "bounds": bounds, "crs": crs_text(crs)}
            self._client.request("prefetch", params, _ignore, _ignore, "prefetch")

        self._client.scene(
            source.path, source.options, ready, lambda failure: self._session.failed.emit(failure.message)
        )

    def unload(self) -> None:
        """Ignore all further notifications of the worker."""
        self._client.notified.disconnect(self._notified)
        self._client.stopped.disconnect(self._forget)

    def _request_preview(self) -> None:
        draft, source, options = self._draft, self._session.source, self._session.options
        if not isinstance(source, RasterSource) or not options.model or not self._client.is_running:
            return
        if draft is None or draft == self._requested or self._is_waiting:
            return  # one at a time: the cursor is faster than the worker
        self._requested, self._is_waiting, serial = draft, True, self._serial

        def failed(_failure: WorkerFailure | None = None) -> None:
            self._is_waiting = False
            self._request_preview()

        def ready(info: dict[str, Any]) -> None:
            if serial != self._serial:
                failed()
                return
            self._info = info
            self._client.request(
                "segment",
                segment_parameters(info, options, draft, "known"),
                lambda result: self._arrived(serial, WorkerAnswer.read(draft, info, result)),
                failed,
                "hover",
            )

        self._client.scene(source.path, source.options, ready, failed)

    def _arrived(self, serial: int, answer: WorkerAnswer) -> None:
        self._is_waiting = False
        if serial == self._serial:
            self._answer = answer if answer.geometry is not None else None
            self.changed.emit()
        self._request_preview()

    def _notified(self, method: str, params: dict[str, Any]) -> None:
        if method == "loading":
            change = self._loading.add if params["state"] == "begun" else self._loading.discard
            change(params["model"])
        elif method == "looking" and params["scene"] == self._info.get("scene"):
            self._window_changed(params["window"], has_begun=params["state"] == "begun")
        else:
            return
        self.activity_changed.emit()

    def _window_changed(self, window: list[list[float]], *, has_begun: bool) -> None:
        if has_begun:
            self._windows[str(window)] = window_polygon(window)
        else:
            self._windows.pop(str(window), None)
            self._requested = None  # the model has seen one more window, so the same place may have an answer now
            self._request_preview()

    def _forget(self) -> None:
        """Forget everything about a worker that has ended."""
        self._info = {}
        self._windows.clear()
        self._loading.clear()
        self.leave()
        self.activity_changed.emit()


def _ignore(_answer: Any) -> None:
    """Ignore the answer: a click shows the message, if something is wrong."""
