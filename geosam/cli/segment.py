"""``geosam segment``: from a raster to polygons."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import click

from geosam.cli.options import BOX, CRS_TEXT, NOT_NEGATIVE, POINT, packed, report_options, scene_options
from geosam.cli.report import Report
from geosam.errors import PartialResult, UsageError

if TYPE_CHECKING:
    from pyproj import CRS

    from geosam.pipeline import RunSummary
    from geosam.prompts import Prompt

prompt_options = packed(
    "asking",
    click.option("--prompts", "layer_path", metavar="LAYER", help="Vector layer: one object per feature or object_id."),
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
    click.option("--prompt-crs", type=CRS_TEXT, help="CRS of points, boxes, layers without one. [default: the scene's]"),
)
"""What to look for, as `asking`; nothing at all means everything."""

run_options = packed(
    "running",
    click.option("--tile-size", type=click.IntRange(min=3), default=1024, show_default=True, metavar="PX"),
    click.option("--overlap", type=click.IntRange(min=2), default=256, show_default=True, metavar="PX"),
    click.option("--min-area", "min_area_m2", type=NOT_NEGATIVE, default=0, metavar="M2", help="Leave out what is smaller."),
    click.option("--fill-holes", "fill_holes_m2", type=NOT_NEGATIVE, default=0, metavar="M2", help="Fill holes up to this."),
    click.option("--simplify", "simplify_m", type=NOT_NEGATIVE, default=0, metavar="METRES", help="Largest shift of outlines."),
    click.option(
        "--layout",
        type=click.Choice(["overlapping", "planar"]),
        default="overlapping",
        show_default=True,
        help="planar: no overlaps, and neighbours share their border.",
    ),
    click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes to use."),
    click.option("--restart", is_flag=True, help="Drop what an interrupted run has done."),
    click.option("--overwrite", is_flag=True, help="Replace the output."),
    click.option("--allow-partial", is_flag=True, help="Leave out tiles that fail (exit code 7)."),
)
"""How to do it, as `running`: the fields of `RunOptions`."""


@click.command(short_help="Find objects and write them as polygons.")
@click.argument("scene")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="[default: <scene>_segments.gpkg, in this folder]")
@click.option("--model", default="regions", show_default=True, metavar="NAME", help="See `geosam models`.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@prompt_options
@click.option("--skip-outside", is_flag=True, help="Leave out prompts outside the scene.")
@scene_options
@run_options
@report_options
@click.pass_obj
def segment(
    report: Report,
    scene: str,
    output: Path | None,
    model: str,
    device: str,
    asking: Mapping[str, Any],
    skip_outside: bool,
    opening: Mapping[str, Any],
    running: Mapping[str, Any],
) -> None:
    """Find the objects of the raster SCENE and write them as polygons.

    Without prompts everything in the scene is looked for. The format follows from the extension of the output:
    .gpkg, .geojson, .shp, .parquet or .fgb.
    """
    from geosam.models.registry import load_segmenter
    from geosam.pipeline import RunOptions, segment_prompts, segment_scene
    from geosam.scene import open_scene

    out = output or default_output(scene)
    options = RunOptions(**running, command=shlex.join(["geosam", *sys.argv[1:]]))
    report.resumable = True


def default_output(scene: str) -> Path:
    return Path(PurePosixPath(scene).stem + "_segments.gpkg")
