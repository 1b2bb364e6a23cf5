"""Types of values on the command line: numbers, bounds, bands, a CRS, a number of bytes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from pyproj import CRS

#: Power of 2 of every unit of bytes.
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class NumbersType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """Numbers separated by commas. Their count is the number of parts of the name: two for ``X,Y``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers. The function that uses them checks their meaning."""
        if isinstance(value, tuple):  # click may pass a value that is converted already
            return value
        count = self.name.count(",") + 1
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != count:
            self.fail(f"{value!r} is not {self.name}: {count} numbers separated by commas, no spaces.", param, ctx)
        return numbers


class BoundsType(NumbersType):
    """Map bounds that enclose an area."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return (xmin, ymin, xmax, ymax)."""
        xmin, ymin, xmax, ymax = bounds = super().convert(value, param, ctx)
        if not all(map(math.isfinite, bounds)) or xmin >= xmax or ymin >= ymax:
            self.fail(f"{value!r} encloses no area: XMIN < XMAX and YMIN < YMAX are needed.", param, ctx)
        return bounds


class BandsType(click.ParamType):  # type: ignore[type-arg]
    """Band numbers separated by commas, counted from 1."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers. Only the scene knows which bands it has."""
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if len(parts) not in (1, 3) or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} names no bands: one number or three, counted from 1, as in 4,3,2.", param, ctx)
        return tuple(int(part) for part in parts)


class CrsType(click.ParamType):  # type: ignore[type-arg]
    """Any description of a CRS that PROJ understands."""

    name = "CRS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> CRS:
        """Return the CRS, with x always easting or longitude."""
        # Imported here: loading PROJ takes long, and most calls name no CRS.
        from pyproj.exceptions import CRSError

        from geosam.geometry.geobox import map_crs

        try:
            return map_crs(value)
        except CRSError:
            self.fail(f"{value!r} is no CRS that PROJ knows. Use a code, as in EPSG:32633.", param, ctx)


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, or of KiB, MiB, GiB or TiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
        size = int(float(match[1]) * 2 ** _UNITS[match[2].upper()]) if match else 0
        if size < 1:
            self.fail(f"{value!r} is no size: a number of bytes, or one with K, M, G or T, as in 20G.", param, ctx)
        return size


POINT: Final = NumbersType("X,Y")
BOX: Final = NumbersType("XMIN,YMIN,XMAX,YMAX")
BOUNDS: Final = BoundsType("XMIN,YMIN,XMAX,YMAX")
BANDS: Final = BandsType()
CRS_TEXT: Final = CrsType()
SIZE: Final = SizeType()
