"""WGS84: polygons in longitude and latitude as RFC 7946 requires: split at the antimeridian, with few decimals.

Edges that are straight in the scene's CRS get more vertices, so that they keep their place on the ground. Rings take
the shorter way around the globe from vertex to vertex. Parts beyond -180 to 180 degrees are cut off and moved back. A
ring around a pole is closed along the edge of the map.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import CRS, Transformer

from geosam.geometry.measure import metres_per_unit

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Floats, Geometries, Integers

#: WGS84 with longitude first, the CRS of GeoJSON.
WGS84 = CRS("OGC:CRS84")

#: Radius of the sphere on which bends are measured.
_RADIUS_M = 6378137.0
#: Vertices this close to a pole (degrees) have no longitude of their own, because a pole is a point.
_POLE_DEG = 1e-9
#: Edges that bend more than this are divided (pixels); and the largest unit of the last decimal (pixels).
_BEND_PX, _UNIT_PX = 0.05, 0.01
#: Edges shorter than this (pixels) bend less and are not checked.
_SHORT_PX = 8.0
#: Decimals that a float64 holds around 180.
_ALL_DECIMALS = 14
#: Largest number of times that an edge is halved.
_MAX_HALVINGS = 24


class UnreachableError(ValueError):
    """Signal coordinates outside the area that the CRS covers."""


class ToWgs84:
    """Transformation of polygons from one CRS to WGS84; `pixel_size` (CRS units) is their precision."""

    def __init__(self, crs: CRS, pixel_size: float) -> None:
        self._transformer = Transformer.from_crs(crs, WGS84, always_xy=True)
        self._pixel_size = pixel_size
        self._pixel_m = pixel_size * metres_per_unit(crs)
        unit_deg = math.degrees(_UNIT_PX * self._pixel_m / _RADIUS_M)
        self._decimals = min(max(math.ceil(-math.log10(unit_deg)), 0), _ALL_DECIMALS)

    def __call__(self, polygons: Geometries) -> Geometries:
        """Transform polygons.

        Args:
            polygons: Polygons and MultiPolygons (N,) in the scene's CRS, exterior rings counter-clockwise.

        Returns:
            Polygons and MultiPolygons (N,) in WGS84, rounded, exterior rings counter-clockwise.

        Raises:
            UnreachableError: a vertex has no longitude and latitude.
        """
        kind, xy, (rings, *outer) = shapely.to_ragged_array(polygons)
        lonlat, rings = self._bent(xy, rings)
        placed = shapely.from_ragged_array(kind, lonlat, (rings, *outer))
        single = shapely.get_num_geometries(placed) == 1  # a Polygon among MultiPolygons has become one
        placed[single] = shapely.get_geometry(placed[single], 0)
        odd = _leaves_the_map(lonlat, rings, placed)
        placed[odd] = [_folded(polygon) for polygon in placed[odd]]
        oriented: Geometries = shapely.orient_polygons(self._rounded(placed))
        return oriented

    def _transform(self, xy: Floats) -> Floats:
        lonlat = np.stack(self._transformer.transform(xy[:, 0], xy[:, 1]), axis=1)
        if not np.isfinite(lonlat).all():
            raise UnreachableError
        return lonlat

    def _bent(self, xy: Floats, rings: Integers) -> tuple[Floats, Integers]:
        """Transform vertices (V, 2), and add new ones on edges that are not straight in WGS84.

        Returns:
            Vertices in degrees, and the new offsets of the rings.
        """
        lonlat = self._transform(xy)
        edge = np.ones(len(xy), dtype=bool)
        edge[rings[1:] - 1] = False  # from the last vertex of a ring to the first of the next
        edge[:-1] &= np.hypot(*np.diff(xy, axis=0).T) > _SHORT_PX * self._pixel_size
        for _ in range(_MAX_HALVINGS):
            at = np.flatnonzero(edge)
            middle_xy = (xy[at] + xy[at + 1]) / 2
            middle = self._transform(middle_xy)
            off = _distance_m(middle, _halfway(lonlat[at], lonlat[at + 1])) > _BEND_PX * self._pixel_m
            if not off.any():
                break
            new = at[off] + 1
            xy, lonlat = np.insert(xy, new, middle_xy[off], axis=0), np.insert(lonlat, new, middle[off], axis=0)
            rings = rings + np.searchsorted(new, rings, side="left")
            placed = new + np.arange(len(new))
            edge = np.zeros(len(xy), dtype=bool)
            edge[placed] = edge[placed - 1] = True
        return lonlat, rings

    def _rounded(self, polygons: Geometries) -> Geometries:
        """Round to as few decimals as the precision needs, and to more where a polygon would become invalid."""
        rounded = _round(polygons, self._decimals)
        broken = np.flatnonzero(~shapely.is_valid(rounded))
        for decimals in range(self._decimals + 1, _ALL_DECIMALS + 1):
            if not len(broken):
                break
            rounded[broken] = _round(polygons[broken], decimals)
            broken = broken[~shapely.is_valid(rounded[broken])]
        return rounded


def _round(polygons: Geometries, decimals: int) -> Geometries:
    rounded: Geometries = shapely.transform(polygons, lambda xy: np.round(xy, decimals) + 0.0)  # + 0.0: no "-0.0"
    return rounded


def _halfway(start: Floats, end: Floats) -> Floats:
    return start + np.stack([_short_way(end[:, 0] - start[:, 0]), end[:, 1] - start[:, 1]], axis=1) / 2


def _short_way(degrees: Floats) -> Floats:
    """Return differences of longitude along the shorter way, -180 .. 180 degrees."""
    return degrees - 360.0 * np.round(degrees / 360.0)


def _distance_m(a: Floats, b: Floats) -> Floats:
    """Compute the chords (N,) in metres between points (N, 2), which are their distances if they are close."""
    difference = _on_sphere(a) - _on_sphere(b)
    return _RADIUS_M * np.hypot(np.hypot(difference[:, 0], difference[:, 1]), difference[:, 2])


def _on_sphere(lonlat: Floats) -> Floats:
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _leaves_the_map(lonlat: Floats, rings: Integers, placed: Geometries) -> BoolArray:
    """Test which polygons (N,) have a vertex beyond 180 degrees or on a pole, or an edge over the antimeridian.

    Args:
        lonlat: vertices (V, 2) of all polygons, degrees.
        rings: offsets of their rings in `lonlat`.
        placed: the polygons.
    """
    odd = (np.abs(lonlat[:, 0]) > 180) | (np.abs(lonlat[:, 1]) > 90 - _POLE_DEG)
    jump = np.abs(np.diff(lonlat[:, 0])) > 180
    jump[rings[1:-1] - 1] = False  # the step from one ring to the next is no edge
    odd[:-1] |= jump
    per_polygon = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(placed))])
    counts = np.concatenate([[0], np.cumsum(odd)])[per_polygon]
    return np.asarray(np.diff(counts) > 0)


def _folded(polygon: shapely.Geometry) -> shapely.Geometry:
    """Fold a polygon whose rings jump at the antimeridian into -180 to 180."""
    parts = []
    for part in shapely.get_parts(polygon):
        shell = _fold(shapely.get_coordinates(part.exterior))
        holes = [_fold(shapely.get_coordinates(ring)[::-1]) for ring in part.interiors]
        parts.append(shapely.difference(shell, shapely.union_all(holes)))
    pieces = [p for p in shapely.get_parts(parts) if p.geom_type == "Polygon"]
    return pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)


def _fold(ring: Floats) -> shapely.Geometry:
    """Return the area on the left of a closed ring (M, 2), as polygons within -180 to 180."""
    lon, lat = _around_pole_vertices(ring).T
    lon = lon[0] + np.concatenate([[0.0], np.cumsum(_short_way(np.diff(lon)))])
    turn = round((lon[-1] - lon[0]) / 360)
    if turn:  # the area is on the left: around the north pole if the ring runs eastwards, else the south pole
        pole = math.copysign(90.0, turn)
        lon = np.concatenate([lon, [lon[-1], lon[0], lon[0]]])
        lat = np.concatenate([lat, [pole, pole, lat[0]]])
    lon -= 360.0 * math.floor((lon.min() + 180) / 360)
    area = shapely.make_valid(shapely.Polygon(np.stack([lon, lat], axis=1)))
    shifts = 360.0 * np.arange(math.ceil((lon.max() - 180) / 360) + 1)
    pieces = [
        shapely.transform(area & shapely.box(shift - 180, -90, shift + 180, 90), lambda xy, s=shift: xy - [s, 0.0])
        for shift in shifts
    ]
    return shapely.union_all(pieces)


def _around_pole_vertices(ring: Floats) -> Floats:
    """Replace every vertex on a pole by two: at the longitude of the vertex before, and of the vertex after."""
    at_pole = np.abs(ring[:, 1]) > 90 - _POLE_DEG
    if not at_pole.any():
        return ring
    points: list[list[float]] = []
    ring = np.roll(ring[:-1], -int(np.argmin(at_pole)), axis=0)
    at_pole = np.abs(ring[:, 1]) > 90 - _POLE_DEG
    for i, (lon, lat) in enumerate(ring):
        if at_pole[i]:
            before, after = ring[i - 1, 0], ring[(i + 1) % len(ring), 0]
            points += [[before, lat], [after, lat]]
        else:
            points.append([lon, lat])
    return np.array([*points, points[0]])
