"""Outlines: the share of a layer's outlines that lies near another layer's outlines, in ground metres.

Outlines are cut into short pieces, and a piece is near if its middle is. Nothing is buffered, so the memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import shapely
from pyproj import CRS, Transformer

from geosam._arrays import Floats
from geosam.geometry.measure import metres_per_unit, reaches_wgs84

if TYPE_CHECKING:
    from geosam._arrays import Geometries

ToGround: TypeAlias = Callable[[Floats], Floats]
"""Function from coordinates (N, 2) of a CRS to ground metres (N, 2)."""

#: Segments of an arc. Arcs are short, so that a search tree finds the near parts of a long outline directly.
_SEGMENTS_PER_ARC = 32
#: Number of lines, and of pieces of lines, that are computed at once, which bounds the memory.
_LINES_AT_ONCE, _PIECES_AT_ONCE = 10_000, 500_000


def to_ground(crs: CRS, around: Geometries) -> ToGround:
    """Make a function from coordinates (N, 2) in `crs` to ground metres (N, 2).

    It uses the azimuthal equal-area projection around the middle of the geometries `around` (K,): within 500 km of the
    middle, lengths are true to 0.1 %. A CRS that cannot reach WGS84 is only scaled to metres.
    """
    bounds = shapely.total_bounds(around) if len(around) else np.full(4, np.nan)
    if np.isnan(bounds).any() or not reaches_wgs84(crs):
        unit = metres_per_unit(crs)
        return lambda xy: xy * unit
    middle = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    lon, lat = Transformer.from_crs(crs, CRS.from_epsg(4326), always_xy=True).transform(*middle)
    local = CRS.from_dict({"proj": "laea", "lon_0": lon, "lat_0": lat, "datum": "WGS84", "units": "m"})
    transformer = Transformer.from_crs(crs, local, always_xy=True)
    return lambda xy: np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=1)


def arcs(outlines: Geometries, ground: ToGround) -> Geometries:
    """Cut outlines into short lines.

    Args:
        outlines: (N,) lines, or collections of lines and points, whose points are left out.
        ground: function to ground metres.

    Returns:
        Lines (M,) of at most 32 segments, in ground metres.
    """
    lines: Geometries = shapely.get_parts(shapely.get_parts(outlines))
    lines = lines[shapely.get_dimensions(lines) == 1]
    batches = range(0, len(lines), _LINES_AT_ONCE)
    return np.concatenate([lines[:0], *(_arcs(lines[start : start + _LINES_AT_ONCE], ground) for start in batches)])


def _arcs(lines: Geometries, ground: ToGround) -> Geometries:
    coords, line = shapely.get_coordinates(lines, return_index=True)
    first = np.flatnonzero(line[1:] == line[:-1])  # a segment leads from vertex first[i] to the next one
    number = first - np.searchsorted(line, line[first])  # of the segment in its line
    ends_arc = number % _SEGMENTS_PER_ARC == _SEGMENTS_PER_ARC - 1
    ends_arc |= np.append(np.diff(first) > 1, True)  # the last segment of a line
    arc = np.cumsum(ends_arc) - ends_arc
    vertices, owner = np.append(first, first[ends_arc] + 1), np.append(arc, arc[ends_arc])
    order = np.lexsort((vertices, owner))
    result: Geometries = shapely.linestrings(ground(coords[vertices[order]]), indices=owner[order])
    return result


def near_share(lines: Geometries, others: Geometries, tolerance: float) -> float | None:
    """Compute the share of the length of `lines` that lies within a distance of `others`.

    At each end of a near part the length is wrong by at most half the tolerance, too long as often as too short.

    Args:
        lines: (N,) lines in metres.
        others: (M,) lines in metres.
        tolerance: the distance in metres.

    Returns:
        The share, 0 .. 1; None if there is no line.
    """
    tree, near, total = shapely.STRtree(others), 0.0, 0.0
    for middles, lengths in _pieces(lines, tolerance):
        rows = np.unique(tree.query(shapely.points(middles), predicate="dwithin", distance=tolerance)[0])
        near, total = near + float(lengths[rows].sum()), total + float(lengths.sum())
    return near / total if total else None


def _pieces(lines: Geometries, longest: float) -> Iterator[tuple[Floats, Floats]]:
    """Yield middles (K, 2) and lengths (K,) of pieces of the lines, a batch at a time."""
    pieces = np.cumsum(shapely.length(lines) / longest + shapely.get_num_coordinates(lines))
    batches = np.unique(pieces // _PIECES_AT_ONCE, return_index=True)[1]
    for batch in np.split(lines, batches[1:]):
        coords, line = shapely.get_coordinates(shapely.segmentize(batch, longest), return_index=True)
        same = line[1:] == line[:-1]
        here, there = coords[:-1][same], coords[1:][same]
        yield (here + there) / 2, np.hypot(*(there - here).T)
