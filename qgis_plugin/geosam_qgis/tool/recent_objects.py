"""Objects that were accepted lately, and the prompts of any polygon that is to be gone on with."""

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
from geosam_qgis.jobs.projections import moved_draft, moved_point
from geosam_qgis.jobs.sources import crs_text
from geosam_qgis.tool.acceptance import FACT_FIELDS, PROMPTS_FIELD

if TYPE_CHECKING:
    from geosam_qgis.tool.answer import WorkerAnswer
    from geosam_qgis.tool.feature_reference import FeatureReference

#: So many objects are remembered.
MOST = 100


@dataclass(frozen=True)
class RecentObject:
    """An object that was accepted."""

    place: FeatureReference
    """Where it was put."""
    answer: WorkerAnswer
    """What was put there."""


class RecentObjects(QObject):
    """The objects that were accepted in this session, the newest first."""

    changed = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._objects: list[RecentObject] = []

    @property
    def objects(self) -> list[RecentObject]:
        """The newest first."""
        return list(self._objects)

    def add(self, place: FeatureReference, answer: WorkerAnswer, revised: FeatureReference | None) -> None:
        """Remember an object, instead of the one that it has taken the place of."""
        kept = [recent for recent in self._objects if recent.place not in (place, revised)]
        self._objects = [RecentObject(place, answer), *kept][:MOST]
        self.changed.emit()

    def forget_layers(self, layer_ids: list[str]) -> None:
        """These layers are gone."""
        self._objects = [recent for recent in self._objects if recent.place.layer_id not in layer_ids]
        self.changed.emit()

    def draft_of(self, layer: QgsVectorLayer, feature: QgsFeature) -> Draft | None:
        """What was said about a feature, if it is one of these objects."""
        for recent in self._objects:
            found = recent.place.feature if recent.place.layer_id == layer.id() else None
            if found is not None and found.id() == feature.id():
                return recent.answer.draft
        return None


def feature_at(layer: QgsVectorLayer, point: QgsPointXY, crs: QgsCoordinateReferenceSystem) -> QgsFeature | None:
    """The smallest feature of a layer at a point.

    Raises:
        ProjectionError: the layer's CRS has no such place.
    """
    place = moved_point(point, crs, layer.crs())
    spot = QgsGeometry.fromPointXY(place)
    around = QgsFeatureRequest(QgsRectangle(place, place).buffered(1e-12 + abs(place.x()) * 1e-12))
    found = [feature for feature in layer.getFeatures(around) if feature.geometry().contains(spot)]
    return min(found, key=lambda feature: feature.geometry().area(), default=None)


def stored_draft(feature: QgsFeature) -> Draft | None:
    """The draft that a feature carries in its field; None if it has none that can be read."""
    index = feature.fields().lookupField(PROMPTS_FIELD)
    text = feature.attribute(index) if index >= 0 else None
    if not isinstance(text, str):
        return None
    try:
        return Draft.from_json(json.loads(text))
    except (DraftError, ValueError, RecursionError):
        return None


def outline_draft(layer: QgsVectorLayer, feature: QgsFeature) -> Draft:
    """A draft that says: this very outline. For polygons that nobody clicked."""
    rings = [
        [(point.x(), point.y()) for point in ring[:-1]]
        for whole in feature.geometry().coerceToType(QgsWkbTypes.Type.MultiPolygon)
        for polygon in whole.asMultiPolygon()
        for ring in polygon
    ]
    return Draft(crs_text(layer.crs())).with_mask(rings)


def prompt_objects(layer: QgsVectorLayer, recents: RecentObjects) -> list[dict[str, Any]]:
    """The drafts of a layer's features as the worker's method *save_prompts* takes them, all in one CRS.

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
    used = {draft.crs for draft in drafts.values()}
    if len(used) > 1:
        drafts = {key: moved_draft(draft, layer.crs()) for key, draft in drafts.items()}
    return [{"id": str(key), "draft": draft.to_json(), "attributes": attributes[key]} for key, draft in drafts.items()]


def _own_attributes(feature: QgsFeature) -> dict[str, Any]:
    """What the user has written into a feature, as far as JSON can say it."""
    ours = {PROMPTS_FIELD, "fid", *(name for names in FACT_FIELDS.values() for name in names)}
    values = zip(feature.fields().names(), feature.attributes())
    return {n: v for n, v in values if n not in ours and isinstance(v, (str, int, float, bool))}
