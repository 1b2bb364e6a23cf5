"""Ground metres: pixel sizes, areas and lengths on the ellipsoid, in any CRS.

Coordinates are transformed to WGS84 and put into two closed formulas: the cylindrical equal-area projection for areas
and the local metric of the ellipsoid for lengths. Both agree with geodesics to a relative 1e-6 for edges below a
kilometre.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Floats, Geometries, Indexes
    from geosam.geometry.geobox import GeoBox

#: WGS84 ellipsoid: semi-major axis in metres, flattening, and squared eccentricity.
_A = 6378137.0
_F = 1 / 298.257223563
_E2 = _F * (2 - _F)

#: Longest edge that goes into the formulas, in metres, and in degrees for a geographic CRS. Longer edges are divided,
#: which also keeps them straight in the CRS in which they were drawn.
_MAX_EDGE_M = 1000.0
_MAX_EDGE_DEG = 0.01


def reaches_wgs84(crs: CRS) -> bool:
    """Return True if PROJ can transform `crs` to WGS84; for local grids, pixels and other planets it cannot."""
    return _to_wgs84(crs) is not None


def ground_sample_distance(geobox: GeoBox) -> tuple[float, float]:
    """Return the metres on the ground per pixel along x and along y, at the centre of the grid."""
    x, y = geobox.width / 2, geobox.height / 2
    transformer = _to_wgs84(geobox.crs)
    if transformer is not None:
        cross = geobox.to_map([(x - 0.5, y), (x + 0.5, y), (x, y - 0.5), (x, y + 0.5)])
        lon, lat = transformer.transform(cross[:, 0], cross[:, 1])
        if np.isfinite([lon, lat]).all():  # else the centre lies outside the CRS's domain
            along_x, _, along_y = _edge_lengths(np.asarray(lon), np.asarray(lat)).tolist()
            if along_x > 0 and along_y > 0:
                return along_x, along_y
    t, unit = geobox.transform, metres_per_unit(geobox.crs)
    return math.hypot(t.a, t.d) * unit, math.hypot(t.b, t.e) * unit


def metres_per_unit(crs: CRS) -> float:
    """Return the metres in one unit of the CRS; an angular unit counts as its length on the equator."""
    axes = crs.axis_info
    factor = float(axes[0].unit_conversion_factor) if axes else 1.0
    angular = crs.is_geographic or (bool(axes) and "degree" in axes[0].unit_name)
    # The factor of an angular unit is in radians. A factor of 0 means that PROJ does not know the unit.
    return (factor * _A if angular else factor) or 1.0


def areas_perimeters(polygons: Geometries, crs: CRS) -> tuple[Floats, Floats]:
    """Measure polygons on the ground.

    Values are geodesic if the CRS reaches WGS84. Otherwise, and for polygons that leave the CRS's domain, they are
    planar, converted to metres by the unit of the CRS.

    Args:
        polygons: shapely Polygons and MultiPolygons (N,).
        crs: their CRS.

    Returns:
        Areas (N,) in square metres, without holes, and perimeters (N,) in metres, of shells and holes.
    """
    transformer, unit = _to_wgs84(crs), metres_per_unit(crs)
    planar = shapely.area(polygons) * unit**2, shapely.length(polygons) * unit
    if transformer is None:
        return planar
    longest = _MAX_EDGE_DEG if crs.is_geographic else _MAX_EDGE_M / unit
    parts, part_of = shapely.get_parts(_with_short_edges(polygons, longest), return_index=True)
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    xy, vertex_of = shapely.get_coordinates(rings, return_index=True)
    lon, lat = transformer.transform(xy[:, 0], xy[:, 1])
    with np.errstate(invalid="ignore"):  # PROJ answers inf outside the domain of the CRS
        ring_areas, ring_lengths = _ring_measures(np.asarray(lon), np.asarray(lat), vertex_of, len(rings))
    is_shell = np.diff(ring_of, prepend=-1) != 0  # shapely lists the shell of a polygon before its holes
    owner = part_of[ring_of]
    areas = _summed(owner, np.where(is_shell, ring_areas, -ring_areas), len(polygons))
    lengths = _summed(owner, ring_lengths, len(polygons))
    placed = np.isfinite(areas)
    return np.where(placed, areas, planar[0]), np.where(placed, lengths, planar[1])


def _with_short_edges(polygons: Geometries, longest: float) -> Geometries:
    """Divide edges that are longer than `longest`, in CRS units."""
    # Only polygons with a large envelope can have one, and they are rare.
    xmin, ymin, xmax, ymax = shapely.bounds(polygons).T
    large = np.maximum(xmax - xmin, ymax - ymin) > longest
    short = polygons.copy()
    short[large] = shapely.segmentize(polygons[large], longest)
    return short


@lru_cache(maxsize=64)
def _to_wgs84(crs: CRS) -> Transformer | None:
    try:
        return Transformer.from_crs(crs, CRS.from_epsg(4326), always_xy=True)
    except (ProjError, CRSError):
        return None


def _ring_measures(lon: Floats, lat: Floats, ring_of: Indexes, count: int) -> tuple[Floats, Floats]:
    """Return the areas and lengths of closed rings; vertex i belongs to ring `ring_of[i]`."""
    inner = ring_of[1:] == ring_of[:-1]  # the step from one ring to the next is no edge
    owner = ring_of[1:][inner]
    lengths = _edge_lengths(lon, lat)[inner]
    dlon = _wrapped(np.diff(lon))[inner]
    # Heights count from the first vertex of the ring: heights in a small ring agree in their first seven digits, which
    # a sum would lose.
    height, first = _equal_area_height(lat), np.searchsorted(ring_of, np.arange(count))
    middle = ((height[1:] + height[:-1]) / 2 - height[first][ring_of[1:]])[inner]
    areas = _summed(owner, middle * dlon, count) * _A
    # A ring around a pole turns once: its area counts from that pole.
    turns = np.rint(_summed(owner, dlon, count) / (2 * np.pi))
    pole = np.copysign(_equal_area_height(np.array([90.0]))[0], height[first])
    return np.abs(areas - turns * 2 * np.pi * _A * (pole - height[first])), _summed(owner, lengths, count)


def _summed(group: Indexes, values: Floats, count: int) -> Floats:
    """Return the sum of the values of each group (count,); value i belongs to group `group[i]`."""
    return np.asarray(np.bincount(group, values, count), np.float64)


def _wrapped(dlon_deg: Floats) -> Floats:
    """Return steps in longitude along the shorter way, in radians."""
    if (np.abs(dlon_deg) > 180.0).any():  # rare, and the remainder is slow
        dlon_deg = (dlon_deg + 180.0) % 360.0 - 180.0
    return np.asarray(np.deg2rad(dlon_deg))


def _equal_area_height(lat_deg: Floats) -> Floats:
    """Return the northing of Lambert's cylindrical equal-area projection, in metres (Snyder 1987, equation 10-15)."""
    e, sine = np.sqrt(_E2), np.sin(np.deg2rad(lat_deg))
    q = (1 - _E2) * (sine / (1 - _E2 * sine**2) + np.arctanh(e * sine) / e)
    return np.asarray(_A * q / 2)


