"""Parts of a prompt: a caller's CRS, points, labels, box and mask, converted and checked."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from geosam.errors import CRSMismatch, EmptyPrompt, PromptError
from geosam.geometry.geobox import map_crs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from geosam._arrays import Floats, PointLabels


def known_crs(crs: Any, source: str) -> CRS:
    """Return a CRS that is given in any form; refuse one that PROJ does not know.

    Args:
        crs: text ("EPSG:32633", WKT, PROJ), EPSG number, or a CRS of pyproj or rasterio.
        source: place where it was given, for the message.

    Raises:
        PromptError: PROJ does not know it.
    """
    if isinstance(crs, CRS):
        return crs
    try:
        # Only texts and numbers are cached: other descriptions may not be hashable.
        return _parsed_crs(crs) if isinstance(crs, str | int) else map_crs(crs)
    except (CRSError, TypeError):
        raise PromptError(
            f"unknown CRS: {source}: found {str(crs)[:80]!r}, expected EPSG:... or WKT.",
            remedy='Write for example "EPSG:4326" for longitude and latitude.',
            code="unknown-crs",
            crs=str(crs)[:80],
        ) from None


@lru_cache(maxsize=64)
def _parsed_crs(crs: str | int) -> CRS:
    return map_crs(crs)


def stated_crs(crs: Any, source: str) -> CRS:
    """Return a CRS in any form; refuse a missing one."""
    if crs is None:
        raise CRSMismatch(
            f"a prompt has no CRS: {source}: found coordinates only, expected the CRS they are in.",
            remedy='Give `crs`, for example "EPSG:4326" for longitude and latitude.',
            code="prompt-without-crs",
        )
    return known_crs(crs, source)


def _numbers(values: ArrayLike, what: str, source: str) -> Floats:
    """Return an array of float64; refuse text and ragged lists."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise PromptError(
            f"{what} are not numbers: {source}: found {str(values)[:80]}, expected numbers.",
            remedy="Correct them.",
            code="prompt-not-numbers",
        ) from None


def points_of(points_xy: ArrayLike, source: str) -> Floats:
    """Return points as a (K, 2) array of finite coordinates."""
    xy = _numbers(points_xy, "points", source)
    if xy.size == 0:
        return np.empty((0, 2))
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise PromptError(
            f"points are not pairs: {source}: found an array of shape {xy.shape}, expected (K, 2).",
            remedy="Write points_xy=[[x, y], ...], also for one point.",
            code="points-not-pairs",
        )
    if not np.isfinite(xy).all():
        bad = xy[~np.isfinite(xy).all(axis=1)][0].tolist()
        raise not_finite(source, bad)
    return xy


def labels_of(labels: ArrayLike, source: str) -> PointLabels:
    """Return labels as a (K,) array of 0 and 1."""
    # An array is not converted: labels of a million points in int8 need no copy.
    values = labels if isinstance(labels, np.ndarray) else _numbers(labels, "labels", source)
    unknown = (values != 0) & (values != 1)
    if unknown.any():
        raise PromptError(
            f"unknown label: {source}: found {values[unknown].flat[0]:g}, expected 1 (include) or 0 (exclude).",
            code="unknown-label",
        )
    return values.astype(np.int8, copy=False).reshape(-1)


def box_of(box_xyxy: Sequence[float], source: str) -> tuple[float, float, float, float]:
    """Return a box as (xmin, ymin, xmax, ymax), finite and with an area."""
    values = _numbers(box_xyxy, "corners of the box", source)
    if values.shape != (4,):
        raise PromptError(
            f"a box has other than four numbers: {source}: found {values.size}, expected xmin, ymin, xmax, ymax.",
            code="box-not-four-numbers",
        )
    xmin, ymin, xmax, ymax = values.tolist()
    box = (xmin, ymin, xmax, ymax)
    if not np.isfinite(box).all():
        raise not_finite(source, f"box {box}")
    if not (xmin < xmax and ymin < ymax):
        raise EmptyPrompt(
            f"the box has no area: {source}: found {box}, expected xmin < xmax and ymin < ymax.",
            remedy="Correct it.",
            code="box-without-area",
        )
    return box


def not_finite(source: str, place: Any) -> PromptError:
    """Make the error about coordinates that are infinite or NaN."""
    return PromptError(
        f"coordinates are not finite: {source}: found {place}, expected finite numbers.",
        remedy="Correct them.",
        code="prompt-not-finite",
    )


def check_mask(mask: Any, source: str) -> None:
    """Refuse a mask that is no valid shapely Polygon or MultiPolygon, or has no area.

    Raises:
        PromptError: the mask is something else.
        EmptyPrompt: the polygon is not valid or has no area.
    """
    kind = shapely.get_type_id(mask) if isinstance(mask, shapely.Geometry) else None
    if kind not in {shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON}:
        found = type(mask).__name__ if kind is None else mask.geom_type
        raise PromptError(
            f"not a mask: {source}: found {found}, expected a Polygon or MultiPolygon of shapely.",
            code="not-a-mask",
        )
    if not (shapely.is_valid(mask) and shapely.area(mask) > 0):
        raise EmptyPrompt(
            f"the polygon has no area or is not valid: {source}: found {shapely.is_valid_reason(mask)}, expected a "
            "valid polygon with an area.",
            remedy="Repair the polygon.",
            code="mask-without-area",
        )
