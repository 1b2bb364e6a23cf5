"""``geosam embed``: compute the embeddings of a scene once, and keep them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.opening import opened_scene
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import model_arguments, schema_options
from geosam.errors import PartialResult
from geosam.options import CACHE, MODEL, OPENING, TILING, pick, values_for

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.run.summaries import EmbedSummary


@click.command(short_help="Embed a scene ahead of time, for `segment --cache`.")
@click.argument("scene")
@click.option(
    "-o",
    "--output",
    "store",
    type=click.Path(path_type=Path),
    required=True,
    metavar="STORE",
    help="Folder of embeddings; it is created if necessary.",
)
@schema_options(
    pick(CACHE, "cache_size"),
    MODEL,
    OPENING,
    TILING,
    cache_size="Most bytes of STORE; what was not used for the longest time goes first.",
    allow_partial="Leave out tiles that cannot be read (exit code 7).",
)
@report_options
@click.pass_obj
def embed(report: Report, /, *, scene: str, store: Path, cache_size: int | None, **options: Any) -> None:
    """Embed the tiles of the raster SCENE and keep them in STORE, for `geosam segment --cache STORE`.

    Use the model, the tiles and the scene options of the later call. Embeddings that are in STORE are not computed
    again, so an interrupted call continues where it stopped. With --window, those tiles of the whole scene are embedded
    that overlap the window: so you can embed a large scene part by part, for a later call without --window. Prompts
    mostly use other windows; `segment --prompts ... --cache STORE` adds these.
    """
    from geosam.apps.cli.observer import reporting
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.run.embedding import embed_scene
    from geosam.run.options import RunOptions
    from geosam.segmenters.registry import load_segmenter

    run = RunOptions(**values_for(TILING, options))
    with opened_scene(report, scene, options) as opened:
        segmenter = load_segmenter(**model_arguments(options))
        kept = EmbeddingStore(store, cache_size)
        with reporting(report) as observer:
            summary = embed_scene(opened, segmenter, kept, run, observer=observer)
    _report_summary(report, summary)


def _report_summary(report: Report, summary: EmbedSummary) -> None:
    """Report what was embedded.

    Raises:
        PartialResult: tiles failed.
    """
    report.warn(summary.warnings)
    report.result(summary.to_json())
    report.note(
        f"{summary.store}: {summary.tiles} tiles, {summary.computed} computed and {summary.reused} already there, "
        f"{summary.bytes / 2**20:.1f} MiB, in {summary.seconds:.1f} s"
    )
    if summary.failed_tiles:
        raise PartialResult(
            f"{len(summary.failed_tiles)} of {summary.tiles} tiles failed and are missing: {summary.store}: "
            f"{summary.failed_tiles[0]}",
            code="embeddings-incomplete",
            failed=len(summary.failed_tiles),
            tiles=summary.tiles,
        )
