"""PolygonLayer: polygons read from any vector file, valid and two-dimensional, with what had to be done to them."""

from __future__ import annotations

import stat
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pyogrio
import shapely
from pyproj import CRS, Transformer

from geosam.errors import CRSMismatch, PromptError
from geosam.geobox import map_crs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Geometries = NDArray[np.object_]

_PARQUET = (".parquet", ".geoparquet")
_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


@dataclass(frozen=True, eq=False)
class PolygonLayer:
    """N polygons in one CRS."""

    polygons: Geometries
    """(N,) valid shapely Polygons and MultiPolygons, none empty, no Z."""
    crs: CRS
    """The CRS of their coordinates."""
    ids: NDArray[np.int64]
    """(N,) the column `id` where the layer has whole numbers there, else the feature numbers."""
    classes: tuple[str, ...] | None = None
    """N values of the column `class`, None without one."""
    source: str = "memory"
    """The file the polygons come from."""
    notes: tuple[str, ...] = ()
    """What was repaired or skipped, one sentence each."""

    @classmethod
    def of(cls, polygons: Sequence[Any] | Geometries, crs: Any, classes: Sequence[str] | None = None) -> PolygonLayer:
        """Valid polygons from memory, numbered from 0; `crs` is anything pyproj understands."""
        column = np.array(polygons, dtype=object).reshape(-1)
        return cls(column, map_crs(crs), np.arange(len(column)), None if classes is None else tuple(classes))

    def __len__(self) -> int:
        return len(self.polygons)

    def select(self, rows: NDArray[np.bool_]) -> PolygonLayer:
        """The rows marked in a boolean column (N,)."""
        classes = None if self.classes is None else tuple(np.array(self.classes, object)[rows])
        return replace(self, polygons=self.polygons[rows], ids=self.ids[rows], classes=classes)

    def to_crs(self, crs: CRS) -> PolygonLayer:
        """The same polygons, vertex by vertex, in another CRS.

        Raises:
            CRSMismatch: there is no way from one CRS to the other, or a vertex has no place in the other.
        """
        if self.crs == crs:
            return self
        try:
            transformer = Transformer.from_crs(self.crs, crs, always_xy=True)
        except Exception as error:
            raise CRSMismatch(
                f"the polygons cannot be reprojected: {self.source}: found {self.crs.name!r}, wanted a CRS that "
                f"reaches {crs.name!r}. Give both layers one CRS."
            ) from error
        polygons = shapely.transform(self.polygons, transformer.transform, interleaved=False)
        wrong = ~_finite(polygons)
        if wrong.any():
            raise CRSMismatch(
                f"polygons have no place in {crs.name!r}: {self.source}, feature {self.ids[wrong][0]}: its coordinates "
                f"do not fit {self.crs.name!r}. Check the CRS the file declares."
            )
        return replace(self, polygons=_repaired(polygons), crs=crs)


def read_polygons(path: str | Path, layer: str | None = None) -> PolygonLayer:
    """Read the polygons of a vector file: any format GDAL reads, and GeoParquet.

    Features without geometry are skipped, invalid polygons repaired; both are told in `notes`.

    Raises:
        PromptError: the file is missing, damaged, has no such layer, or holds something other than polygons.
        CRSMismatch: the layer has no CRS, or coordinates that do not fit it.
    """
    source = Path(path)
    _check_file(source)
    table = _read_parquet(source, layer) if source.suffix.lower() in _PARQUET else _read_ogr(source, layer)
    polygons = shapely.force_2d(np.asarray(table.geometry.array, dtype=object))
    ids = table["id"] if "id" in table and table["id"].dtype.kind in "iu" else table.index
    classes = tuple(table["class"].fillna("").astype(str)) if "class" in table else None
    if table.crs is None:
        raise CRSMismatch(
            f"the layer has no CRS: {source}: found coordinates only, wanted a declared CRS. "
            "Assign it in a GIS, or with ogr2ogr -a_srs."
        )
    found = PolygonLayer(polygons, map_crs(table.crs), np.asarray(ids, np.int64), classes, str(source))
    return _checked(found)


