"""Objects in corner form -> shapely polygons in integer scene pixels -> polygons on the map.

Geometry is made in integer pixels, where union and area are exact; the affine comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely import GeometryType

from geosam.geometry.corners import Rings, trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam.geometry.corners import Corners
    from geosam.geometry.geobox import GeoBox


def polygonize(objects: Sequence[Corners]) -> NDArray[np.object_]:
    """Polygons of pixel sets given by their canonical corners, in integer scene pixels (x right, y down).

    Returns:
        (N,) shapely Polygons, or MultiPolygons where a set is not 4-connected; valid, holes kept, no vertex on a
        straight edge. Rings start at their first vertex by (y, x), so equal sets give equal WKB.
    """
    rings = trace(objects)
    shells = np.flatnonzero(~rings.is_hole)
    per_object = np.bincount(rings.owner[shells], minlength=len(objects))
    result = np.empty(len(objects), object)
    single = per_object == 1
    result[single] = _single_shell(rings, np.flatnonzero(single))
    for number in np.flatnonzero(~single):
        result[number] = _several_shells(rings, np.flatnonzero(rings.owner == number))
    return result


def place(polygons: NDArray[np.object_], geobox: GeoBox) -> NDArray[np.object_]:
    """Polygons in scene pixels -> polygons in the CRS of `geobox`; the one place the affine meets a geometry."""
    moved: NDArray[np.object_] = shapely.transform(polygons, geobox.to_map)
    return moved


def _single_shell(rings: Rings, numbers: NDArray[np.int64]) -> NDArray[np.object_]:
    """Polygons of the objects `numbers`, each of which has one shell, its first ring, and any number of holes."""
    wanted = np.flatnonzero(np.isin(rings.owner, numbers))
    coordinates, ring_ends = _closed(rings, wanted)
    polygon_ends = np.append(0, np.cumsum(np.unique(rings.owner[wanted], return_counts=True)[1]))
    polygons: NDArray[np.object_] = shapely.from_ragged_array(
        GeometryType.POLYGON, coordinates, (ring_ends, polygon_ends)
    )
    return polygons


def _several_shells(rings: Rings, wanted: NDArray[np.int64]) -> shapely.MultiPolygon:
    """One object of several 4-connected parts; each hole goes to the smallest shell around it."""
    coordinates, ring_ends = _closed(rings, wanted)
    outlines = [coordinates[a:b] for a, b in pairwise(ring_ends)]
    holes = [outline for outline, hole in zip(outlines, rings.is_hole[wanted], strict=True) if hole]
    parts = [outline for outline, hole in zip(outlines, rings.is_hole[wanted], strict=True) if not hole]
    solids = shapely.polygons([shapely.linearrings(outline) for outline in parts])
    # The pixel right and below a hole's first vertex is the first pixel of the hole.
    inner = shapely.points([hole[0] + 0.5 for hole in holes]) if holes else np.empty(0, object)
    areas = shapely.area(solids)
    around = [min(np.flatnonzero(shapely.contains(solids, point)), key=areas.__getitem__) for point in inner]
    inside = [[hole for hole, owner in zip(holes, around, strict=True) if owner == i] for i in range(len(parts))]
    return shapely.MultiPolygon(list(zip(parts, inside, strict=True)))


def _closed(rings: Rings, wanted: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Coordinates (V, 2) of the wanted rings with the first vertex of each repeated, and the offsets (R + 1,)."""
    ends = np.append(rings.starts[1:], len(rings.xy))
    starts, lengths = rings.starts[wanted], (ends - rings.starts)[wanted] + 1
    offsets = np.append(0, np.cumsum(lengths))
    index = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)
    index[offsets[1:] - 1] = starts
    return rings.xy[index].astype(np.float64), offsets


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
