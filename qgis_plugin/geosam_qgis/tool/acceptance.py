"""Accepted objects: into the edit buffer of a polygon layer, each as one undo step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qgis.core import QgsFeature, QgsGeometry, QgsVectorDataProvider, QgsVectorLayer, QgsVectorLayerUtils, QgsWkbTypes

from geosam_qgis.jobs.projections import ProjectionError, transformed
from geosam_qgis.texts import tr
from geosam_qgis.tool.feature_reference import FeatureReference

if TYPE_CHECKING:
    from geosam_qgis.tool.answer import WorkerAnswer

#: Fields that are filled if a layer has them: the name of the fact, and the names in the outputs of the command line;
#: the last one is that of shapefiles.
FACT_FIELDS = {
    "score": ("score",),
    "stability": ("stability", "stab_score"),
    "area_m2": ("area_m2",),
    "perimeter_m": ("perimeter_m", "perim_m"),
    "model": ("model",),
    "n_tiles": ("n_tiles",),
    "touches_edge": ("touches_edge", "touch_edge"),
    "truncated": ("truncated",),
}
#: Field that stores the draft as JSON, so that the object can be continued later.
PROMPTS_FIELD = "prompts"


class AcceptanceError(Exception):
    """An object that could not be added to the layer; the message is for the user."""


def accept(
    answer: WorkerAnswer, layer: QgsVectorLayer, *, min_area_m2: float = 0.0, revised: FeatureReference | None = None
) -> FeatureReference:
    """Add an object to a layer's edit buffer, or change one that is in it, as one undo step.

    Args:
        answer: The object.
        layer: A polygon layer; it becomes editable, and its other edits stay as they are.
        min_area_m2: Minimum area in ground square metres; a smaller object is refused.
        revised: The feature of the layer to change; if it was deleted, a new one is added.

    Returns:
        A reference to the feature.

    Raises:
        AcceptanceError: the layer does not take the object, and is as before.
    """
    area = float(answer.facts.get("area_m2") or 0.0)
    if area < min_area_m2:
        text = tr("The object is too small: {area:.1f} m², expected at least {minimum:g} m². Lower the minimum area.")
        raise AcceptanceError(text.format(area=area, minimum=min_area_m2))
    parts = parts_for(answer, layer)  # before the layer becomes editable: a failure must not change it
    make_editable(layer)
    values = attributes_for(answer, layer)
    feature = revised.feature if revised is not None else None
    layer.beginEditCommand(tr("Segment object") if feature is None else tr("Change segmented object"))
    is_changed = feature is None or _change(layer, feature.id(), parts[0], values)
    added = _add(layer, parts if feature is None else parts[1:], values) if is_changed else None
    if added is None:
        layer.destroyEditCommand()  # undoes the parts that were added
        raise AcceptanceError(
            tr("The layer {name} refused the object. Choose another output layer.").format(name=layer.name())
        )
    layer.endEditCommand()
    layer.triggerRepaint()
    return FeatureReference(layer.id(), feature.id() if feature is not None else added[0], parts[0])


def parts_for(answer: WorkerAnswer, layer: QgsVectorLayer) -> list[QgsGeometry]:
    """Return the geometries of an object in a layer: valid, of the layer's type, the largest first.

    There are several only in a layer of single polygons, for an object of several parts.

    Raises:
        AcceptanceError: the object has no geometry in the CRS of the layer.
    """
    try:
        geometry = transformed(answer.geometry or QgsGeometry(), answer.crs, layer.crs())
    except ProjectionError as error:
        raise AcceptanceError(str(error)) from None
    if not geometry.isGeosValid():
        geometry = geometry.makeValid()
        geometry.convertGeometryCollectionToSubclass(QgsWkbTypes.GeometryType.PolygonGeometry)
    parts = [part for part in geometry.coerceToType(layer.wkbType()) if not part.isEmpty()]
    if not parts:
        raise AcceptanceError(
            tr("The object has no area in the CRS of {name}. Choose an output layer with another CRS.").format(
                name=layer.name()
            )
        )
    return sorted(parts, key=lambda part: -part.area())  # the largest part keeps the feature that is revised


def make_editable(layer: QgsVectorLayer) -> None:
    """Start the editing of a layer.

    Raises:
        AcceptanceError: the layer cannot be edited.
    """
    if layer.isEditable():
        return
    can_add = layer.dataProvider().capabilities() & QgsVectorDataProvider.Capability.AddFeatures
    if layer.readOnly() or not can_add or not layer.startEditing():
        text = tr("The layer {name} cannot be edited. Choose another output layer, or a new one.")
        raise AcceptanceError(text.format(name=layer.name()))


def attributes_for(answer: WorkerAnswer, layer: QgsVectorLayer) -> dict[int, Any]:
    """Return the facts about an object, by the index of the layer's fields for them."""
    facts: dict[str, Any] = {}
    for fact, names in FACT_FIELDS.items():
        facts.update((name, answer.facts.get(fact)) for name in names)
    facts[PROMPTS_FIELD] = json.dumps(answer.draft.to_json(), ensure_ascii=False, separators=(",", ":"))
    values: dict[int, Any] = {}
    for name, value in facts.items():
        index = layer.fields().lookupField(name)
        if index >= 0 and value is not None:
            try:
                values[index] = layer.fields().at(index).convertCompatible(value)
            except ValueError:  # a field of the user with the same name but another type, or too short for the draft
                continue
    return values


def _add(layer: QgsVectorLayer, parts: list[QgsGeometry], values: dict[int, Any]) -> list[int] | None:
    """Add features, and return their ids; None if the layer refuses one."""
    added = []
    for part in parts:
        feature: QgsFeature = QgsVectorLayerUtils.createFeature(layer, part, values)
        if not layer.addFeature(feature):
            return None
        added.append(feature.id())
    return added


def _change(layer: QgsVectorLayer, feature_id: int, geometry: QgsGeometry, values: dict[int, Any]) -> bool:
    return bool(layer.changeGeometry(feature_id, geometry)) and bool(layer.changeAttributeValues(feature_id, values))