def _check_file(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PromptError(
                f"the vector layer cannot be read: {path}: not a regular file, wanted one. Check the path."
            )
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        found = (error.strerror or "cannot be opened").lower()
        raise PromptError(f"the vector layer cannot be read: {path}: {found}. Check the path.") from error
    if b"<OGRVRTDataSource" in start:  # it would read other files, under any name
        raise PromptError(
            f"a virtual layer is not read: {path}: found an OGR VRT, wanted data. Convert it with ogr2ogr."
        )


def _read_ogr(path: Path, layer: str | None) -> geopandas.GeoDataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
            if layer is not None or len(names) == 1:
                name = _known_layer(path, layer, names)
                return pyogrio.read_dataframe(path, layer=name, columns=["id", "class"], fid_as_index=True)
    except PromptError:
        raise
    except Exception as error:  # GDAL's readers raise IndexError, UnicodeDecodeError and more besides their own
        raise _unreadable(path, error) from error
    found = f"found {', '.join(names)}" if names else "found none"
    raise PromptError(f"the layer to read is not clear: {path}: {found}, wanted one layer of polygons. Pass --layer.")


def _known_layer(path: Path, layer: str | None, names: list[str]) -> str:
    if layer is not None and layer not in names:
        raise PromptError(f"no such layer: {path}, layer {layer}: found {', '.join(names)}. Pass one of them.")
    return layer or names[0]


def _read_parquet(path: Path, layer: str | None) -> geopandas.GeoDataFrame:
    if layer is not None:
        raise PromptError(f"no such layer: {path}, layer {layer}: a GeoParquet file has none. Leave --layer out.")
    try:
        return geopandas.read_parquet(path)
    except Exception as error:  # pyarrow's errors have no common base
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> PromptError:
    cause = " ".join(str(error).split())[:120]
    return PromptError(
        f"the vector layer cannot be read: {path}: found a damaged file or an unknown format ({cause}), "
        "wanted a GeoPackage, GeoJSON, shapefile, GeoParquet or the like. Check it in a GIS."
    )


def _checked(layer: PolygonLayer) -> PolygonLayer:
    """The layer without features that have no geometry or no area, and with the invalid ones repaired."""
    kinds = shapely.get_type_id(layer.polygons)
    blank = shapely.is_missing(layer.polygons) | shapely.is_empty(layer.polygons)
    _refuse(layer, ~blank & ~np.isin(kinds, _POLYGONAL), "not a polygon", "polygons only")
    _refuse(layer, ~blank & ~_finite(layer.polygons), "a coordinate that is not a number", "finite coordinates")
    if layer.crs.is_geographic:
        limits = shapely.bounds(layer.polygons)[~blank]
        if len(limits) and np.abs(limits).max() > 360:
            raise CRSMismatch(
                f"the coordinates do not fit the CRS: {layer.source}: found {np.abs(limits).max():.0f} as degrees, "
                f"wanted what {layer.crs.name!r} allows. Assign the right CRS, for example with ogr2ogr -a_srs."
            )
    valid = shapely.is_valid(layer.polygons) | blank
    polygons = _repaired(layer.polygons)
    kept = shapely.area(polygons) > 0
    notes = (*_note(layer, ~valid, "invalid", "repaired"), *_note(layer, ~kept, "empty", "skipped"))
    return replace(layer, polygons=polygons, notes=notes).select(kept)


def _refuse(layer: PolygonLayer, rows: NDArray[np.bool_], found: str, wanted: str) -> None:
    if rows.any():
        first = layer.ids[rows][0]
        raise PromptError(
            f"a feature cannot be used: {layer.source}, feature {first}: {found}, wanted {wanted}. Edit it."
        )


def _note(layer: PolygonLayer, rows: NDArray[np.bool_], what: str, done: str) -> list[str]:
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
    """What of each geometry (N,) has area: a Polygon or MultiPolygon, empty where nothing has."""
    result = geometries.copy()
    mixed = shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION
    for row in np.flatnonzero(mixed):
        parts = shapely.get_parts(shapely.get_parts(geometries[row]))
        result[row] = shapely.union_all(parts[np.isin(shapely.get_type_id(parts), _POLYGONAL)])
    result[shapely.get_dimensions(result) < 2] = shapely.Polygon()
    return result


def _finite(polygons: Geometries) -> NDArray[np.bool_]:
    coords, rows = shapely.get_coordinates(polygons, return_index=True)
    bad = rows[~np.isfinite(coords).all(axis=1)]
    return np.asarray(np.bincount(bad, minlength=len(polygons)) == 0)
