"""Shape of finished objects: holes, simplification, measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import shapely

from geosam.geometry.measure import areas_perimeters
from geosam.geometry.polygons import fill_holes, place, polygonize, simplify_alone
from geosam.vector.schema import Column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geosam.geometry.geobox import GeoBox
    from geosam.objects.scene_object import SceneObject

COLUMNS = (
    Column("id", "int", "id"),
    Column("score", "float", "score"),
    Column("stability", "float", "stab_score"),
    Column("area_m2", "float", "area_m2"),
    Column("perimeter_m", "float", "perim_m"),
    Column("model", "text", "model"),
    Column("n_tiles", "int", "n_tiles"),
    Column("touches_edge", "bool", "touch_edge"),
    Column("truncated", "bool", "truncated"),
)


@dataclass(frozen=True)
class Shaping:
    """What is done to finished objects before they are written; ground metres."""

    layout: Literal["overlapping", "planar"] = "overlapping"
    """Objects as found, or without overlaps and with shared borders."""
    min_area_m2: float = 0.0
    """Objects smaller than this are left out."""
    simplify_m: float = 0.0
    """Tolerance of the simplification."""
    fill_holes_m2: float = 0.0
    """Holes up to this size are filled."""


def features(
    objects: Sequence[SceneObject], geobox: GeoBox, gsd_xy: tuple[float, float], shaping: Shaping, *, model: str
) -> tuple[NDArray[np.object_], dict[str, list[Any]]]:
    """Objects one by one, as an output file in the `overlapping` layout has them; small ones are not left out.

    Returns:
        Polygons (N,) in the CRS of `geobox`, shells counterclockwise, and COLUMNS without `id`, each of N values.
    """
    polygons, columns = on_map(objects, outlines(objects, gsd_xy, shaping), geobox, model)
    return shapely.orient_polygons(polygons), columns


def on_map(
    objects: Sequence[SceneObject], polygons: NDArray[np.object_], geobox: GeoBox, model: str
) -> tuple[NDArray[np.object_], dict[str, list[Any]]]:
    """Polygons (N,) in scene pixels as polygons on the map, and what is known about them."""
    placed = place(polygons, geobox)
    areas, perimeters = areas_perimeters(placed, geobox.crs)
    return placed, {
        "score": [round(item.score, 6) for item in objects],
        "stability": [round(item.stability, 6) for item in objects],
        "area_m2": areas.tolist(),
        "perimeter_m": perimeters.tolist(),
        "model": [model] * len(objects),
        "n_tiles": [item.n_tiles for item in objects],
        "touches_edge": [item.touches_edge for item in objects],
        "truncated": [item.truncated for item in objects],
    }


def outlines(objects: Sequence[SceneObject], gsd_xy: tuple[float, float], shaping: Shaping) -> NDArray[np.object_]:
    """Polygons (N,) of objects in integer scene pixels, shaped one by one."""
    tolerance_px, fill_px = in_pixels(gsd_xy, shaping)
    return simplify_alone(fill_holes(polygonize([item.corners for item in objects]), fill_px), tolerance_px)


def in_pixels(gsd_xy: tuple[float, float], shaping: Shaping) -> tuple[float, float]:
    """Tolerance of the simplification and size of filled holes, in pixels and square pixels."""
    px_area = gsd_xy[0] * gsd_xy[1]
    return shaping.simplify_m / math.sqrt(px_area), shaping.fill_holes_m2 / px_area
