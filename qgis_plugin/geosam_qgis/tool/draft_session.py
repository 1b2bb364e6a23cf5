"""One object after the other: clicks become requests, and answers become objects that are shown and accepted.

No widget and no canvas is needed. Every answer belongs to the draft of its request; a late answer changes nothing.
An accepted object makes room for the next one at once, even before its answer is there. Objects are delivered in the
order of their acceptance; one that cannot be delivered comes back as soon as there is no other draft.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Optional

from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from geosam_qgis import protocol
from geosam_qgis.draft import Draft
from geosam_qgis.jobs.projections import ProjectionError, crs_of, transformed_point
from geosam_qgis.jobs.sources import RasterSource, UnusableLayer, crs_text
from geosam_qgis.texts import tr
from geosam_qgis.tool.acceptance import AcceptanceError
from geosam_qgis.tool.answer import WorkerAnswer
from geosam_qgis.tool.drafted_object import AnswerState, DraftedObject, ObjectOptions, segment_parameters
from geosam_qgis.tool.feature_reference import FeatureReference

if TYPE_CHECKING:
    from qgis.core import QgsCoordinateReferenceSystem, QgsPointXY

    from geosam_qgis.engine.client import WorkerClient, WorkerFailure

#: Failures without news for the user: nobody waits for the answer any more.
_OBSOLETE = (protocol.CANCELLED, protocol.SUPERSEDED)
#: Pause before a request is repeated to a busy worker, in milliseconds.
PATIENCE_MS = 200

XY = tuple[float, float]
#: Takes an accepted answer, the feature it changes, if any, and the id of the layer it was accepted for;
#: raises AcceptanceError.
Deliver = Callable[[WorkerAnswer, Optional[FeatureReference], str], None]


class DraftSession(QObject):
    """The object that is being drafted, and the accepted ones that wait for their answers."""

    changed = pyqtSignal()
    """The draft, its answer or its state has changed."""
    restarted = pyqtSignal()
    """Another draft, raster or model: a click would give another answer everywhere."""
    failed = pyqtSignal(str)
    """A sentence for the message bar."""

    def __init__(self, client: WorkerClient, deliver: Deliver, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._deliver = deliver
        self._source: RasterSource | UnusableLayer | None = None
        self._options = ObjectOptions()
        self._granularity = "auto"
        self._count = 0
        self._accepted: list[DraftedObject] = []
        self._returned: list[DraftedObject] = []
        self._item = self._new_item()

    @property
    def draft(self) -> Draft:
        """The draft of the present object."""
        return self._item.draft

    @property
    def answer(self) -> WorkerAnswer | None:
        """The newest answer to the present object, complete or not; None before the first."""
        return self._item.answer

    @property
    def state(self) -> AnswerState:
        """The state of the answer."""
        return self._item.state

    @property
    def revised(self) -> FeatureReference | None:
        """The feature that accepting changes; None if accepting adds one."""
        return self._item.revised

    @property
    def accepted_count(self) -> int:
        """Number of accepted objects that wait for their answers."""
        return len(self._accepted)

    @property
    def source(self) -> RasterSource | UnusableLayer | None:
        """The raster of all requests, or the reason why it cannot be used."""
        return self._source

    @property
    def options(self) -> ObjectOptions:
        """Options that hold for all objects."""
        return self._options

    # The basis of all requests

    def set_source(self, source: RasterSource | UnusableLayer | None) -> None:
        """Use another raster from now on; without one, drop the present draft."""
        if source == self._source:
            return
        self._source = source
        if isinstance(source, RasterSource):
            self._request_object(self._item)
        else:
            self.clear()
        self.restarted.emit()

    def set_options(self, options: ObjectOptions) -> None:
        """Use other options from now on, also for the present draft."""
        if options != self._options:
            self._options = options
            self._request_object(self._item)
            self.restarted.emit()

    def set_granularity(self, granularity: str) -> None:
        """Choose another of the masks of an ambiguous draft, for this object and the next ones."""
        self._granularity = granularity
        if self.draft.steps:
            self._change(replace(self.draft, granularity=granularity))
        elif granularity != self.draft.granularity:
            self._begin(self._new_item(revised=self._item.revised))

    # The user's steps

    def with_point(self, point: QgsPointXY, crs: QgsCoordinateReferenceSystem, label: int) -> Draft:
        """Return the present draft with a point that includes (1) or excludes (0), in the CRS of the draft.

        Raises:
            ProjectionError: that CRS has no such place.
        """
        draft, projected = self._placed([point], crs)
        return draft.with_point(*projected[0], label)

    def add_point(self, point: QgsPointXY, crs: QgsCoordinateReferenceSystem, label: int) -> None:
        """Include (1) or exclude (0) the place of a point."""
        self._add_step(lambda: self.with_point(point, crs, label))

    def add_box(self, corners: list[QgsPointXY], crs: QgsCoordinateReferenceSystem) -> None:
        """Draw a box around the object, from four corners; the box may be rotated."""

        def boxed() -> Draft:
            draft, projected = self._placed(corners, crs)
            return draft.with_box(projected)

        self._add_step(boxed)

    def undo(self) -> bool:
        """Undo the last step; False if there was none."""
        return self._follow(self._item.history.undo())

    def redo(self) -> bool:
        """Redo the last step that was undone; False if there was none."""
        return self._follow(self._item.history.redo())

    def clear(self) -> None:
        """Drop the present object."""
        self._begin(self._new_item())

    def continue_with(self, draft: Draft, revised: FeatureReference | None) -> None:
        """Continue an earlier draft, with all its steps for undo; accepting changes the feature `revised`."""
        item = self._new_item(replace(draft, steps=()), revised)
        for count in range(len(draft.steps)):
            item.history.change(replace(draft, steps=draft.steps[: count + 1]))
        self._begin(item)

    def show_preview(self, answer: WorkerAnswer) -> None:
        """Show the preview of the last click until the complete answer is there."""
        if answer.draft == self.draft and self._item.state is AnswerState.WAITING:
            self._item.answer = answer
            self.changed.emit()

    def accept(self, layer_id: str) -> None:
        """Deliver the present object to a layer, now or as soon as its answer is there, and begin the next one."""
        item = self._item
        if not item.draft.selects or not self._can_request():
            return
        item.layer_id = layer_id
        self._accepted.append(item)
        self._begin(self._returned.pop(0) if self._returned else self._new_item())
        if item.state not in (AnswerState.WAITING, AnswerState.SHOWN):
            self._request_object(item)
        self._deliver_complete()

    def unload(self) -> None:
        """Send no more requests."""
        self._source = None
        for item in (self._item, *self._accepted):
            self._withdraw(item)

    # Objects

    def _new_item(self, draft: Draft | None = None, revised: FeatureReference | None = None) -> DraftedObject:
        self._count += 1
        return DraftedObject(self._count, draft or Draft("", (), self._granularity), revised)

    def _begin(self, item: DraftedObject) -> None:
        """Make another object the present one."""
        if self._item not in self._accepted:
            self._withdraw(self._item)
        self._item = item
        self._request_object(item)
        self.restarted.emit()

    def _deliver_complete(self) -> None:
        """Deliver accepted objects in their order, up to the first one without an answer."""
        while self._accepted and self._accepted[0].state is AnswerState.SHOWN:
            item = self._accepted.pop(0)
            if not self._delivered(item):
                self._return(item)
            self.changed.emit()

    def _return(self, item: DraftedObject) -> None:
        """Make an object that was not delivered the present one again, after the present draft if there is one."""
        if self.draft.steps:
            self._returned.append(item)
        else:
            self._item = item
            self.changed.emit()
            self.restarted.emit()

    def _delivered(self, item: DraftedObject) -> bool:
        if item.answer is None or item.answer.geometry is None:
            self.failed.emit(tr("No object was found here. Click elsewhere, or draw a box."))
            return False
        try:
            self._deliver(item.answer, item.revised, item.layer_id)
        except AcceptanceError as error:
            self.failed.emit(str(error))
            return False
        return True

    # Drafts

    def _placed(self, points: list[QgsPointXY], crs: QgsCoordinateReferenceSystem) -> tuple[Draft, list[XY]]:
        """Return the present draft, in this CRS if it is empty, and the points in its CRS."""
        if not crs.isValid():
            raise ProjectionError(tr("Neither the project nor the raster has a CRS. Set the project's CRS."))
        draft = self.draft if self.draft.steps else replace(self.draft, crs=crs_text(crs))
        projected = [transformed_point(point, crs, crs_of(draft.crs)) for point in points]
        return draft, [(point.x(), point.y()) for point in projected]

    def _add_step(self, changed_draft: Callable[[], Draft]) -> None:
        if not self._can_request():
            return
        try:
            self._change(changed_draft())
        except ProjectionError as error:
            self.failed.emit(str(error))

    def _change(self, draft: Draft) -> None:
        self._item.history.change(draft)
        self._follow(moved=True)

    def _follow(self, moved: bool) -> bool:  # noqa: FBT001 - the result of a step in History
        if moved:
            self._request_object(self._item)
            self.restarted.emit()
        return moved

    # Requests and answers

    def _can_request(self) -> bool:
        """Return True if there is a raster and a model; else tell the user what is missing."""
        if isinstance(self._source, RasterSource) and self._options.model:
            return True
        unusable = self._source.text if isinstance(self._source, UnusableLayer) else ""
        self.failed.emit(unusable or tr("Choose a raster layer and a model."))
        return False

    def _request_object(self, item: DraftedObject, look: str = "window") -> None:
        """Request the object of a draft: its first window, and then all windows it needs."""
        self._withdraw(item)
        if item not in self._accepted or item.basis is None:  # an accepted object keeps its raster and its options
            item.basis = self._source, self._options
        (source, options), draft, serial = item.basis, item.draft, item.serial
        if not (draft.selects and isinstance(source, RasterSource) and options.model):
            item.state, item.answer = AnswerState.IDLE, None
            self.changed.emit()
            return
        item.state = AnswerState.WAITING

        def failed(failure: WorkerFailure) -> None:
            self._failed(item, serial, look, failure)

        def ready(info: dict[str, Any]) -> None:
            if serial == item.serial:
                item.request = self._client.request(
                    "segment",
                    segment_parameters(info, options, draft, look),
                    lambda result: self._arrived(item, serial, look, WorkerAnswer.read(draft, info, result)),
                    failed,
                    item.stream,
                )

        self._client.scene(source.path, source.options, ready, failed)
        self.changed.emit()

    def _withdraw(self, item: DraftedObject) -> None:
        """Ignore the answers that are still on their way."""
        item.serial += 1
        if item.request is not None:
            self._client.cancel(item.request)
            item.request = None

    def _arrived(self, item: DraftedObject, serial: int, look: str, answer: WorkerAnswer) -> None:
        if serial != item.serial:
            return
        item.request, item.answer, item.reopened = None, answer, False
        if look == "window" and not answer.complete:
            self._request_object(item, "whole")
            return
        item.state = AnswerState.SHOWN
        if item in self._accepted:
            self._deliver_complete()
        else:
            self.changed.emit()

    def _failed(self, item: DraftedObject, serial: int, look: str, failure: WorkerFailure) -> None:
        if serial != item.serial or failure.code in _OBSOLETE:
            return
        item.request = None
        if failure.code == protocol.BUSY:
            QTimer.singleShot(PATIENCE_MS, lambda: self._request_object(item, look) if serial == item.serial else None)
            return
        if isinstance(self._source, RasterSource):
            self._client.forget_scene(self._source.path)  # the next request opens the file again
        if (failure.data or {}).get("type") == "UnreadableScene" and not item.reopened:
            item.reopened = True  # QGIS writes statistics beside the file, which changes the scene
            self._request_object(item, look)
            return
        item.state = AnswerState.FAILED
        self.failed.emit(failure.message)
        if item in self._accepted:
            self._accepted.remove(item)
            self._return(item)
            self._deliver_complete()
        else:
            self.changed.emit()
