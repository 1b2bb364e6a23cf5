"""Formats that geosam writes, by file extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geosam.errors import UnknownFormat
from geosam.vector import flatgeobuf, gdal, geojson, geopackage, parquet, shapefile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyproj import CRS

    from geosam.vector.schema import Features


def _no_files(_path: Path) -> list[Path]:
    return []


def _no_content(_path: Path, _layer: str) -> list[str]:
    return []


@dataclass(frozen=True)
class Format:
    """One output format."""

    name: str
    """Name in messages."""
    write: Callable[[Path, Features], list[Path]]
    """Function that writes features into a folder as `result.*` and returns the files, the output itself last."""
    facts: Callable[[Path, str], tuple[int, CRS | None]]
    """Function that reads a finished file again: number of features and CRS of a layer."""
    provenance: Callable[[Path], dict[str, Any] | None]
    """Function that reads the provenance from a file."""
    companions: Callable[[Path], list[Path]] = _no_files
    """Function that lists the existing files that must be removed with the old output, in this order."""
    kept: Callable[[Path, str], list[str]] = _no_content
    """Function that lists the content of an existing file that stays when the layer is replaced; it refuses a file in
    which the layer cannot be replaced."""
    short_names: bool = False
    """True if names of fields are limited to ten bytes."""
    wgs84: bool = False
    """True if coordinates are always longitude and latitude."""
    through_gdal: bool = True
    """True if GDAL opens the path, and may misread it."""


_GEOPACKAGE = Format(
    "GeoPackage",
    geopackage.write,
    geopackage.facts,
    gdal.layer_provenance,
    geopackage.companions,
    geopackage.other_tables,
)
_GEOJSON = Format("GeoJSON", geojson.write, geojson.facts, geojson.provenance, wgs84=True, through_gdal=False)
_SHAPEFILE = Format(
    "shapefile", shapefile.write, shapefile.facts, shapefile.provenance, shapefile.companions, short_names=True
)
_GEOPARQUET = Format("GeoParquet", parquet.write, parquet.facts, parquet.provenance, through_gdal=False)
_FLATGEOBUF = Format("FlatGeobuf", flatgeobuf.write, flatgeobuf.facts, gdal.layer_provenance)

FORMATS = {
    ".gpkg": _GEOPACKAGE,
    ".geojson": _GEOJSON,
    ".json": _GEOJSON,
    ".shp": _SHAPEFILE,
    ".parquet": _GEOPARQUET,
    ".geoparquet": _GEOPARQUET,
    ".fgb": _FLATGEOBUF,
}


def format_of(path: Path) -> Format:
    """Return the format that the file's extension names.

    Raises:
        UnknownFormat: geosam writes no such format.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        names = ", ".join(f"{suffix} ({form.name})" for suffix, form in FORMATS.items())
        extension = f"extension {path.suffix!r}" if path.suffix else "no extension"
        raise UnknownFormat(
            f"the output's format is unknown: {path}: found {extension}, expected one of {names}.",
            remedy="Choose another file name.",
            code="unknown-format",
            extension=path.suffix,
        ) from None
