"""Facts about the worker's machine and environment, without importing anything large."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from geosam._version import __version__

#: Distributions whose versions a diagnosis shows.
_DISTRIBUTIONS = ("torch", "numpy", "rasterio", "shapely", "pyproj", "pyogrio")


def versions() -> dict[str, str | None]:
    """Return the versions of geosam, Python and important libraries; None for those that are not installed."""
    installed = {name: _version(name) for name in _DISTRIBUTIONS}
    # Importing rasterio takes long, so GDAL's version is None until the first raster is opened.
    gdal = getattr(sys.modules.get("rasterio"), "__gdal_version__", None)
    return {"geosam": __version__, "python": platform.python_version(), "gdal": gdal, **installed}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def resident_bytes() -> int | None:
    """Return the memory of this process in bytes; None if the system has no file with it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine_bytes() -> int | None:
    """Return the memory of the machine in bytes; None on systems without `sysconf` (Windows)."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
