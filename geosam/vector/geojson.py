"""GeoJSON (RFC 7946): longitude and latitude in WGS84, one feature per line, in the order of the features."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import shapely

from geosam.errors import ExportError
from geosam.vector.schema import GEOMETRY, geometries_of
from geosam.vector.wgs84 import WGS84, ToWgs84, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from pyproj import CRS

    from geosam._arrays import Geometries
    from geosam.vector.schema import Features, Target

#: Beginning of a line with a feature, and the last line; :func:`facts` counts and checks them.
_FEATURE = '{"type": "Feature", "properties": '
_END = "]}\n"
#: Most characters of the first line that are searched for the provenance.
_HEAD = 1 << 24


def write(folder: Path, features: Features) -> list[Path]:
    """Write a FeatureCollection with the foreign members "name" and "provenance" before its features.

    The format has no schema: an empty result keeps its CRS and its provenance, not its columns.

    Returns:
        The file.
    """
    path, target = folder / "result.geojson", features.target
    to_wgs84 = ToWgs84(target.crs, target.pixel_size)
    head = {"type": "FeatureCollection", "name": target.layer, "provenance": target.provenance}
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_dumps(head)[:-1] + ', "features": [\n')  # [:-1]: without the closing brace
        separator = ""
        for batch in features.renamed():
            geometries = _geojson(to_wgs84, batch, target)
            for geometry, row in zip(geometries, batch.drop_columns([GEOMETRY]).to_pylist(), strict=True):
                file.write(f'{separator}{_FEATURE}{_dumps(row)}, "geometry": {geometry}}}')
                separator = ",\n"
        file.write("\n" * bool(separator) + _END)
    return [path]


def facts(path: Path, _layer: str) -> tuple[int, CRS | None]:
    """Count the features line by line; the count is 0 if the end of the file is missing. The CRS is WGS84."""
    count, line = 0, b""
    with path.open("rb") as file:
        for line in file:
            count += line.startswith(_FEATURE.encode())
    return count if line == _END.encode() else 0, WGS84


def provenance(path: Path) -> dict[str, Any] | None:
    """Read the foreign member "provenance" from the first line, where geosam writes it."""
    with path.open(encoding="utf-8") as file:
        head = file.readline(_HEAD)
    try:
        member = json.loads(head.rstrip().removesuffix("]}") + "]}").get("provenance")
    except (ValueError, AttributeError):  # a file of another program
        return None
    return dict(member) if isinstance(member, dict) else None


def _geojson(to_wgs84: ToWgs84, batch: pa.RecordBatch, target: Target) -> Geometries:
    """Return the geometries (N,) of a batch as GeoJSON texts in WGS84."""
    try:
        polygons = to_wgs84(geometries_of(batch))
    except UnreachableError:
        raise ExportError(
            f"features have no longitude and latitude: {target.path}: found coordinates outside the area of "
            f"{target.crs.name!r}, expected coordinates inside it.",
            remedy="Choose GeoPackage (.gpkg), or check the scene's CRS.",
            code="features-outside-crs",
            crs=target.crs.name,
        ) from None
    texts: Geometries = shapely.to_geojson(polygons)
    return texts


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_iso)


def _iso(value: dt.date | dt.datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
