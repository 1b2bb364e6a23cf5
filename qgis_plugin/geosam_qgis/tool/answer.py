"""What the worker answered about a draft."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY

from geosam_qgis.jobs.projections import scene_crs

if TYPE_CHECKING:
    from geosam_qgis.draft import Draft


@dataclass(frozen=True)
class WorkerAnswer:
    """The object that a draft selects, as far as it was looked for."""

    draft: Draft
    """What was asked."""
    crs: QgsCoordinateReferenceSystem
    """Of the geometries: the scene's."""
    geometry: QgsGeometry | None
    """The object's polygon; None where nothing was found."""
    facts: dict[str, Any]
    """What is known about it: score, stability, area_m2, perimeter_m, n_tiles, touches_edge, truncated, model."""
    window: QgsGeometry | None
    """The first window that was looked at."""
    ready: bool
    """Whether the first window was known, or could be looked at."""
    complete: bool
    """Whether the object ends within what was looked at."""
    warnings: tuple[str, ...] = ()
    """What the user should know about the raster and the answer."""

    @classmethod
    def read(cls, draft: Draft, info: dict[str, Any], result: dict[str, Any]) -> WorkerAnswer:
        """From the answers to *open* and *segment*.

        Raises:
            KeyError, TypeError, ValueError: they are not what the protocol says.
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
            warnings=(*info["warnings"], *result.get("warnings", ())),
        )


def window_polygon(corners: list[list[float]]) -> QgsGeometry:
    """A window, which may be turned, as a polygon."""
    return QgsGeometry.fromPolygonXY([[QgsPointXY(x, y) for x, y in corners]])
