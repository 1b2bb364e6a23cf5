"""``geosam segment``: from a raster to polygons."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from geosam import api
from geosam.apps.cli.options.opening import opened_scene
from geosam.apps.cli.options.prompts import prompt_options, prompts_of_options
from geosam.apps.cli.options.recorded import recorded_command
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import schema_options
from geosam.errors import PartialResult
from geosam.options import CACHE, MODEL, OPENING, RULES, RUN, without_none

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.run.summaries import RunSummary


@click.command(short_help="Find objects and write them as polygons.")
@click.argument("scene")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Vector file to write. [default: <scene>_segments.gpkg, in this folder]",
)
@schema_options(MODEL)
@prompt_options
@schema_options(OPENING, RUN, RULES, CACHE, allow_partial="Leave out tiles that cannot be read (exit code 7).")
@report_options
@click.pass_obj
def segment(report: Report, /, *, scene: str, output: Path | None, **options: Any) -> None:
    """Find the objects of the raster SCENE and write them as polygons.

    Without prompts all objects are found. The output is .gpkg, .geojson, .shp, .parquet or .fgb.
    """
    from geosam.apps.cli.observer import reporting
    from geosam.vector.checks import check_inputs

    out = output or default_output(scene)
    if options["prompts"] is not None:
        check_inputs(out, [Path(options["prompts"])])  # the run would replace the prompts
    with opened_scene(report, scene, options) as opened:
        prompts = prompts_of_options(report, opened.geobox.crs, options)
        with reporting(report) as observer:
            result = api.segment(
                opened,
                prompts,
                out=out,
                observer=observer,
                command=recorded_command(report.command),
                **without_none(options),
            )
    _report_summary(report, result.summary)


def default_output(scene: str) -> Path:
    """Return ``scene_segments.gpkg`` for ``some/where/scene.tif`` and for ``https://host/scene.tif?key=1``."""
    path = urlsplit(scene).path if "://" in scene else scene
    return Path(f"{PurePath(path).stem}_segments.gpkg")


def _report_summary(report: Report, summary: RunSummary) -> None:
    """Report what was written.

    Raises:
        PartialResult: tiles failed.
    """
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
            f"{summary.output}: {summary.failed_tiles[0]}",
            code="tiles-failed",
            failed=len(summary.failed_tiles),
            tiles=summary.tiles,
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
