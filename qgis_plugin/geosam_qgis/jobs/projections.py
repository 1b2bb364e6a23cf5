"""CRSs as text for the worker and back, and geometries, points and drafts in another CRS."""

from __future__ import annotations

import math
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
)

from geosam_qgis.draft import Draft, Step
from geosam_qgis.jobs.sources import crs_text
from geosam_qgis.texts import tr


class ProjectionError(Exception):
    """Coordinates that do not exist in another CRS; the message is for the user."""


def crs_of(text: str) -> QgsCoordinateReferenceSystem:
    """Return the CRS for a text of :func:`~geosam_qgis.jobs.sources.crs_text`, or of the worker."""
    if text.upper().startswith("EPSG:"):
        return QgsCoordinateReferenceSystem(text)
    return QgsCoordinateReferenceSystem.fromWkt(text)


def scene_crs(info: dict[str, Any]) -> QgsCoordinateReferenceSystem:
    """Return the CRS of a scene, from the worker's answer to *open*."""
    return QgsCoordinateReferenceSystem.fromWkt(info["crs"])


def transformed(
    geometry: QgsGeometry, source: QgsCoordinateReferenceSystem, target: QgsCoordinateReferenceSystem
) -> QgsGeometry:
    """Return a copy of a geometry in another CRS, unchanged if one of the two CRSs is unknown.

    Raises:
        ProjectionError: the other CRS has no such place.
    """
    projected = QgsGeometry(geometry)
    if source == target or not (source.isValid() and target.isValid()):
        return projected
    try:
        projected.transform(QgsCoordinateTransform(source, target, QgsProject.instance()))
    except QgsCsException:
        raise _nowhere(source, target) from None
    if not projected.boundingBox().isFinite():  # PROJ gives infinity without an error for some places
        raise _nowhere(source, target)
    return projected


def transformed_point(
    point: QgsPointXY, source: QgsCoordinateReferenceSystem, target: QgsCoordinateReferenceSystem
) -> QgsPointXY:
    """Return a point in another CRS, unchanged if one of the two CRSs is unknown.

    Raises:
        ProjectionError: the other CRS has no such place.
    """
    if source == target or not (source.isValid() and target.isValid()):
        return point
    try:
        projected = QgsCoordinateTransform(source, target, QgsProject.instance()).transform(point)
    except QgsCsException:
        raise _nowhere(source, target) from None
    if not (math.isfinite(projected.x()) and math.isfinite(projected.y())):
        raise _nowhere(source, target)
    return projected


def transformed_draft(draft: Draft, target: QgsCoordinateReferenceSystem) -> Draft:
    """Return a draft in another CRS.

    Raises:
        ProjectionError: the other CRS has no such place.
    """
    source, text = crs_of(draft.crs), crs_text(target)
    if text == draft.crs:
        return draft
    steps = []
    for step in draft.steps:
        points = [[transformed_point(QgsPointXY(*xy), source, target) for xy in ring] for ring in step.rings]
        steps.append(Step(step.kind, step.label, tuple(tuple((p.x(), p.y()) for p in ring) for ring in points)))
    return Draft(text, tuple(steps), draft.granularity)


def _nowhere(source: QgsCoordinateReferenceSystem, target: QgsCoordinateReferenceSystem) -> ProjectionError:
    text = tr("This place has coordinates in {source}, but none in {target}. Choose another CRS.")
    return ProjectionError(text.format(source=source.userFriendlyIdentifier(), target=target.userFriendlyIdentifier()))
