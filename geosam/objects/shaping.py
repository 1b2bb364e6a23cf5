"""Polygons and columns of finished objects: holes, simplification, place on the map, measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import shapely

from geosam.geometry.measure import areas_perimeters
from geosam.geometry.polygons import fill_holes, place, polygonize, simplify_alone
from geosam.segmenters.segmenter import class_names, classes_of
from geosam.vector.schema import Column

if TYPE_CHECKING:
    from geosam._arrays import Geometries
    from geosam.geometry.geobox import GeoBox
    from geosam.objects.scene_object import SceneObject
    from geosam.segmenters.segmenter import Segmenter

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
#: Columns of a segmenter that declares classes; other outputs do not have them.
CLASS_COLUMNS = (Column("class", "text", "class"), Column("class_score", "float", "class_scor"))


def columns_of(segmenter: Segmenter) -> tuple[Column, ...]:
    """Return the columns of an output made with a segmenter, without those of prompts."""
    return COLUMNS if classes_of(segmenter) is None else (*COLUMNS, *CLASS_COLUMNS)


@dataclass(frozen=True)
class Shaping:
    """Options for the shape of finished objects; lengths in metres and areas in square metres on the ground."""

    layout: Literal["overlapping", "planar"] = "overlapping"
    """`overlapping` for objects as they are, `planar` for objects without overlaps and with shared borders."""
    min_area_m2: float = 0.0
    """Smallest area of an object; smaller ones are left out."""
    simplify_m: float = 0.0
    """Tolerance of the simplification; 0 for none."""
    fill_holes_m2: float = 0.0
    """Largest area of holes that are filled."""


def features(
    objects: Sequence[SceneObject],
    geobox: GeoBox,
    gsd_xy: tuple[float, float],
    shaping: Shaping,
    *,
    segmenter: Segmenter,
) -> tuple[Geometries, dict[str, list[Any]]]:
    """Return polygons and columns of objects, as in an output file with the `overlapping` layout; small ones stay.

    Returns:
        Polygons (N,) in the CRS of `geobox`, shells counterclockwise; and the columns of :func:`columns_of` without
        `id`, with N values each.
    """
    polygons, columns = on_map(objects, outlines(objects, gsd_xy, shaping), geobox, segmenter)
    return shapely.orient_polygons(polygons), columns


def on_map(
    objects: Sequence[SceneObject], polygons: Geometries, geobox: GeoBox, segmenter: Segmenter
) -> tuple[Geometries, dict[str, list[Any]]]:
    """Place polygons (N,) from scene pixels on the map, and return them with their columns (without `id`)."""
    placed = place(polygons, geobox)
    areas, perimeters = areas_perimeters(placed, geobox.crs)
    # Six digits: networks compute in single precision or less.
    columns: dict[str, list[Any]] = {
        "score": [round(item.score, 6) for item in objects],
        "stability": [round(item.stability, 6) for item in objects],
        "area_m2": areas.tolist(),
        "perimeter_m": perimeters.tolist(),
        "model": [segmenter.spec.name] * len(objects),
        "n_tiles": [item.n_tiles for item in objects],
        "touches_edge": [item.touches_edge for item in objects],
        "truncated": [item.truncated for item in objects],
    }
    names = class_names(segmenter, [item.class_id for item in objects])
    if names is not None:
        columns["class"] = names
        columns["class_score"] = [_rounded(item.class_score) for item in objects]
    return placed, columns


def _rounded(probability: float) -> float | None:
    return None if math.isnan(probability) else round(probability, 6)


def outlines(objects: Sequence[SceneObject], gsd_xy: tuple[float, float], shaping: Shaping) -> Geometries:
    """Return polygons (N,) of objects in scene pixels, each filled and simplified alone."""
    tolerance_px, fill_px = in_pixels(gsd_xy, shaping)
    # Holes first, because simplification changes their areas.
    return simplify_alone(fill_holes(polygonize([item.corners for item in objects]), fill_px), tolerance_px)


def in_pixels(gsd_xy: tuple[float, float], shaping: Shaping) -> tuple[float, float]:
    """Return the tolerance of the simplification in pixels, and the area of filled holes in square pixels."""
    # One length for both axes: the side of a square with the area of a pixel.
    px_area = gsd_xy[0] * gsd_xy[1]
    return shaping.simplify_m / math.sqrt(px_area), shaping.fill_holes_m2 / px_area
