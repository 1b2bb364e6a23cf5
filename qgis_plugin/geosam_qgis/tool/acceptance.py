"""Objects into the edit buffer of a polygon layer, each as one undo step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qgis.core import QgsFeature, QgsGeometry, QgsVectorDataProvider, QgsVectorLayer, QgsVectorLayerUtils, QgsWkbTypes

from geosam_qgis.jobs.projections import ProjectionError, transformed
from geosam_qgis.texts import tr
from geosam_qgis.tool.feature_reference import FeatureReference

if TYPE_CHECKING:
    from geosam_qgis.tool.answer import WorkerAnswer

#: Fields that are filled where a layer has them: what is known, and the names of the command line's outputs, the
#: shapefile's last.
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
#: The field that remembers the draft, as JSON, so that the object can be gone on with.
PROMPTS_FIELD = "prompts"


class AcceptanceError(Exception):
    """An object that did not get into the layer; the message is for people."""


def accept(
    answer: WorkerAnswer, layer: QgsVectorLayer, *, min_area_m2: float = 0.0, revised: FeatureReference | None = None
) -> FeatureReference:
    """Add an object to a layer's edit buffer, or change one that is in it, as one undo step.

    Args:
        answer: The object.
        layer: A polygon layer; it becomes editable. Its other edits stay as they are.
        min_area_m2: What is smaller is refused.
        revised: The feature of the layer to change; it is added again where it has been deleted.

    Raises:
        AcceptError: it cannot be; the layer is as before.
    """
    area = float(answer.facts.get("area_m2") or 0.0)
    if area < min_area_m2:
        text = tr("The object has {area:.1f} m², at least {least:g} m² wanted. Lower the minimal area to keep it.")
        raise AcceptanceError(text.format(area=area, least=min_area_m2))
    parts = parts_for(answer, layer)
    make_editable(layer)
    values = attributes_for(answer, layer)
    former = revised.feature if revised is not None else None
    layer.beginEditCommand(tr("Segment object") if former is None else tr("Change segmented object"))
    is_taken = former is None or _change(layer, former.id(), parts[0], values)
    added = _add(layer, parts if former is None else parts[1:], values) if is_taken else None
    if added is None:
        layer.destroyEditCommand()
        raise AcceptanceError(tr("The layer {name} did not take the object.").format(name=layer.name()))
    layer.endEditCommand()
    layer.triggerRepaint()
    return FeatureReference(layer.id(), former.id() if former is not None else added[0], parts[0])


def parts_for(answer: WorkerAnswer, layer: QgsVectorLayer) -> list[QgsGeometry]:
    """The geometries an object takes in a layer, valid and of the layer's type, the largest first.

    One, but for layers that take single polygons only, where an object may have several parts.

    Raises:
        AcceptError: nothing is left of it.
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
        raise AcceptanceError(tr("Nothing is left of the object in the CRS of {name}.").format(name=layer.name()))
    return sorted(parts, key=lambda part: -part.area())


def make_editable(layer: QgsVectorLayer) -> None:
    """Make sure that a layer takes edits.

    Raises:
        AcceptError: it does not.
    """
    if layer.isEditable():
        return
    can_add = layer.dataProvider().capabilities() & QgsVectorDataProvider.Capability.AddFeatures
    if layer.readOnly() or not can_add or not layer.startEditing():
        text = tr("The layer {name} cannot be edited. Choose another output layer, or a new one.")
        raise AcceptanceError(text.format(name=layer.name()))


def attributes_for(answer: WorkerAnswer, layer: QgsVectorLayer) -> dict[int, Any]:
    """What is known about an object, by the index of the layer's fields that take it."""
    known: dict[str, Any] = {}
    for fact, names in FACT_FIELDS.items():
        known.update((name, answer.facts.get(fact)) for name in names)
    known[PROMPTS_FIELD] = json.dumps(answer.draft.to_json(), ensure_ascii=False, separators=(",", ":"))
    values: dict[int, Any] = {}
    for name, value in known.items():
        index = layer.fields().lookupField(name)
        if index >= 0 and value is not None:
            try:
                values[index] = layer.fields().at(index).convertCompatible(value)
            except ValueError:  # a field of the user's own that happens to have the name, or too short for the draft
                continue
    return values


def _add(layer: QgsVectorLayer, parts: list[QgsGeometry], values: dict[int, Any]) -> list[int] | None:
    """Add features; their ids, or None if one was refused."""
    added = []
    for part in parts:
        feature: QgsFeature = QgsVectorLayerUtils.createFeature(layer, part, values)
        if not layer.addFeature(feature):
            return None
        added.append(feature.id())
    return added


def _change(layer: QgsVectorLayer, feature_id: int, geometry: QgsGeometry, values: dict[int, Any]) -> bool:
    return bool(layer.changeGeometry(feature_id, geometry)) and bool(layer.changeAttributeValues(feature_id, values))
