"""The worker's answer to a draft."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY

from geosam_qgis.engine.error_messages import plain_text
from geosam_qgis.jobs.projections import scene_crs

if TYPE_CHECKING:
    from geosam_qgis.draft import Draft


@dataclass(frozen=True)
class WorkerAnswer:
    """The object of a draft, in the part of the raster that the model has seen."""

    draft: Draft
    """The draft of the request."""
    crs: QgsCoordinateReferenceSystem
    """CRS of the geometries: that of the scene."""
    geometry: QgsGeometry | None
    """Polygon of the object; None if there is no object."""
    facts: dict[str, Any]
    """Attributes: score, stability, area_m2, perimeter_m, n_tiles, touches_edge, truncated, model."""
    window: QgsGeometry | None
    """Outline of the first window of the request."""
    ready: bool
    """True if the model has seen the first window."""
    complete: bool
    """True if the object ends inside the windows that the model has seen."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user about the raster and the answer."""

    @classmethod
    def read(cls, draft: Draft, info: dict[str, Any], result: dict[str, Any]) -> WorkerAnswer:
        """Make an answer from the worker's answers to *open* and *segment*.

        Raises:
            KeyError, TypeError, ValueError: they do not follow the protocol.
        """
        facts, geometry = dict(result["object"] or {}), None
        if facts:
            geometry = QgsGeometry()
            geometry.fromWkb(base64.b64decode(facts.pop("wkb"), validate=True))
        window = result["window"]
        return cls(
            draft=draft,
            crs=scene_crs(info),
            geometry=geometry,
            facts=facts,
            window=window_polygon(window) if window else None,
            ready=result["ready"],
            complete=result["complete"],
            warnings=tuple(map(plain_text, (*info["warnings"], *result.get("warnings", ())))),
        )


def window_polygon(corners: list[list[float]]) -> QgsGeometry:
    """Return the polygon of a window from its four corners; the window may be rotated."""
    return QgsGeometry.fromPolygonXY([[QgsPointXY(x, y) for x, y in corners]])
