"""One object from the first click to its layer: its draft, its answer, and the options of its requests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from geosam_qgis.draft import Draft, History

if TYPE_CHECKING:
    from geosam_qgis.jobs.sources import RasterSource, UnusableLayer
    from geosam_qgis.tool.answer import WorkerAnswer
    from geosam_qgis.tool.feature_reference import FeatureReference


class AnswerState(Enum):
    """State of the answer to a draft."""

    IDLE = "idle"
    """No request is needed."""
    WAITING = "waiting"
    """The answer, or the rest of it, is on its way."""
    SHOWN = "shown"
    """The complete answer is there."""
    FAILED = "failed"
    """There is no answer; a message has shown the reason."""


@dataclass(frozen=True)
class ObjectOptions:
    """Options that hold for all objects."""

    model: str = ""
    """Name of the model; without one there are no requests."""
    simplify_m: float = 0.0
    """Tolerance of outlines in ground metres."""
    fill_holes_m2: float = 0.0
    """Largest hole that is filled, in ground square metres."""


class DraftedObject:
    """An object on its way from the first click to the layer."""

    def __init__(self, number: int, draft: Draft, revised: FeatureReference | None) -> None:
        self.stream = f"object {number}"
        """Stream of the requests: a newer request of the object ends the older one."""
        self.history = History(draft)
        """The drafts, for undo and redo."""
        self.revised = revised
        """Feature that the object changes; None for a new feature."""
        self.state = AnswerState.IDLE
        self.answer: WorkerAnswer | None = None
        """Newest answer, complete or not."""
        self.serial = 0
        """Number of the newest request; answers to older ones are ignored."""
        self.request: int | None = None
        """Id of the request that waits for its answer."""
        self.reopened = False
        """True if the scene was opened again since the last answer."""
        self.layer_id = ""
        """Id of the layer the object was accepted for."""
        self.basis: tuple[RasterSource | UnusableLayer | None, ObjectOptions] | None = None
        """Raster and options of the newest request."""

    @property
    def draft(self) -> Draft:
        """The present draft of the object."""
        return self.history.draft


def segment_parameters(info: dict[str, Any], options: ObjectOptions, draft: Draft, look: str) -> dict[str, Any]:
    """Return the parameters of the worker's method *segment*.

    Args:
        info: The worker's answer to *open*.
        options: Model and shape of the outline.
        draft: The object's draft.
        look: `known`, `window` or `whole`: the part of the raster that the model may see.
    """
    return {
        "scene": info["scene"],
        "model": {"name": options.model},
        "draft": draft.to_json(),
        "look": look,
        "simplify_m": options.simplify_m,
        "fill_holes_m2": options.fill_holes_m2,
    }
