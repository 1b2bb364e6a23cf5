"""``geosam segment``: from a raster to polygons."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from geosam.apps.cli.options.prompts import prompt_options, requested_prompts
from geosam.apps.cli.options.recorded import recorded_command
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.rules import automatic_rules
from geosam.apps.cli.options.schema import model_arguments, schema_options
from geosam.errors import PartialResult, UsageError
from geosam.options import CACHE, MODEL, OPENING, RULES, RUN, values_for

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.run.pipeline import RunSummary


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
@schema_options(OPENING, RUN, RULES, CACHE)
@report_options
@click.pass_obj
def segment(
    report: Report,
    /,
    *,
    scene: str,
    output: Path | None,
    **options: Any,
) -> None:
    """Find the objects of the raster SCENE and write them as polygons.

    Without prompts all objects are found. The output is .gpkg, .geojson, .shp, .parquet or .fgb.
    """
    from geosam.objects.observer import Callbacks
    from geosam.run.options import RunOptions
    from geosam.run.pipeline import segment_prompts, segment_scene
    from geosam.scene import open_scene
    from geosam.segmenters.registry import load_segmenter

    out = output or default_output(scene)
    _check_distinct(out, options["prompts"])
    with closing(open_scene(scene, **values_for(OPENING, options))) as opened:
        report.warn(opened.warnings)
        prompts = requested_prompts(report, opened.geobox.crs, options)
        rules = automatic_rules(options, prompted=prompts is not None)
        segmenter = load_segmenter(**model_arguments(options))
        run = RunOptions(**values_for(RUN, options), **rules(segmenter.spec), command=recorded_command(report.command))
        store = _store(report, **values_for(CACHE, options))
        report.resumable = True
        with report.progress() as progress:
            observer = Callbacks(on_progress=progress)
            if prompts is None:
                summary = segment_scene(opened, segmenter, out, run, store=store, observer=observer)
            else:
                skip_outside = options["skip_outside"]
                summary = segment_prompts(
                    opened, segmenter, prompts, out, run, skip_outside=skip_outside, store=store, observer=observer
                )
    _tell(report, summary)


def default_output(scene: str) -> Path:
    """``scene_segments.gpkg`` in the current folder for ``some/where/scene.tif`` and ``https://host/scene.tif?key=1``."""
    path = urlsplit(scene).path if "://" in scene else scene
    return Path(f"{PurePath(path).stem}_segments.gpkg")


def _store(report: Report, folder: Path | None = None, max_bytes: int | None = None) -> EmbeddingStore | None:
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
