"""What the worker's machine and environment are, found out without importing anything large."""

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
    """Versions of geosam, Python and what they rest on; None for what is not installed."""
    found = {name: _version(name) for name in _DISTRIBUTIONS}
    gdal = getattr(sys.modules.get("rasterio"), "__gdal_version__", None)  # known once rasters were read
    return {"geosam": __version__, "python": platform.python_version(), "gdal": gdal, **found}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def resident_bytes() -> int | None:
    """Memory of this process; None where the system does not say it in a file."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def machine_bytes() -> int | None:
    """Memory of the machine; None where the system does not say it this way (Windows)."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
