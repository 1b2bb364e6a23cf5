"""The ghost: what a click under the cursor would give, as far as it is known without looking at the raster again.

One request is on its way at a time; the newest position is next. Failures are silent.
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
    """Follows the cursor and the view, and knows which windows are being looked at."""

    changed = pyqtSignal()
    """The ghost."""
    looking_changed = pyqtSignal()
    """The windows that are being looked at, or the models that are being loaded."""

    def __init__(self, client: WorkerClient, session: DraftSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._session = session
        self._wanted: Draft | None = None
        self._asked: Draft | None = None
        self._is_asking = False
        self._serial = 0
        self._answer: WorkerAnswer | None = None
        self._info: dict[str, Any] = {}
        self._looking: dict[str, QgsGeometry] = {}
        self._loading: set[str] = set()
        session.restarted.connect(self.leave)
        client.notified.connect(self._notified)
        client.stopped.connect(self._forget)

    @property
    def answer(self) -> WorkerAnswer | None:
        """What a click under the cursor would give; None as long as that is not known."""
        return self._answer

    @property
    def looking(self) -> list[QgsGeometry]:
        """The windows that are being looked at, in `crs`."""
        return list(self._looking.values())

    @property
    def is_loading(self) -> bool:
        """Whether the worker loads a model."""
        return bool(self._loading)

    @property
    def crs(self) -> QgsCoordinateReferenceSystem | None:
        """The CRS of the scene; None before it was opened."""
        return scene_crs(self._info) if self._info else None

    def hover(self, point: QgsPointXY, crs: QgsCoordinateReferenceSystem) -> None:
        """The cursor is at a point."""
        try:
            self._wanted = self._session.with_point(point, crs, 1)
        except ProjectionError:
            self.leave()
        else:
            self._ask()

    def leave(self) -> None:
        """The cursor is elsewhere, or what a click would give has changed."""
        self._serial += 1
        self._wanted = self._asked = None
        if self._answer is not None:
            self._answer = None
            self.changed.emit()

    def look_ahead(self, view: QgsRectangle, crs: QgsCoordinateReferenceSystem) -> None:
        """Open the raster, and have the windows of a view looked at when there is nothing else to do."""
        source, model = self._session.source, self._session.options.model
        if not isinstance(source, RasterSource) or not model:
            return
        bounds = [view.xMinimum(), view.yMinimum(), view.xMaximum(), view.yMaximum()]

        def ready(info: dict[str, Any]) -> None:
            if source != self._session.source:
                return
            self._info = info
            params = {"scene": info["scene"], "model": {"name": model}, "bounds": bounds, "crs": crs_text(crs)}
            self._client.request("prefetch", params, _done, _done, "prefetch")

        self._client.scene(
            source.path, source.options, ready, lambda failure: self._session.failed.emit(failure.message)
        )

    def unload(self) -> None:
        """Hear no more of the worker."""
        self._client.notified.disconnect(self._notified)
        self._client.stopped.disconnect(self._forget)

    def _ask(self) -> None:
        draft, source, options = self._wanted, self._session.source, self._session.options
        if not isinstance(source, RasterSource) or not options.model or not self._client.is_running:
            return
        if draft is None or draft == self._asked or self._is_asking:
            return
        self._asked, self._is_asking, serial = draft, True, self._serial

        def missed(_failure: WorkerFailure | None = None) -> None:
            self._is_asking = False
            self._ask()

        def ready(info: dict[str, Any]) -> None:
            if serial != self._serial:
                missed()
                return
            self._info = info
            self._client.request(
                "segment",
                segment_parameters(info, options, draft, "known"),
                lambda result: self._arrived(serial, WorkerAnswer.read(draft, info, result)),
                missed,
                "hover",
            )

        self._client.scene(source.path, source.options, ready, missed)

    def _arrived(self, serial: int, answer: WorkerAnswer) -> None:
        self._is_asking = False
        if serial == self._serial:
            self._answer = answer if answer.geometry is not None else None
            self.changed.emit()
        self._ask()

    def _notified(self, method: str, params: dict[str, Any]) -> None:
        if method == "loading":
            change = self._loading.add if params["state"] == "begun" else self._loading.discard
            change(params["model"])
        elif method == "looking" and params["scene"] == self._info.get("scene"):
            self._look(params["window"], has_begun=params["state"] == "begun")
        else:
            return
        self.looking_changed.emit()

    def _look(self, window: list[list[float]], *, has_begun: bool) -> None:
        if has_begun:
            self._looking[str(window)] = window_polygon(window)
        else:
            self._looking.pop(str(window), None)
            self._asked = None  # what was not known may be now
            self._ask()

    def _forget(self) -> None:
        """The worker is gone."""
        self._info = {}
        self._looking.clear()
        self._loading.clear()
        self.leave()
        self.looking_changed.emit()


def _done(_answer: Any) -> None:
    """Looking ahead is a favour: a click says what is wrong."""
