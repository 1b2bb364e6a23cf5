"""The options for prompts: a prompt layer, or points and boxes on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.schema import schema_options
from geosam.apps.cli.options.value_types import BOX, POINT
from geosam.errors import UsageError
from geosam.options import PROMPTS, defaults

if TYPE_CHECKING:
    from pyproj import CRS

    from geosam.apps.cli.options.schema import Command
    from geosam.apps.cli.report import Report
    from geosam.prompts.prompt import Box, Prompt

    Point = tuple[float, float]


def prompt_options(command: Command) -> Command:
    """Add the options of :func:`prompts_of_options`."""
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


def prompts_of_options(report: Report, scene_crs: CRS, options: dict[str, Any]) -> str | list[Prompt] | None:
    """Return the prompts that the options describe: the path of a layer, a list, or None to find everything.

    Removes from `options` those that only the command line has: `prompts`, `points`, `negatives` and `boxes`.

    Raises:
        UsageError: options contradict each other.
        PromptError: a prompt cannot be used.
    """
    path, points, negatives, boxes = (options.pop(name) for name in ("prompts", "points", "negatives", "boxes"))
    drawn = bool(points or negatives or boxes)
    if path is not None and drawn:
        raise UsageError(
            f"prompts are given twice: --prompts {path} together with --point, --negative or --box.",
            remedy="Use one or the other.",
            code="prompts-twice",
        )
    if path is not None:
        return str(path)
    for name in ("layer", "encoding"):
        if options[name] is not None:
            raise UsageError(
                f"there is no layer to read: found --{name} {options[name]} without --prompts.",
                remedy="Name one with --prompts.",
                code="option-without-layer",
                option=name,
            )
    if drawn:
        prompts, warnings = prompts_from_options(points, negatives, boxes, options["prompt_crs"] or scene_crs)
        report.warn(warnings)
        return prompts
    granularity = options["granularity"]
    if granularity not in (None, defaults(PROMPTS)["granularity"]):
        raise UsageError(
            f"there is no prompt: found --granularity {granularity}, which needs one.",
            remedy="Give --prompts, --point or --box.",
            code="granularity-without-prompts",
            granularity=granularity,
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
