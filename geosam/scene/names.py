"""Names of rasters: the path or URL of a raster that a caller gives as text, path or dataset."""

from __future__ import annotations

import os
from typing import Any

from geosam.errors import UsageError

#: Remedy for pictures that are in memory.
_SAVE_FIRST = 'Write it to a GeoTIFF (rasterio.open(path, "w", ...) with crs and transform), and open that path.'


def name_of(raster: Any) -> str:
    """Return the path or URL of a raster.

    Args:
        raster: text, a path, or an open rasterio dataset.

    Raises:
        UsageError: the value is something else, or a dataset without a file; the remedy shows the right call.
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
    if hasattr(raster, "read") and hasattr(raster, "geobox"):  # a Scene, which this module cannot import
        raise UsageError(
            f"the scene is open already: {raster.path}: found a Scene, expected a path, a URL or a rasterio dataset.",
            remedy="Use it as it is, or open its path with other options.",
            code="scene-is-open",
        )
    raise UsageError(
        f"the scene is not a raster: found a {kind}, expected a path, a URL or an open rasterio dataset.",
        remedy='Give the path of a file, for example "scene.tif".',
        code="scene-is-no-raster",
        found=kind,
    )


def _is_dataset(raster: Any) -> bool:
    # By module: datasets in files, in memory and behind a warp are of classes without a public base.
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
            f"the dataset is no file: {name or 'no name'}: found one in memory or inside another file, expected a path "
            "or a URL.",
            remedy=_SAVE_FIRST,
            code="dataset-without-file",
        )
    return name
