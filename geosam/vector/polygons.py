"""Polygon layers: valid polygons without heights, from any vector file or table."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import shapely
from pyproj import CRS, Transformer

from geosam.errors import CRSMismatch, PromptError, UsageError
from geosam.geometry.geobox import map_crs
from geosam.geometry.polygons import POLYGONAL
from geosam.vector.frame import is_frame, table_of_frame
from geosam.vector.reading import read_vector
from geosam.vector.table import VectorTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam._arrays import BoolArray, Geometries, Integers

#: Extensions of GeoParquet, which GDAL reads only in some builds.
_PARQUET = (".parquet", ".geoparquet")


@dataclass(frozen=True, eq=False)
class PolygonLayer:
    """N polygons in one CRS."""

    polygons: Geometries
    """(N,) valid shapely Polygons and MultiPolygons, none empty, no Z."""
    crs: CRS
    """CRS of their coordinates."""
    ids: Integers
    """(N,) values of the column `id` if they are whole numbers, else the feature numbers."""
    classes: tuple[str, ...] | None = None
    """N values of the column `class`; None without one."""
    source: str = "memory"
    """File and layer of the polygons, for messages."""
    notes: tuple[str, ...] = ()
    """Repairs and omissions, one sentence each."""

    @classmethod
    def of(cls, polygons: Sequence[Any] | Geometries, crs: Any, classes: Sequence[str] | None = None) -> PolygonLayer:
        """Make a layer of polygons in memory, numbered from 0.

        Args:
            polygons: N valid shapely Polygons and MultiPolygons.
            crs: their CRS, in any form that pyproj takes.
            classes: N class names.
        """
        column = np.array(polygons, dtype=object).reshape(-1)
        return cls(column, map_crs(crs), np.arange(len(column)), None if classes is None else tuple(classes))

    def __len__(self) -> int:
        return len(self.polygons)

    def select(self, rows: BoolArray) -> PolygonLayer:
        """Return a layer of the rows that are True in `rows` (N,)."""
        classes = None if self.classes is None else tuple(np.array(self.classes, object)[rows])
        return replace(self, polygons=self.polygons[rows], ids=self.ids[rows], classes=classes)

    def to_crs(self, crs: CRS) -> PolygonLayer:
        """Transform the polygons, vertex by vertex, to another CRS.

        Raises:
            CRSMismatch: PROJ cannot transform one CRS to the other, or a vertex has no place in the other.
        """
        if self.crs == crs:
            return self
        try:
            transformer = Transformer.from_crs(self.crs, crs, always_xy=True)
        except Exception as error:
            raise CRSMismatch(
                f"the polygons cannot be reprojected: {self.source}: found {self.crs.name!r}, expected a CRS that "
                f"reaches {crs.name!r}.",
                remedy="Give both layers one CRS.",
                code="polygons-crs-unreachable",
            ) from error
        polygons = shapely.transform(self.polygons, transformer.transform, interleaved=False)
        wrong = ~_finite(polygons)
        if wrong.any():
            raise CRSMismatch(
                f"polygons have no place in {crs.name!r}: {self.source}, feature {self.ids[wrong][0]}: found "
                f"coordinates that do not fit {self.crs.name!r}, expected coordinates inside its area.",
                remedy="Check the CRS that the file declares.",
                code="polygons-without-place",
            )
        return replace(self, polygons=_repaired(polygons), crs=crs)


def read_polygons(path: str | Path, layer: str | None = None) -> PolygonLayer:
    """Read the polygons of a vector file: GeoPackage, GeoJSON, shapefile, FlatGeobuf, KML or GeoParquet.

    Features without geometry or area are skipped, and invalid polygons are repaired; `notes` lists both.

    Raises:
        PromptError: the file is missing, damaged, has no such layer, or holds something other than polygons.
        CRSMismatch: the layer has no CRS, or coordinates that do not fit it.
    """
    is_parquet = Path(path).suffix.lower() in _PARQUET
    table, notes = _read_parquet(Path(path), layer) if is_parquet else read_vector(path, layer=layer)
    return _layer(table, notes)


def polygons_of(value: Any, layer: str | None = None, *, name: str = "polygons") -> PolygonLayer:
    """Return the polygons of a file, a table or a layer.

    Args:
        value: a path, a GeoDataFrame or GeoSeries with a CRS, or a PolygonLayer.
        layer: layer of the file, if it has several.
        name: name of the value in messages.

    Raises:
        PromptError: as :func:`read_polygons`.
        CRSMismatch: as :func:`read_polygons`.
        UsageError: the value is something else.
    """
    if isinstance(value, PolygonLayer):
        return value
    if isinstance(value, str | os.PathLike):
        return read_polygons(os.fspath(value), layer)
    if is_frame(value):
        return _layer(*table_of_frame(value, f"the table `{name}`"))
    raise UsageError(
        f"`{name}` cannot be used as polygons: found {type(value).__name__}, expected a path, a GeoDataFrame or "
        "GeoSeries, or a PolygonLayer.",
        remedy="Write the path of a vector file, or PolygonLayer.of(polygons, crs).",
        code="not-polygons",
        found=type(value).__name__,
    )


def _layer(table: VectorTable, notes: list[str]) -> PolygonLayer:
    if table.crs is None:
        raise CRSMismatch(
            f"the layer has no CRS: {table.place}: found coordinates only, expected a declared CRS.",
            remedy="Assign it in a GIS, or with ogr2ogr -a_srs.",
            code="polygons-without-crs",
        )
    ids = table.columns.get("id", [None])
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in ids)
    classes = (
        tuple("" if value is None else str(value) for value in table.columns["class"])
        if "class" in table.columns
        else None
    )
    numbers = np.asarray(ids if whole else table.fids, np.int64)
    crs = map_crs(table.crs)
    return _checked(PolygonLayer(table.geometries, crs, numbers, classes, table.place, tuple(notes)))


def _read_parquet(path: Path, layer: str | None) -> tuple[VectorTable, list[str]]:
    if layer is not None:
        raise PromptError(
            f"no such layer: {path}, layer {layer}: found a GeoParquet file, which has no layers.",
            remedy="Leave `layer` out.",
            code="parquet-has-no-layers",
            layer=layer,
        )
    if not path.is_file():  # pyarrow would read a folder as one table, and wait for a pipe
        raise PromptError(
            f"the layer cannot be read: {path}: found no such regular file, expected one.",
            remedy="Check the path.",
            code="layer-missing",
        )
    try:
        frame = geopandas.read_parquet(path)
    except Exception as error:  # pyarrow's errors have no common base
        cause = " ".join(str(error).split())[:160].rstrip(".")
        raise PromptError(
            f"the layer cannot be read: {path}: found {cause}, expected a complete GeoParquet file.",
            remedy="Write it again.",
            code="parquet-damaged",
        ) from error
    columns = {name: frame[name].tolist() for name in ("id", "class") if name in frame}
    geometries = shapely.force_2d(np.asarray(frame.geometry.array, dtype=object))
    return VectorTable(str(path), frame.crs, np.arange(len(frame)), geometries, columns), []


def _checked(layer: PolygonLayer) -> PolygonLayer:
    """Drop features without geometry or area, and repair invalid ones."""
    kinds = shapely.get_type_id(layer.polygons)
    blank = shapely.is_missing(layer.polygons) | shapely.is_empty(layer.polygons)
    _refuse(layer, ~blank & ~np.isin(kinds, POLYGONAL), "no polygon", "polygons only")
    _refuse(layer, ~blank & ~_finite(layer.polygons), "a coordinate that is not a number", "finite coordinates")
    if layer.crs.is_geographic:
        limits = shapely.bounds(layer.polygons)[~blank]
        if len(limits) and np.abs(limits).max() > 360:  # metres that are declared as degrees
            raise CRSMismatch(
                f"the coordinates do not fit the CRS: {layer.source}: found {np.abs(limits).max():.0f} as degrees, "
                f"expected numbers that {layer.crs.name!r} allows.",
                remedy="Assign the right CRS, for example with ogr2ogr -a_srs.",
                code="polygons-crs-mismatch",
            )
    valid = shapely.is_valid(layer.polygons) | blank
    polygons = _repaired(layer.polygons)
    kept = shapely.area(polygons) > 0
    notes = (*layer.notes, *_note(layer, ~valid, "invalid", "repaired"), *_note(layer, ~kept, "empty", "skipped"))
    return replace(layer, polygons=polygons, notes=notes).select(kept)


def _refuse(layer: PolygonLayer, rows: BoolArray, found: str, expected: str) -> None:
    if rows.any():
        first = layer.ids[rows][0]
        raise PromptError(
            f"a feature cannot be used: {layer.source}, feature {first}: found {found}, expected {expected}.",
            remedy="Correct or remove it.",
            code="feature-unusable",
            feature=int(first),
        )


def _note(layer: PolygonLayer, rows: BoolArray, what: str, done: str) -> list[str]:
    if not rows.any():
        return []
    count = np.count_nonzero(rows)
    return [f"{layer.source}: {count} {what} polygons were {done}, the first is feature {layer.ids[rows][0]}"]


def _repaired(polygons: Geometries) -> Geometries:
    valid = shapely.is_valid(polygons) | shapely.is_missing(polygons)
    result = polygons.copy()
    result[~valid] = polygon_part(shapely.make_valid(polygons[~valid]))
    return result


def polygon_part(geometries: Geometries) -> Geometries:
    """Return the part of each geometry (N,) that has an area: a Polygon or MultiPolygon, which may be empty."""
    result = geometries.copy()
    mixed = shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION
    for row in np.flatnonzero(mixed):
        parts = shapely.get_parts(shapely.get_parts(geometries[row]))
        result[row] = shapely.union_all(parts[np.isin(shapely.get_type_id(parts), POLYGONAL)])
    result[shapely.get_dimensions(result) < 2] = shapely.Polygon()
    return result


def _finite(polygons: Geometries) -> BoolArray:
    """Test which polygons (N,) have finite coordinates only."""
    coords, rows = shapely.get_coordinates(polygons, return_index=True)
    bad = rows[~np.isfinite(coords).all(axis=1)]
    return np.asarray(np.bincount(bad, minlength=len(polygons)) == 0)
