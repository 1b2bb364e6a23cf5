"""``geosam segment``: from a raster to polygons."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from geosam.apps.cli.options.model import model_options
from geosam.apps.cli.options.prompts import asked_prompts, prompt_options
from geosam.apps.cli.options.run import (
    automatic_options,
    automatic_rules,
    cache_options,
    recorded_command,
    tiling_options,
)
from geosam.apps.cli.options.scene import NOT_NEGATIVE, packed, report_options, scene_options
from geosam.errors import PartialResult, UsageError

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.run.pipeline import RunSummary

run_options = packed(
    "running",
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
    click.option("--restart", is_flag=True, help="Drop what an interrupted run has done."),
    click.option("--overwrite", is_flag=True, help="Replace the output."),
)
"""What to write and over what, as `running`: with `tiling` the fields of `RunOptions`."""


@click.command(short_help="Find objects and write them as polygons.")
@click.argument("scene")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="[default: <scene>_segments.gpkg, in this folder]"
)
@model_options
@prompt_options
@click.option("--skip-outside", is_flag=True, help="Leave out prompts outside the scene.")
@scene_options
@tiling_options
@automatic_options
@run_options
@cache_options
@report_options
@click.pass_obj
def segment(
    report: Report,
    *,
    scene: str,
    output: Path | None,
    model: Mapping[str, Any],
    asking: Mapping[str, Any],
    skip_outside: bool,
    opening: Mapping[str, Any],
    tiling: Mapping[str, Any],
    automatic: Mapping[str, Any],
    running: Mapping[str, Any],
    cache: Mapping[str, Any],
) -> None:
    """Find the objects of the raster SCENE and write them as polygons.

    Without prompts everything is looked for. The output is .gpkg, .geojson, .shp, .parquet or .fgb.
    """
    from geosam.run.options import RunOptions
    from geosam.run.pipeline import segment_prompts, segment_scene
    from geosam.scene import open_scene
    from geosam.segmenters.registry import load_segmenter

    out = output or default_output(scene)
    _check_distinct(out, asking["prompts"])
    with closing(open_scene(scene, **opening)) as opened:
        report.warn(opened.warnings)
        prompts = asked_prompts(report, opened.geobox.crs, **asking)
        rules = automatic_rules(automatic, prompted=prompts is not None)
        segmenter = load_segmenter(**model)
        options = RunOptions(**tiling, **rules(segmenter.spec), **running, command=recorded_command(report.command))
        store = _store(report, **cache)
        report.resumable = True
        with report.progress() as progress:
            if prompts is None:
                summary = segment_scene(opened, segmenter, out, options, store=store, progress=progress)
            else:
                summary = segment_prompts(
                    opened, segmenter, prompts, out, options, skip_outside=skip_outside, store=store, progress=progress
                )
    _tell(report, summary)


def default_output(scene: str) -> Path:
    """``scene_segments.gpkg`` in the current folder for ``some/where/scene.tif`` and ``https://host/scene.tif?key=1``."""
    path = urlsplit(scene).path if "://" in scene else scene
    return Path(f"{PurePath(path).stem}_segments.gpkg")


def _store(report: Report, folder: Path | None, max_bytes: int | None) -> EmbeddingStore | None:
    from geosam.objects.embeddings.store import EmbeddingStore

    if folder is None:
        if max_bytes is not None:
            raise UsageError("--cache-size: there is no cache it could limit. Name one with --cache.")
        return None
    store = EmbeddingStore(folder, max_bytes)
    report.warn(store.take_warnings())
    return store


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
