"""Sources of prompts: a file, a table, geometries, points or boxes become a list of prompts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import shapely

from geosam.errors import CRSMismatch, PromptError
from geosam.prompts.draft import Draft
from geosam.prompts.features import prompts_of_table
from geosam.prompts.from_draft import prompt_of
from geosam.prompts.parts import known_crs
from geosam.prompts.prompt import Prompt
from geosam.vector.frame import is_frame, table_of_frame
from geosam.vector.table import VectorTable

if TYPE_CHECKING:
    from pyproj import CRS

_EXPECTED = (
    "a path, a GeoDataFrame or GeoSeries, shapely geometries, (x, y) points, (xmin, ymin, xmax, ymax) boxes or Prompts"
)


def prompts_of(
    prompts: Any,
    *,
    crs: Any = None,
    scene_crs: Any = None,
    layer: str | None = None,
    polygons: Literal["box", "mask"] = "box",
    encoding: str | None = None,
) -> tuple[list[Prompt], list[str]]:
    """Make prompts of a file, a table, geometries, points, boxes, prompts or drafts.

    Examples::

        prompts_of("trees.gpkg")
        prompts_of(frame)                                          # a GeoDataFrame in any CRS
        prompts_of([(13.37, 52.52), (13.38, 52.51)], crs="EPSG:4326")
        prompts_of((500100, 4649800, 500200, 4649900), scene_crs=scene.crs)

    Args:
        prompts: one of the following.

            - A path: see :func:`~geosam.prompts.layer.read_prompts`.
            - A GeoDataFrame or GeoSeries: one object for each row. With a column `object_id`, its columns mean the same
              as the fields of a prompt layer. All further columns are copied to the result.
            - A shapely point or polygon, (x, y), (xmin, ymin, xmax, ymax), a `Prompt` or a `Draft`, or several of
              them: one object each, numbered from 1. `Prompt`s keep their ids if these differ.
        crs: CRS of coordinates that come without one: text, EPSG number, or a CRS of pyproj or rasterio.
        scene_crs: CRS of bare coordinates if `crs` is not given. Files and tables need one of their own.
        layer: name of the layer of a file with several.
        polygons: use of a polygon, if no field states it: its "box", or the polygon as a "mask".
        encoding: encoding of the text in a file that does not state it.

    Returns:
        The prompts, and warnings.

    Raises:
        PromptError: a value cannot be used as a prompt.
        CRSMismatch: coordinates have no CRS.
        UsageError: `polygons` or `encoding` is unknown.
    """
    stated = None if crs is None else known_crs(crs, "`prompt_crs`")
    if isinstance(prompts, str | os.PathLike):
        from geosam.prompts.layer import read_prompts  # noqa: PLC0415 - loads GDAL and geopandas, which take a second

        return read_prompts(os.fspath(prompts), layer=layer, crs=stated, polygons=polygons, encoding=encoding)
    if is_frame(prompts):
        table, left_out = table_of_frame(prompts)
        of_rows, warnings = prompts_of_table(_included(table) if prompts.ndim == 1 else table, stated, polygons)
        return of_rows, [*left_out, *warnings]
    items = _items(prompts)
    if not items:
        return [], ["no prompts: an empty list"]
    if stated is None and scene_crs is not None:
        stated = known_crs(scene_crs, "the scene")
    return _of_items(items, stated, polygons)


def _items(prompts: Any) -> list[Any]:
    """Return one item for each object."""
    if isinstance(prompts, Prompt | Draft | shapely.Geometry) or _is_numbers(prompts):
        return [prompts]
    # A mapping would give its keys, bytes would give numbers, and a DataFrame the names of its columns.
    if not isinstance(prompts, Iterable) or isinstance(prompts, bytes | dict) or hasattr(prompts, "columns"):
        raise PromptError(
            f"prompts cannot be understood: found {_described(prompts)}, expected {_EXPECTED}.",
            remedy='Make it a GeoDataFrame with geopandas.points_from_xy(x, y, crs="EPSG:4326").'
            if hasattr(prompts, "columns")
            else "",
            code="prompts-not-understood",
        )
    return list(prompts)


def _of_items(items: list[Any], crs: CRS | None, polygons: Literal["box", "mask"]) -> tuple[list[Prompt], list[str]]:
    # Geometries go through one table, as those of a file do: the same checks, repairs and warnings.
    shapes = {number: item for number, item in enumerate(items, 1) if isinstance(item, shapely.Geometry)}
    warnings: list[str] = []
    prompts: dict[int, Prompt] = {}
    if shapes:
        column = np.empty(len(shapes), object)
        column[:] = list(shapes.values())
        numbers = np.array(list(shapes), np.int64)
        table = VectorTable("prompts", _required(crs), numbers, shapely.force_2d(column), {})
        of_shapes, warnings = prompts_of_table(_included(table), crs, polygons)
        prompts = {cast("int", prompt.id): prompt for prompt in of_shapes}
    for number, item in enumerate(items, 1):
        if number not in shapes:
            prompts[number] = _of_item(item, number, crs)
    return _distinct([prompts[number] for number in sorted(prompts)], warnings)


def _of_item(item: Any, number: int, crs: CRS | None) -> Prompt:
    source = f"prompt {number}"
    if isinstance(item, Prompt):
        return item
    if isinstance(item, Draft):
        return prompt_of(item, number, source=source, crs=crs)
    if _is_numbers(item):
        if len(item) == 2:
            return Prompt(number, _required(crs), [item], source=source)
        return Prompt(number, _required(crs), box_xyxy=item, source=source)
    raise PromptError(
        f"prompts cannot be understood: {source}: found {_described(item)}, expected {_EXPECTED}.",
        remedy="Give several points of one object as Prompt(points_xy=..., labels=...).",
        code="prompts-not-understood",
    )


def _distinct(prompts: list[Prompt], warnings: list[str]) -> tuple[list[Prompt], list[str]]:
    """Number the prompts from 1 if two have the same id, which must name one object in the result."""
    ids = [prompt.id for prompt in prompts]
    if len(set(ids)) == len(ids):
        return prompts, warnings
    if set(ids) != {1}:  # 1 is the default of an id, so no choice of the user is lost
        warnings = [*warnings, "prompts share ids, so they were numbered from 1"]
    return [replace(prompt, id=number) for number, prompt in enumerate(prompts, 1)], warnings


def _included(table: VectorTable) -> VectorTable:
    """Label the points of bare geometries, so that there is no warning about a column that they cannot have."""
    points = shapely.get_dimensions(table.geometries) == 0
    return replace(table, columns={"label": [1] * len(points)}) if points.any() else table


def _required(crs: CRS | None) -> CRS:
    if crs is None:
        raise CRSMismatch(
            "the prompts have no CRS: found coordinates only, expected the CRS they are in.",
            remedy='Give `prompt_crs`, for example "EPSG:4326" for longitude and latitude.',
            code="prompts-without-crs",
        )
    return crs


def _is_numbers(item: Any) -> bool:
    """Return True for two or four numbers: a point or a box."""
    return (
        isinstance(item, tuple | list | np.ndarray)
        and len(item) in {2, 4}
        and all(isinstance(number, Real) and not isinstance(number, bool | np.bool_) for number in item)
    )


def _described(item: Any) -> str:
    return f"{str(item)[:60]!r} of type {type(item).__name__}"
