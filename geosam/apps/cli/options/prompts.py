"""The options that say what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from pyproj import CRS

from geosam.apps.cli.options.scene import BOX, CRS_TEXT, POINT, packed
from geosam.errors import UsageError
from geosam.prompts.prompt import Box, Prompt

if TYPE_CHECKING:
    from pyproj import CRS

    from geosam.apps.cli.report import Report
    from geosam.prompts.prompt import Detail

prompt_options = packed(
    "asking",
    click.option("--prompts", metavar="LAYER", help="Vector layer: one object per feature or object_id."),
    click.option("--layer", help="Layer of the prompt file, where it has several."),
    click.option("--encoding", help="Encoding of the prompt layer's texts, where it does not say."),
    click.option(
        "--polygons",
        type=click.Choice(["box", "mask"]),
        default="box",
        show_default=True,
        help="What a polygon of the prompt layer stands for.",
    ),
    click.option("--point", "points", type=POINT, multiple=True, help="A point in the object (all describe one)."),
    click.option("--negative", "negatives", type=POINT, multiple=True, help="A point outside the object of --point."),
    click.option("--box", "boxes", type=BOX, multiple=True, help="A box around an object (each its own)."),
    click.option(
        "--prompt-crs", type=CRS_TEXT, help="CRS of points, boxes, layers without one. [default: the scene's]"
    ),
    click.option(
        "--granularity",
        type=click.Choice(["auto", "part", "whole", "group"]),
        default="auto",
        show_default=True,
        help="What a prompt means where it says nothing of its own; auto takes the model's best.",
    ),
)
"""What to look for: the arguments of :func:`asked_prompts`, as `asking`."""


def asked_prompts(
    report: Report,
    scene_crs: CRS,
    *,
    prompts: str | None,
    prompt_crs: CRS | None,
    points: Sequence[tuple[float, float]],
    negatives: Sequence[tuple[float, float]],
    boxes: Sequence[tuple[float, float, float, float]],
    granularity: Detail,
    **reading: Any,
) -> list[Prompt] | None:
    """The prompts that the options ask for; None where they ask for nothing, which means everything.

    Raises:
        UsageError: options contradict each other.
        PromptError: a prompt cannot be used.
    """
    from geosam.apps.cli.options.prompts import prompts_from_options
    from geosam.prompts.layer import read_prompts
    from geosam.prompts.prompt import with_granularity

    drawn = bool(points or negatives or boxes)
    if prompts is not None and drawn:
        raise UsageError(
            f"--prompts {prompts}: given together with --point, --negative or --box. Use one or the other."
        )
    if prompts is not None:
        found, warnings = read_prompts(prompts, crs=prompt_crs, **reading)
        report.warn(warnings)
        return with_granularity(found, granularity)
    for name in ("layer", "encoding"):
        if reading[name] is not None:
            raise UsageError(f"--{name} {reading[name]}: there is no layer to read. Name one with --prompts.")
    if drawn:
        found, warnings = prompts_from_options(points, negatives, boxes, prompt_crs or scene_crs)
        report.warn(warnings)
        return with_granularity(found, granularity)
    if granularity != "auto":
        raise UsageError(
            f"--granularity {granularity}: there is no prompt it could apply to. Give --prompts, --point or --box."
        )
    return None


def prompts_from_options(
    points: Sequence[tuple[float, float]],
    negatives: Sequence[tuple[float, float]],
    boxes: Sequence[Box],
    crs: CRS,
) -> tuple[list[Prompt], list[str]]:
    """Prompts given on the command line, and warnings: all points together are object 1, each box is one more.

    Raises:
        PromptError: see :class:`Prompt`.
    """
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
