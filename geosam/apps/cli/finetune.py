"""``geosam finetune``: train a network on the user's own polygons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosam import api
from geosam.apps.cli.options.opening import opened_scene
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import schema_options
from geosam.options import CACHE, LEARNING, MODEL, OPENING, pick, without_none

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.training.finetune import FineTuneResult


@click.command(short_help="Tune a network on your own polygons.")
@click.argument("scene")
@click.argument("polygons")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Tuned network to write (.safetensors); a file for --model.",
)
@click.option("--layer", metavar="NAME", help="Layer of POLYGONS, if the file has several.")
@schema_options(
    pick(MODEL, "model", "device", "precision"),
    pick(CACHE, "cache"),
    LEARNING,
    OPENING,
    model="Network to begin with: a name from `geosam models`, or a file of weights.",
    precision="Numbers that embeddings are computed with; training itself is done in fp32.",
    cache="Folder of embeddings to use and to fill. [default: a temporary one]",
)
@report_options
@click.pass_obj
def finetune(report: Report, /, *, scene: str, polygons: str, output: Path, layer: str | None, **options: Any) -> None:
    """Tune a network on POLYGONS, one for each object, over the raster SCENE.

    Only the mask decoder is trained. About a quarter of the polygons is held out to measure the gain. The best state so
    far is always in the output, so you may stop the command at any time. Use the scene options that you will use to
    segment it.
    """
    from geosam.vector.polygons import read_polygons

    labels = read_polygons(polygons, layer)  # before the scene, whose embeddings take long
    report.warn(labels.notes)
    with opened_scene(report, scene, options) as opened, report.progress() as progress:
        tuned = api.finetune(opened, labels, output, progress=progress, **without_none(options))
    report.result({"output": str(output), **tuned.to_json()}, _lines(output, tuned))


def _lines(output: Path, tuned: FineTuneResult) -> Iterator[str]:
    yield f"{'held-out IoU':16}{'before':>8}{'after':>8}"
    for name, before, after in (
        ("one click", tuned.before.click, tuned.after.click),
        ("box", tuned.before.box, tuned.after.box),
    ):
        yield f"{name:16}{before:8.3f}{after:8.3f}"
    yield (
        f"{output}: {tuned.model} tuned on {tuned.polygons} polygons, {tuned.held_out} held out, "
        f"in {tuned.epochs} epochs and {tuned.seconds / 60:.1f} min"
    )
