"""``geosam preview``: a picture of polygons on their scene."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.scene import report_options, scene_options

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report


@click.command(short_help="Draw polygons on their scene.")
@click.argument("scene")
@click.argument("polygons")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Picture to write (.png).")
@click.option("--size", type=click.IntRange(min=1), default=1600, show_default=True, metavar="PX", help="Longest side.")
@click.option("--layer", help="Layer of POLYGONS, where it has several.")
@click.option("--overwrite", is_flag=True, help="Replace the picture.")
@scene_options
@report_options
@click.pass_obj
def preview(
    report: Report,
    *,
    scene: str,
    polygons: str,
    output: Path,
    size: int,
    layer: str | None,
    overwrite: bool,
    opening: Mapping[str, Any],
) -> None:
    """Draw the polygons of the vector file POLYGONS on the raster SCENE."""
    from geosam.evaluation.preview import preview as draw
    from geosam.scene import open_scene

    with closing(open_scene(scene, **opening)) as opened:
        report.warn(opened.warnings)
        draw(opened, polygons, output, max_side=size, layer=layer, overwrite=overwrite)
    report.result({"output": str(output)})
    report.note(f"{output}: written")
