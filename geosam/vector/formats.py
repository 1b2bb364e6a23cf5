"""The formats geosam writes, by file extension."""

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


def _none(_path: Path) -> list[Path]:
    return []


def _nothing(_path: Path, _layer: str) -> list[str]:
    return []


@dataclass(frozen=True)
class Format:
    """One output format."""

    name: str
    """What users call it."""
    write: Callable[[Path, Features], list[Path]]
    """Write the features into a folder as `result.*`; the files made, the output itself last."""
    facts: Callable[[Path, str], tuple[int, CRS | None]]
    """Re-read a finished file: number of features and CRS of a layer."""
    provenance: Callable[[Path], dict[str, Any] | None]
    """The provenance a file holds."""
    companions: Callable[[Path], list[Path]] = _none
    """Existing files that must go before the output is replaced, in this order."""
    kept: Callable[[Path, str], list[str]] = _nothing
    """What an existing file holds besides a layer; refuses a file in which the layer cannot be replaced."""
    short_names: bool = False
    """Whether field names are limited to ten bytes."""
    wgs84: bool = False
    """Whether coordinates are always longitude and latitude."""
    through_gdal: bool = True
    """Whether GDAL gets to see the path."""


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
    """The format that the file's extension names.

    Raises:
        UnknownFormat: None that geosam writes.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(f"{suffix} ({form.name})" for suffix, form in FORMATS.items())
        found = f"extension {path.suffix!r}" if path.suffix else "no extension"
        raise UnknownFormat(
            f"the output's format is unknown: {path}: {found}, one of {known} wanted. Choose another file name"
        ) from None
