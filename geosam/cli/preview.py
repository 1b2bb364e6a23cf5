"""``geosam preview``: a picture of polygons on their scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from geosam.cli.options import report_options, scene_options


@click.command(short_help="Draw polygons on their scene.")
@click.argument("scene")
@click.argument("polygons")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Picture to write (.png).")
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
    layer: str | None,
    overwrite: bool,
    opening: Mapping[str, Any],
) -> None:
    """Draw the polygons of the vector file POLYGONS on the raster SCENE."""
