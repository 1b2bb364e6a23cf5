"""The formats geosam writes, by file extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geosam.errors import UnknownFormat
from geosam.export import gdal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyproj import CRS

    from geosam.export.schema import Features


@dataclass(frozen=True)
class Format:
    """One output format."""

    name: str
    """What users call it."""
    write: Callable[[Path, Features], list[Path]]
    """Write the features into a folder; the files made, the output itself last."""
    facts: Callable[[Path, str], tuple[int, CRS]]
    """Re-read a finished file: number of features and CRS of a layer."""
    provenance: Callable[[Path], dict[str, Any] | None]
    """The provenance a file holds."""


_GEOPACKAGE = Format("GeoPackage", gdal.write_geopackage, gdal.geopackage_facts, gdal.layer_provenance)

FORMATS = {".gpkg": _GEOPACKAGE}


def format_of(path: Path) -> Format:
    """The format that the file's extension names.

    Raises:
        UnknownFormat: None that geosam writes.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(f"{suffix} ({form.name})" for suffix, form in FORMATS.items())
        raise UnknownFormat(
            f"the output's format is unknown: {path}: extension {path.suffix or 'missing'!r}, one of {known} wanted. "
            "Choose another file name"
        ) from None
