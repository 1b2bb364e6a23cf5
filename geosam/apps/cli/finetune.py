"""``geosam finetune``: a network learns from the user's own polygons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.model import DEFAULT_MODEL, device_option, precision_option
from geosam.apps.cli.options.scene import POSITIVE, packed, report_options, scene_options

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.training.finetune import Tuned

learning_options = packed(
    "learning",
    click.option(
        "--epochs", type=click.IntRange(min=1), default=40, show_default=True, help="Passes over the polygons at most."
    ),
    click.option(
        "--minutes",
        type=POSITIVE,
        default=20,
        show_default=True,
        help="Time for learning at most; looking at the tiles comes before.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Of what is drawn at random, such as the polygons that are held out.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace the output."),
)
"""The fields of `Options`, as `learning`."""

network_options = packed(
    "network",
    click.option(
        "--model",
        default=DEFAULT_MODEL,
        show_default=True,
        metavar="NAME|FILE",
        help="What is tuned: a network of `geosam models`, or a file of weights.",
    ),
    device_option,
    precision_option("Of the embeddings; learning is done in fp32."),
    click.option(
        "--cache",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Keep embeddings in this folder, and use those it has. [default: in a temporary one]",
    ),
)
"""What is tuned, and where its embeddings are made and kept, as `network`."""


@click.command(short_help="Tune a network on your own polygons.")
@click.argument("scene")
@click.argument("polygons")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The tuned network, .safetensors: a file for --model.",
)
@click.option("--layer", help="Layer of POLYGONS, where it has several.")
@network_options
@learning_options
@scene_options
@report_options
@click.pass_obj
def finetune(
    report: Report,
    *,
    scene: str,
    polygons: str,
    output: Path,
    layer: str | None,
    network: Mapping[str, Any],
    learning: Mapping[str, Any],
    opening: Mapping[str, Any],
) -> None:
    """Tune a network on POLYGONS, one for each object, over the raster SCENE.

    Only the mask decoder learns. About a quarter of the polygons is held out to see what it is worth; the best state so
    far is always in the output, so the command may be stopped at any time. Use the options about the scene with which
    it will be segmented.
    """
    from geosam.scene import open_scene
    from geosam.training.finetune import Options, finetune
    from geosam.vector.polygons import read_polygons

    labels = read_polygons(polygons, layer)
    report.warn(labels.notes)
    with closing(open_scene(scene, **opening)) as opened:
        report.warn(opened.warnings)
        with report.progress() as progress:
            tuned = finetune(opened, labels, out=output, options=Options(**learning), progress=progress, **network)
    report.result({"output": str(output), **tuned.to_json()}, _lines(output, tuned))


def _lines(output: Path, tuned: Tuned) -> Iterator[str]:
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
