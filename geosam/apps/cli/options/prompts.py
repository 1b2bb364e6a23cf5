"""The options that say what to look for: a prompt layer, or points and boxes on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.schema import schema_options
from geosam.apps.cli.options.value_types import BOX, POINT
from geosam.errors import UsageError
from geosam.options import PROMPTS, defaults, values_for

if TYPE_CHECKING:
    from pyproj import CRS

    from geosam.apps.cli.options.schema import Command
    from geosam.apps.cli.report import Report
    from geosam.prompts.prompt import Box, Prompt

    Point = tuple[float, float]


def prompt_options(command: Command) -> Command:
    """Add the options of :func:`requested_prompts`."""
    for decorate in (
        schema_options(PROMPTS),
        click.option("--box", "boxes", type=BOX, multiple=True, help="A box around an object (each its own)."),
        click.option(
            "--negative", "negatives", type=POINT, multiple=True, help="A point outside the object of --point."
        ),
        click.option("--point", "points", type=POINT, multiple=True, help="A point in the object (all describe one)."),
        click.option("--prompts", metavar="FILE", help="Vector file: one object for each feature or object_id."),
    ):
        command = decorate(command)
    return command


def requested_prompts(report: Report, scene_crs: CRS, options: Mapping[str, Any]) -> list[Prompt] | None:
    """Return the prompts that the options describe. None means everything: the options describe nothing.

    Raises:
        UsageError: options contradict each other.
        PromptError: a prompt cannot be used.
    """
    from geosam.prompts.layer import read_prompts
    from geosam.prompts.prompt import with_granularity

    reading = {**defaults(PROMPTS), **values_for(PROMPTS, options)}
    granularity = reading.pop("granularity")
    del reading["skip_outside"]  # which concerns the scene
    prompts, points, negatives, boxes = (options[name] for name in ("prompts", "points", "negatives", "boxes"))
    drawn = bool(points or negatives or boxes)
    if prompts is not None and drawn:
        raise UsageError(
            f"--prompts {prompts}: given together with --point, --negative or --box. Use one or the other."
        )
    if prompts is not None:
        layer, warnings = read_prompts(prompts, **reading)
        report.warn(warnings)
        return with_granularity(layer, granularity)
    for name in ("layer", "encoding"):
        if reading[name] is not None:
            raise UsageError(f"--{name} {reading[name]}: there is no layer to read. Name one with --prompts.")
    if drawn:
        listed, warnings = prompts_from_options(points, negatives, boxes, reading["crs"] or scene_crs)
        report.warn(warnings)
        return with_granularity(listed, granularity)
    if granularity != "auto":
        raise UsageError(
            f"--granularity {granularity}: there is no prompt it could apply to. Give --prompts, --point or --box."
        )
    return None


def prompts_from_options(
    points: Sequence[Point], negatives: Sequence[Point], boxes: Sequence[Box], crs: CRS
) -> tuple[list[Prompt], list[str]]:
    """Return the prompts drawn on the command line, and warnings: all points are object 1, each box is one more.

    Raises:
        PromptError: see :class:`Prompt`.
    """
    import numpy as np

    from geosam.prompts.prompt import Prompt

    prompts, warnings = [], []
    if points or negatives:
        points_xy = np.array([*points, *negatives], np.float64).reshape(-1, 2)
        labels = np.repeat(np.array([1, 0], np.int8), [len(points), len(negatives)])
        prompts.append(Prompt(1, crs, points_xy, labels, source="--point / --negative"))
    for box in boxes:
        (x0, x1), (y0, y1) = sorted(box[::2]), sorted(box[1::2])
        upright = (x0, y0, x1, y1)
        name = "--box " + ",".join(f"{value:.15g}" for value in box)
        if upright != tuple(box) and np.isfinite(box).all():
            warnings.append(f"{name}: corners were swapped, XMIN,YMIN,XMAX,YMAX is the order")
        prompts.append(Prompt(len(prompts) + 1, crs, box_xyxy=upright, source=name))
    return prompts, warnings
