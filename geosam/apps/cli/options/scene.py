"""Types of option values, and the groups of options that commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from geosam.apps.cli.report import Report

if TYPE_CHECKING:
    from pyproj import CRS

Command: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Command], Command]


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """Numbers separated by commas, as many as the name has parts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers; what they mean is checked by whoever uses them."""
        if isinstance(value, tuple):
            return value
        wanted = self.name.count(",") + 1
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != wanted:
            self.fail(f"{value!r} is not {self.name}: {wanted} numbers separated by commas, no spaces.", param, ctx)
        return numbers


class Bounds(Numbers):
    """Map bounds that enclose an area."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """(xmin, ymin, xmax, ymax)."""
        xmin, ymin, xmax, ymax = bounds = super().convert(value, param, ctx)
        if not all(map(math.isfinite, bounds)) or xmin >= xmax or ymin >= ymax:
            self.fail(f"{value!r} encloses no area: XMIN < XMAX and YMIN < YMAX are needed.", param, ctx)
        return bounds


class Bands(click.ParamType):  # type: ignore[type-arg]
    """Band numbers separated by commas, counted from 1."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers; whether the raster has such bands is for the scene to say."""
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if len(parts) not in (1, 3) or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} names no bands: one number or three, counted from 1, as in 4,3,2.", param, ctx)
        return tuple(int(part) for part in parts)


class Crs(click.ParamType):  # type: ignore[type-arg]
    """Any description of a CRS that PROJ understands."""

    name = "CRS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> CRS:
        """The CRS."""
        from pyproj.exceptions import CRSError

        from geosam.geometry.geobox import map_crs

        try:
            return map_crs(value)
        except CRSError:
            self.fail(f"{value!r} is no CRS that PROJ knows. Use a code, as in EPSG:32633.", param, ctx)


POINT = Numbers("X,Y")
BOX = Numbers("XMIN,YMIN,XMAX,YMAX")
BOUNDS = Bounds("XMIN,YMIN,XMAX,YMAX")
BANDS = Bands()
CRS_TEXT = Crs()
NOT_NEGATIVE = click.FloatRange(min=0)
POSITIVE = click.FloatRange(min=0, min_open=True)


def packed(name: str, *options: Decorator) -> Decorator:
    """A group of options that the command receives as one dictionary called `name`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def unpacked(*args: Any, **values: Any) -> Any:
            group = {key: values.pop(key) for key in keys}
            return command(*args, **values, **{name: group})

        inner = len(getattr(unpacked, "__click_params__", ()))
        for option in reversed(options):
            option(unpacked)
        keys = [str(param.name) for param in unpacked.__click_params__[inner:]]  # type: ignore[attr-defined]
        return unpacked

    return decorate


scene_options = packed(
    "opening",
    click.option("--crs", type=CRS_TEXT, help="CRS of a scene that has none."),
    click.option("--bands", type=BANDS, help="Bands to use as red, green, blue (or one as grey), counted from 1."),
    click.option(
        "--stretch",
        default="auto",
        show_default=True,
        metavar="auto|none|MIN,MAX|pLO,pHI",
        help="From band values to 8 bits, once for the whole scene; p2,p98 are percentiles.",
    ),
    click.option(
        "--resolution", type=POSITIVE, metavar="METRES", help="Ground size of a pixel to use. [default: the scene's]"
    ),
    click.option("--window", type=BOUNDS, help="Use this part only; map coordinates in the scene's CRS."),
    click.option("--gcps", is_flag=True, help="Warp a scene that is placed by ground control points only."),
    click.option("--assume-pixels", is_flag=True, help="Take a scene without georeference in plain pixels."),
    click.option("--untrusted", is_flag=True, help="Refuse formats that can make the reader open other files."),
    click.option("--verify", "sha256", metavar="SHA256", help="Refuse a file that has another hash."),
    click.option("--max-pixels", type=POSITIVE, default=2e11, metavar="N", help="Refuse more. [default: 2e11]"),
)
"""Everything `open_scene` wants to know, as `opening`."""


def report_options(command: Command) -> Command:
    """``--json``, ``--quiet`` and ``--debug``, which go into the call's :class:`Report`."""
    for name, text in (
        ("debug", "Show a traceback with an error."),
        ("quiet", "Neither progress nor notes."),
        ("json", "Print one JSON object on stdout."),
    ):
        command = click.option(f"--{name}", is_flag=True, expose_value=False, callback=_into_report, help=text)(command)
    return command


def _into_report(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    report = ctx.ensure_object(Report)
    report.running = ctx.command
    if value:
        setattr(report, str(param.name), True)
