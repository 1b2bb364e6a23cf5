"""``geosam segment``: from a raster to polygons."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from geosam.cli.options import NOT_NEGATIVE, packed, report_options, scene_options
from geosam.cli.prompting import asked_prompts, prompt_options
from geosam.errors import PartialResult, UsageError

if TYPE_CHECKING:
    from geosam.cli.report import Report
    from geosam.pipeline import RunSummary

run_options = packed(
    "running",
    click.option("--tile-size", type=click.IntRange(min=3), default=1024, show_default=True, metavar="PX"),
    click.option("--overlap", type=click.IntRange(min=2), default=256, show_default=True, metavar="PX"),
    click.option(
        "--min-area", "min_area_m2", type=NOT_NEGATIVE, default=0, metavar="M2", help="Leave out what is smaller."
    ),
    click.option(
        "--fill-holes", "fill_holes_m2", type=NOT_NEGATIVE, default=0, metavar="M2", help="Fill holes up to this."
    ),
    click.option(
        "--simplify", "simplify_m", type=NOT_NEGATIVE, default=0, metavar="METRES", help="Largest shift of outlines."
    ),
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
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="[default: <scene>_segments.gpkg, in this folder]"
)
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
    *,
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

    Without prompts everything in the scene is looked for. The extension of the output names the format:
    .gpkg, .geojson, .shp, .parquet or .fgb.
    """
    from geosam.models.registry import load_segmenter
    from geosam.pipeline import RunOptions, segment_prompts, segment_scene
    from geosam.scene import open_scene

    out = output or default_output(scene)
    _check_distinct(out, asking["prompts"])
    options = RunOptions(**running, command=report.command)
    segmenter = load_segmenter(model, device)
    with closing(open_scene(scene, **opening)) as opened:
        report.warn(opened.warnings)
        prompts = asked_prompts(report, opened.geobox.crs, **asking)
        report.resumable = True
        with report.progress() as progress:
            if prompts is None:
                summary = segment_scene(opened, segmenter, out, options, progress=progress)
            else:
                summary = segment_prompts(
                    opened, segmenter, prompts, out, options, skip_outside=skip_outside, progress=progress
                )
    _tell(report, summary)


def default_output(scene: str) -> Path:
    """``scene_segments.gpkg`` in the current folder for ``some/where/scene.tif`` and ``https://host/scene.tif?key=1``."""
    path = urlsplit(scene).path if "://" in scene else scene
    return Path(f"{PurePath(path).stem}_segments.gpkg")


def _check_distinct(out: Path, prompts: str | None) -> None:
    if prompts is not None and out.exists() and Path(prompts).exists() and out.samefile(prompts):
        raise UsageError(f"the output is an input: {out}: same file as --prompts {prompts}. Choose another output.")


def _tell(report: Report, summary: RunSummary) -> None:
    report.warn(summary.warnings)
    report.result(summary.to_json())
    left_out = f" ({summary.too_small} smaller than --min-area left out)" if summary.too_small else ""
    report.note(
        f"{summary.output}: {_counted(summary.count, 'polygon')}{left_out} from {_counted(summary.tiles, 'tile')} "
        f"in {summary.seconds:.1f} s"
    )
    if summary.failed_tiles:
        raise PartialResult(
            f"{len(summary.failed_tiles)} of {_counted(summary.tiles, 'tile')} failed and are missing: "
            f"{summary.output}: {summary.failed_tiles[0]}"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
