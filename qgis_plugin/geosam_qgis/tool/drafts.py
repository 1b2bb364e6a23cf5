"""One object after the other: what the user says becomes requests, and answers become what is shown and accepted.

No widget and no canvas is needed. Every answer belongs to the draft it was asked for: one that comes too late changes
nothing. An object that is accepted leaves the table, before its answer is there if need be. Objects are delivered in
the order in which they left; one that cannot be comes back as soon as the table is free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, Optional

from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from geosam_qgis import protocol
from geosam_qgis.draft import Draft, History
from geosam_qgis.jobs.projections import ProjectionError, crs_of, moved_point
from geosam_qgis.jobs.sources import Reason, Source, crs_text
from geosam_qgis.texts import tr
from geosam_qgis.tool.acceptance import AcceptError
from geosam_qgis.tool.answer import Answer
from geosam_qgis.tool.place import Place

if TYPE_CHECKING:
    from qgis.core import QgsCoordinateReferenceSystem, QgsPointXY

    from geosam_qgis.engine.client import WorkerClient, WorkerFailure

#: Failures that say nothing new: the request was not wanted any more.
_UNWANTED = (protocol.CANCELLED, protocol.SUPERSEDED)
#: When the worker has too much to do, it is asked again after so many milliseconds.
PATIENCE_MS = 200

XY = tuple[float, float]
#: Takes an accepted answer, the place of the object it changes, if any, and the id of the layer it was accepted for;
#: raises AcceptError.
Deliver = Callable[[Answer, Optional[Place], str], None]


class State(Enum):
    """How far the answer to the draft is."""

    IDLE = "idle"
    """Nothing is asked for."""
    ASKING = "asking"
    """The answer, or the rest of it, is on its way."""
    SHOWN = "shown"
    """The answer is there."""
    FAILED = "failed"
    """There is none, and a message said why."""


@dataclass(frozen=True)
class Wishes:
    """What holds for all objects."""

    model: str = ""
    """Name of the model; nothing is asked without one."""
    simplify_m: float = 0.0
    """Tolerance of outlines, ground metres."""
    fill_holes_m2: float = 0.0
    """Holes up to this are filled."""


class Item:
    """An object on its way from the first click to the layer."""

    def __init__(self, number: int, draft: Draft, revised: Place | None) -> None:
        self.stream = f"object {number}"
        self.history = History(draft)
        self.revised = revised
        self.state = State.IDLE
        self.answer: Answer | None = None
        self.serial = 0
        """Counts what was asked; only the answer to the last counts."""
        self.request: int | None = None
        self.reopened = False  # since its last answer
        self.layer_id = ""
        self.asked: tuple[Source | Reason | None, Wishes] | None = None

    @property
    def draft(self) -> Draft:
        """What was said about it."""
        return self.history.draft


class Drafting(QObject):
    """The object that is being drafted, and those that are leaving."""

    changed = pyqtSignal()
    """The draft, its answer or its state."""
    restarted = pyqtSignal()
    """What a click would give has changed, wherever it is: another draft, raster or model."""
    failed = pyqtSignal(str)
    """A sentence for the message bar."""

    def __init__(self, client: WorkerClient, deliver: Deliver, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._deliver = deliver
        self._source: Source | Reason | None = None
        self._wishes = Wishes()
        self._granularity = "auto"
        self._count = 0
        self._leaving: list[Item] = []
        self._returned: list[Item] = []
        self._item = self._new_item()

    @property
    def draft(self) -> Draft:
        """What the user has said about the present object."""
        return self._item.draft

    @property
    def answer(self) -> Answer | None:
        """The newest answer to it, perhaps not the last; None as long as there is none."""
        return self._item.answer

    @property
    def state(self) -> State:
        """How far the answer is."""
        return self._item.state

    @property
    def revised(self) -> Place | None:
        """The object that accepting changes; None if it adds one."""
        return self._item.revised

    @property
    def leaving(self) -> int:
        """How many objects were accepted and wait for their answers."""
        return len(self._leaving)

    @property
    def source(self) -> Source | Reason | None:
        """The raster that is asked about, or why it cannot be."""
        return self._source

    @property
    def wishes(self) -> Wishes:
        """What holds for all objects."""
        return self._wishes

    # What is asked about

    def set_source(self, source: Source | Reason | None) -> None:
        """Ask about another raster from now on; without one, what was drafted is given up."""
        if source == self._source:
            return
        self._source = source
        if isinstance(source, Source):
            self._ask(self._item)
        else:
            self.clear()
        self.restarted.emit()

    def set_wishes(self, wishes: Wishes) -> None:
        """Ask with other wishes from now on, also about the present draft."""
        if wishes != self._wishes:
            self._wishes = wishes
            self._ask(self._item)
            self.restarted.emit()

    def set_granularity(self, granularity: str) -> None:
        """Take another of the masks of an ambiguous draft, here and in the objects to come."""
        self._granularity = granularity
        if self.draft.steps:
            self._change(replace(self.draft, granularity=granularity))
        elif granularity != self.draft.granularity:
            self._begin(self._new_item(revised=self._item.revised))

    # What the user says

    def with_point(self, point: QgsPointXY, crs: QgsCoordinateReferenceSystem, label: int) -> Draft:
        """The present draft with a point that includes (1) or excludes (0), in the draft's own CRS.

        Raises:
            ProjectionError: that CRS has no such place.
        """
        draft, moved = self._placed([point], crs)
        return draft.with_point(*moved[0], label)

    def add_point(self, point: QgsPointXY, crs: QgsCoordinateReferenceSystem, label: int) -> None:
        """Include (1) or exclude (0) the place of a point."""
        self._say(lambda: self.with_point(point, crs, label))

    def add_box(self, corners: list[QgsPointXY], crs: QgsCoordinateReferenceSystem) -> None:
        """Say that the object is in a box, which may be turned."""

        def boxed() -> Draft:
            draft, moved = self._placed(corners, crs)
            return draft.with_box(moved)

        self._say(boxed)

    def undo(self) -> bool:
        """Take the last thing back that was said; False if there was none."""
        return self._walk(self._item.history.undo())

    def redo(self) -> bool:
        """Say again what was taken back; False if there was none."""
        return self._walk(self._item.history.redo())

    def clear(self) -> None:
        """Give the present object up."""
        self._begin(self._new_item())

    def continue_with(self, draft: Draft, revised: Place | None) -> None:
        """Go on with a draft of before, step by step as it was said; accepting changes the object at `revised`."""
        item = self._new_item(replace(draft, steps=()), revised)
        for count in range(len(draft.steps)):
            item.history.change(replace(draft, steps=draft.steps[: count + 1]))
        self._begin(item)

    def foresee(self, answer: Answer) -> None:
        """Show an answer that was there already, if it is to the present draft, until the full one comes."""
        if answer.draft == self.draft and self._item.state is State.ASKING:
            self._item.answer = answer
            self.changed.emit()

    def accept(self, layer_id: str) -> None:
        """Deliver the present object to a layer, now or as soon as its answer is there, and begin with the next."""
        item = self._item
        if not item.draft.selects or not self._can_ask():
            return
        item.layer_id = layer_id
        self._leaving.append(item)
        self._begin(self._returned.pop(0) if self._returned else self._new_item())
        if item.state not in (State.ASKING, State.SHOWN):
            self._ask(item)
        self._deliver_those_ready()

    def unload(self) -> None:
        """Ask nothing more."""
        self._source = None
        for item in (self._item, *self._leaving):
            self._withdraw(item)

    # Items

    def _new_item(self, draft: Draft | None = None, revised: Place | None = None) -> Item:
        self._count += 1
        return Item(self._count, draft or Draft("", (), self._granularity), revised)

    def _begin(self, item: Item) -> None:
        """Make another item the present one."""
        if self._item not in self._leaving:
            self._withdraw(self._item)
        self._item = item
        self._ask(item)
        self.restarted.emit()

    def _deliver_those_ready(self) -> None:
        """Objects that have waited for the answers of those before them are delivered, too."""
        while self._leaving and self._leaving[0].state is State.SHOWN:
            item = self._leaving.pop(0)
            if not self._delivered(item):
                self._return(item)
            self.changed.emit()

    def _return(self, item: Item) -> None:
        """An item could not leave: it is the present one again, or will be."""
        if self.draft.steps:
            self._returned.append(item)
        else:
            self._item = item
            self.changed.emit()
            self.restarted.emit()

    def _delivered(self, item: Item) -> bool:
        if item.answer is None or item.answer.geometry is None:
            self.failed.emit(tr("Nothing was found here. Click elsewhere, or draw a box."))
            return False
        try:
            self._deliver(item.answer, item.revised, item.layer_id)
        except AcceptError as error:
            self.failed.emit(str(error))
            return False
        return True

    # Drafts

    def _placed(self, points: list[QgsPointXY], crs: QgsCoordinateReferenceSystem) -> tuple[Draft, list[XY]]:
        """The present draft, which gets this CRS if it has none, and points in its CRS."""
        if not crs.isValid():
            raise ProjectionError(tr("Neither the project nor the raster has a CRS. Set the project's CRS."))
        draft = self.draft if self.draft.steps else replace(self.draft, crs=crs_text(crs))
        moved = [moved_point(point, crs, crs_of(draft.crs)) for point in points]
        return draft, [(point.x(), point.y()) for point in moved]

    def _say(self, said: Callable[[], Draft]) -> None:
        if not self._can_ask():
            return
        try:
            self._change(said())
        except ProjectionError as error:
            self.failed.emit(str(error))

    def _change(self, draft: Draft) -> None:
        self._item.history.change(draft)
        self._walk(moved=True)

    def _walk(self, moved: bool) -> bool:  # noqa: FBT001 - what History answered
        if moved:
            self._ask(self._item)
            self.restarted.emit()
        return moved

    # Requests and answers

    def _can_ask(self) -> bool:
        """Whether there is a raster and a model; says what is missing."""
        if isinstance(self._source, Source) and self._wishes.model:
            return True
        missing = self._source.text if isinstance(self._source, Reason) else tr("Choose a raster layer and a model.")
        self.failed.emit(missing)
        return False

    def _ask(self, item: Item, look: str = "window") -> None:
        """Ask about an item's draft: its first window, and then wherever the object goes on."""
        self._withdraw(item)
        if item not in self._leaving or item.asked is None:  # what is leaving was accepted as it was asked about
            item.asked = self._source, self._wishes
        (source, wishes), draft, serial = item.asked, item.draft, item.serial
        if not (draft.selects and isinstance(source, Source) and wishes.model):
            item.state, item.answer = State.IDLE, None
            self.changed.emit()
            return
        item.state = State.ASKING

        def missed(failure: WorkerFailure) -> None:
            self._missed(item, serial, look, failure)

        def ready(info: dict[str, Any]) -> None:
            if serial == item.serial:
                item.request = self._client.request(
                    "segment",
                    parameters(info, wishes, draft, look),
                    lambda result: self._arrived(item, serial, look, Answer.read(draft, info, result)),
                    missed,
                    item.stream,
                )

        self._client.scene(source.path, source.options, ready, missed)
        self.changed.emit()

    def _withdraw(self, item: Item) -> None:
        """Answers that are on their way come too late."""
        item.serial += 1
        if item.request is not None:
            self._client.cancel(item.request)
            item.request = None

    def _arrived(self, item: Item, serial: int, look: str, answer: Answer) -> None:
        if serial != item.serial:
            return
        item.request, item.answer, item.reopened = None, answer, False
        if look == "window" and not answer.complete:
            self._ask(item, "whole")
            return
        item.state = State.SHOWN
        if item in self._leaving:
            self._deliver_those_ready()
        else:
            self.changed.emit()

    def _missed(self, item: Item, serial: int, look: str, failure: WorkerFailure) -> None:
        if serial != item.serial or failure.code in _UNWANTED:
            return
        item.request = None
        if failure.code == protocol.BUSY:
            QTimer.singleShot(PATIENCE_MS, lambda: self._ask(item, look) if serial == item.serial else None)
            return
        if isinstance(self._source, Source):
            self._client.forget_scene(self._source.path)  # the next question opens it anew
        if (failure.data or {}).get("type") == "UnreadableScene" and not item.reopened:
            item.reopened = True  # QGIS writes statistics beside the file, which so is another one
            self._ask(item, look)
            return
        item.state = State.FAILED
        self.failed.emit(failure.message)
        if item in self._leaving:
            self._leaving.remove(item)
            self._return(item)
            self._deliver_those_ready()
        else:
            self.changed.emit()


def parameters(info: dict[str, Any], wishes: Wishes, draft: Draft, look: str) -> dict[str, Any]:
    """The parameters of the worker's method *segment*."""
    return {
        "scene": info["scene"],
        "model": {"name": wishes.model},
        "draft": draft.to_json(),
        "look": look,
        "simplify_m": wishes.simplify_m,
        "fill_holes_m2": wishes.fill_holes_m2,
    }