def _edge_lengths(lon: Floats, lat: Floats) -> Floats:
    """Return the lengths (V - 1,) in metres of the steps from each vertex to the next, which must be short."""
    middle = np.deg2rad((lat[1:] + lat[:-1]) / 2)
    w2 = 1 - _E2 * np.sin(middle) ** 2
    north = _A * (1 - _E2) / w2**1.5 * np.deg2rad(np.diff(lat))
    east = _A / np.sqrt(w2) * np.cos(middle) * _wrapped(np.diff(lon))
    return np.asarray(np.hypot(north, east))


def beyond_degrees(crs: CRS, xy: Floats) -> BoolArray:
    """Find coordinates that are too large for a geographic CRS.

    Args:
        crs: the CRS that the coordinates are said to be in.
        xy: coordinates (N, 2), longitude first.

    Returns:
        True (N,) for coordinates that cannot be longitude and latitude; never True if `crs` is not geographic.
    """
    if not crs.is_geographic:
        return np.zeros(len(xy), bool)
    turn = full_turn(crs)  # not half of it: scenes across the antimeridian continue beyond 180 degrees
    return np.asarray((np.abs(xy) > (turn, turn / 4 + 1e-9)).any(axis=1))


def full_turn(crs: CRS) -> float:
    """Return a full turn in the units of a geographic CRS: 360 degrees, 400 grads."""
    return float(2 * np.pi / crs.axis_info[0].unit_conversion_factor)
