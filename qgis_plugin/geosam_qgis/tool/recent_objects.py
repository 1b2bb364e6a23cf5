"""The objects that were accepted last, and the draft behind any polygon that is to be continued."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsPointXY,
    QgsRectangle,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QObject, pyqtSignal

from geosam_qgis.draft import Draft, DraftError
from geosam_qgis.jobs.projections import transformed_draft, transformed_point
from geosam_qgis.jobs.sources import crs_text
from geosam_qgis.tool.acceptance import FACT_FIELDS, PROMPTS_FIELD

if TYPE_CHECKING:
    from geosam_qgis.tool.answer import WorkerAnswer
    from geosam_qgis.tool.feature_reference import FeatureReference

#: Largest number of objects in the list.
MAX_OBJECTS = 100


@dataclass(frozen=True)
class RecentObject:
    """An accepted object."""

    reference: FeatureReference
    """Reference to its feature."""
    answer: WorkerAnswer
    """The answer that was accepted."""


class RecentObjects(QObject):
    """The list of objects that were accepted in this session."""

    changed = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._objects: list[RecentObject] = []

    @property
    def objects(self) -> list[RecentObject]:
        """The objects, the newest first."""
        return list(self._objects)

    def add(self, reference: FeatureReference, answer: WorkerAnswer, revised: FeatureReference | None) -> None:
        """Add an object to the list; it replaces the entry of the feature that it has changed."""
        others = [recent for recent in self._objects if recent.reference not in (reference, revised)]
        self._objects = [RecentObject(reference, answer), *others][:MAX_OBJECTS]
        self.changed.emit()

    def forget_layers(self, layer_ids: list[str]) -> None:
        """Drop the objects of removed layers."""
        self._objects = [recent for recent in self._objects if recent.reference.layer_id not in layer_ids]
        self.changed.emit()

    def draft_of(self, layer: QgsVectorLayer, feature: QgsFeature) -> Draft | None:
        """Return the draft of a feature, if it is one of these objects; else None."""
        for recent in self._objects:
            candidate = recent.reference.feature if recent.reference.layer_id == layer.id() else None
            if candidate is not None and candidate.id() == feature.id():
                return recent.answer.draft
        return None


def feature_at(layer: QgsVectorLayer, point: QgsPointXY, crs: QgsCoordinateReferenceSystem) -> QgsFeature | None:
    """Return the smallest feature of a layer at a point; None if there is none.

    Raises:
        ProjectionError: the layer's CRS has no such place.
    """
    position = transformed_point(point, crs, layer.crs())
    geometry = QgsGeometry.fromPointXY(position)
    nearby = QgsFeatureRequest(QgsRectangle(position, position).buffered(1e-12 + abs(position.x()) * 1e-12))
    candidates = [feature for feature in layer.getFeatures(nearby) if feature.geometry().contains(geometry)]
    # the smallest: a roof inside a parcel is meant, not the parcel
    return min(candidates, key=lambda feature: feature.geometry().area(), default=None)


def stored_draft(feature: QgsFeature) -> Draft | None:
    """Return the draft in the field of a feature; None if there is none, or if it is damaged."""
    index = feature.fields().lookupField(PROMPTS_FIELD)
    text = feature.attribute(index) if index >= 0 else None
    if not isinstance(text, str):
        return None
    try:
        return Draft.from_json(json.loads(text))
    except (DraftError, ValueError, RecursionError):
        return None


def outline_draft(layer: QgsVectorLayer, feature: QgsFeature) -> Draft:
    """Return a draft with the outline of a feature as its mask, for polygons without a draft."""
    rings = [
        [(point.x(), point.y()) for point in ring[:-1]]
        for geometry in feature.geometry().coerceToType(QgsWkbTypes.Type.MultiPolygon)
        for polygon in geometry.asMultiPolygon()
        for ring in polygon
    ]
    # holes need no mark: an inner ring is a hole by its place
    return Draft(crs_text(layer.crs())).with_mask(rings)


def prompt_objects(layer: QgsVectorLayer, recents: RecentObjects) -> list[dict[str, Any]]:
    """Return the drafts of a layer's features as parameters of the worker's method *save_prompts*, all in one CRS.

    Raises:
        ProjectionError: that CRS has no such place.
    """
    drafts = {}
    attributes = {}
    for feature in layer.getFeatures():
        draft = stored_draft(feature) or recents.draft_of(layer, feature)
        if draft is not None:
            drafts[feature.id()] = draft
            attributes[feature.id()] = _own_attributes(feature)
    if len({draft.crs for draft in drafts.values()}) > 1:
        drafts = {key: transformed_draft(draft, layer.crs()) for key, draft in drafts.items()}
    return [{"id": str(key), "draft": draft.to_json(), "attributes": attributes[key]} for key, draft in drafts.items()]


def _own_attributes(feature: QgsFeature) -> dict[str, Any]:
    """Return the user's own attributes of a feature that JSON can express."""
    plugin_fields = {PROMPTS_FIELD, "fid", *(name for names in FACT_FIELDS.values() for name in names)}
    values = zip(feature.fields().names(), feature.attributes())
    return {
        name: value
        for name, value in values
        if name not in plugin_fields and isinstance(value, (str, int, float, bool))
    }
