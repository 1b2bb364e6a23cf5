"""The options that say what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from geosam.cli.options import BOX, CRS_TEXT, POINT, packed
from geosam.errors import UsageError

if TYPE_CHECKING:
    from pyproj import CRS

    from geosam.cli.report import Report
    from geosam.prompts import Detail, Prompt

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
    from geosam.prompt_layer import read_prompts
    from geosam.prompts import prompts_from_options, with_granularity

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
