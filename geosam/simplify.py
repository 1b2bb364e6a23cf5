"""Simplify and fill polygons one by one, in integer scene pixels; :mod:`geosam.planar` does whole coverages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray


def simplify_alone(polygons: NDArray[Any], tolerance_px: float) -> NDArray[Any]:
    """Each polygon simplified on its own, blind to its neighbours: the `overlapping` layout.

    The rule is that of the `planar` layout, Visvalingam-Whyatt: a corner goes when the triangle it makes with its
    two neighbours is smaller than `tolerance_px` squared and removing it keeps every ring apart. So a tolerance
    means the same in both layouts, polygons stay valid, and no part or hole vanishes.

    Args:
        polygons: (N,) valid Polygons and MultiPolygons.
        tolerance_px: In pixels; 0 returns the polygons as they are.

    Returns:
        (N,) valid polygons; every vertex is a vertex of the polygon that came in.
    """
    if tolerance_px <= 0:
        return polygons
    simple = np.empty(len(polygons), object)
    # One call for all of them would take them for one coverage, and they may overlap.
    simple[:] = [shapely.coverage_simplify(polygon, tolerance_px) for polygon in polygons]
    return simple


def fill_holes(polygons: NDArray[Any], max_area_px: float) -> NDArray[Any]:
    """Polygons without their holes of at most `max_area_px`, counting all that a hole encloses.

    Args:
        polygons: (N,) valid Polygons and MultiPolygons; parts that lie inside a filled hole dissolve in it.
        max_area_px: In square pixels; 0 fills nothing.

    Returns:
        (N,) valid polygons; the untouched ones are the very objects that came in.
    """
    parts, row = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    small = (np.diff(part, prepend=-1) == 0) & (shapely.area(shapely.polygons(rings)) <= max_area_px)
    solid = shapely.polygons(rings[~small], indices=part[~small])
    filled = polygons.copy()
    for index in np.unique(row[part[small]]):
        own = solid[np.searchsorted(row, index) : np.searchsorted(row, index, "right")]
        filled[index] = own[0] if len(own) == 1 else shapely.union_all(own)
    return filled
