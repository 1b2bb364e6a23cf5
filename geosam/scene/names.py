"""Names of rasters: the path or URL behind what people hand in to open a scene."""

from __future__ import annotations

import os
from typing import Any

from geosam.errors import UsageError

#: Remedy for pictures that are in memory.
_SAVE_FIRST = 'Write it to a GeoTIFF (rasterio.open(path, "w", ...) with crs and transform), and open that path.'


def name_of(raster: Any) -> str:
    """Return the path or URL of a raster: of text, a path, or an open rasterio dataset.

    Raises:
        UsageError: it is something else, or a dataset that no file can stand for; says what to write instead.
    """
    if isinstance(raster, str | os.PathLike):
        return os.fspath(raster)
    if _is_dataset(raster):
        return _name_of_dataset(raster)
    kind = f"{type(raster).__module__.partition('.')[0]}.{type(raster).__name__}".removeprefix("builtins.")
    if hasattr(raster, "__array__"):
        raise UsageError(
            f"an array has no place on Earth: found a {kind}, expected the path or URL of a raster.",
            remedy=_SAVE_FIRST,
            code="scene-is-an-array",
            found=kind,
        )
    if hasattr(raster, "read") and hasattr(raster, "geobox"):
        raise UsageError(
            f"the scene is open already: {raster.path}.",
            remedy="Use it as it is, or open its path with other options.",
            code="scene-is-open",
        )
    raise UsageError(
        f"not a raster: found a {kind}, expected a path, a URL or an open rasterio dataset.",
        code="scene-is-no-raster",
        found=kind,
    )


def _is_dataset(raster: Any) -> bool:
    return type(raster).__module__.partition(".")[0] == "rasterio" and hasattr(type(raster), "profile")


def _name_of_dataset(dataset: Any) -> str:
    name = str(dataset.name)
    if dataset.mode != "r" and not dataset.closed:
        raise UsageError(
            f"the dataset is open for writing: {name}.",
            remedy="Close it first, then open its path.",
            code="dataset-open-for-writing",
        )
    name = name.removeprefix("/vsicurl/")
    if name.startswith(("/vsi", "WarpedVRT(", "<")) or not name:
        raise UsageError(
            f"the dataset is no file: {name or 'no name'}: it lives in memory or inside of another one.",
            remedy=_SAVE_FIRST,
            code="dataset-without-file",
        )
    return name
