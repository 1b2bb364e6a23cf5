"""Polygons: objects in corner form become shapely polygons in scene pixels, and polygons on the map.

Geometry is made in integer pixels, where union and area are exact; the transform comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely import GeometryType

from geosam.geometry.corners import Rings, trace

if TYPE_CHECKING:
    from geosam._arrays import Floats, Geometries, Integers
    from geosam.geometry.corners import Corners
    from geosam.geometry.geobox import GeoBox


#: Types of geometries that have an area, as shapely numbers them.
POLYGONAL = (GeometryType.POLYGON, GeometryType.MULTIPOLYGON)


def polygonize(objects: Sequence[Corners]) -> Geometries:
    """Turn sets of pixels, given by their canonical corners, into polygons in integer scene pixels (x right, y down).

    Returns:
        Shapely Polygons (N,), or MultiPolygons for sets that are not 4-connected; valid, holes kept, no vertex on a
        straight edge. Rings start at their first vertex by (y, x), so equal sets give equal WKB.
    """
    rings = trace(objects)
    shells = np.flatnonzero(~rings.is_hole)
    per_object = np.bincount(rings.owner[shells], minlength=len(objects))
    result = np.empty(len(objects), object)
    single = per_object == 1  # nearly all objects, in one call
    result[single] = _single_shell(rings, np.flatnonzero(single))
    for number in np.flatnonzero(~single):
        result[number] = _several_shells(rings, np.flatnonzero(rings.owner == number))
    return result


def place(polygons: Geometries, geobox: GeoBox) -> Geometries:
    """Transform polygons (N,) from scene pixels to map coordinates in the CRS of `geobox`.

    This is the only place that applies the transform of a scene to its objects.
    """
    moved: Geometries = shapely.transform(polygons, geobox.to_map)
    return moved


def _single_shell(rings: Rings, numbers: Integers) -> Geometries:
    """Build the polygons of objects, each of which has one shell, its first ring, and any number of holes."""
    own = np.flatnonzero(np.isin(rings.owner, numbers))
    coordinates, ring_ends = _closed(rings, own)
    polygon_ends = np.append(0, np.cumsum(np.unique(rings.owner[own], return_counts=True)[1]))
    polygons: Geometries = shapely.from_ragged_array(GeometryType.POLYGON, coordinates, (ring_ends, polygon_ends))
    return polygons


def _several_shells(rings: Rings, own: Integers) -> shapely.MultiPolygon:
    """Build one object of several 4-connected parts; each hole goes to the smallest shell around it."""
    coordinates, ring_ends = _closed(rings, own)
    outlines = [coordinates[a:b] for a, b in pairwise(ring_ends)]
    holes = [outline for outline, hole in zip(outlines, rings.is_hole[own], strict=True) if hole]
    parts = [outline for outline, hole in zip(outlines, rings.is_hole[own], strict=True) if not hole]
    solids = shapely.polygons([shapely.linearrings(outline) for outline in parts])
    # The pixel right and below a hole's first vertex is the first pixel of the hole.
    inner = shapely.points([hole[0] + 0.5 for hole in holes]) if holes else np.empty(0, object)
    areas = shapely.area(solids)
    around = [min(np.flatnonzero(shapely.contains(solids, point)), key=areas.__getitem__) for point in inner]
    inside = [[hole for hole, owner in zip(holes, around, strict=True) if owner == i] for i in range(len(parts))]
    return shapely.MultiPolygon(list(zip(parts, inside, strict=True)))


def _closed(rings: Rings, numbers: Integers) -> tuple[Floats, Integers]:
    """Return the coordinates (V, 2) of rings with the first vertex of each repeated, and the offsets (R + 1,)."""
    ends = np.append(rings.starts[1:], len(rings.xy))
    starts, lengths = rings.starts[numbers], (ends - rings.starts)[numbers] + 1
    offsets = np.append(0, np.cumsum(lengths))
    index = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)
    index[offsets[1:] - 1] = starts  # the last vertex of a ring is its first
    return rings.xy[index].astype(np.float64), offsets


def simplify_alone(polygons: Geometries, tolerance_px: float) -> Geometries:
    """Simplify each polygon without regard to the others, for the `overlapping` layout.

    The rule is that of the `planar` layout (Visvalingam and Whyatt 1993): a corner is removed if the triangle that it
    makes with its two neighbours is smaller than `tolerance_px` squared, and if no rings touch or cross without it. So
    a tolerance means the same in both layouts, polygons stay valid, and no part or hole vanishes.

    Args:
        polygons: valid Polygons and MultiPolygons (N,).
        tolerance_px: tolerance in pixels; 0 returns the polygons as they are.

    Returns:
        Valid polygons (N,); every vertex is a vertex of the input.
    """
    if tolerance_px <= 0:
        return polygons
    simple = np.empty(len(polygons), object)
    # One call for all polygons would treat them as one coverage, but they may overlap.
    simple[:] = [shapely.coverage_simplify(polygon, tolerance_px) for polygon in polygons]
    return simple


def fill_holes(polygons: Geometries, max_area_px: float) -> Geometries:
    """Fill the holes of at most `max_area_px`; everything that a hole encloses is part of its area.

    Args:
        polygons: valid Polygons and MultiPolygons (N,); parts inside a filled hole become one with it.
        max_area_px: area in square pixels; 0 fills nothing.

    Returns:
        Valid polygons (N,); polygons without such a hole are the same objects as in the input.
    """
    parts, row = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    # shapely lists the shell of a part first, so a ring of the same part as the one before it is a hole.
    small = (np.diff(part, prepend=-1) == 0) & (shapely.area(shapely.polygons(rings)) <= max_area_px)
    solid = shapely.polygons(rings[~small], indices=part[~small])
    filled = polygons.copy()
    for index in np.unique(row[part[small]]):
        own = solid[np.searchsorted(row, index) : np.searchsorted(row, index, "right")]
        filled[index] = own[0] if len(own) == 1 else shapely.union_all(own)
    return filled
