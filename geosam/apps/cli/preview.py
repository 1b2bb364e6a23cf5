"""``geosam preview``: a picture of polygons on their scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosam import api
from geosam.apps.cli.options.opening import opened_scene
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import schema_options
from geosam.options import OPENING, PREVIEW, without_none

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report


@click.command(short_help="Draw polygons on their scene.")
@click.argument("scene")
@click.argument("polygons")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Picture to write (.png).")
@schema_options(PREVIEW, OPENING)
@report_options
@click.pass_obj
def preview(report: Report, /, *, scene: str, polygons: str, output: Path, **options: Any) -> None:
    """Draw the polygons of the vector file POLYGONS on the raster SCENE."""
    with opened_scene(report, scene, options) as opened:
        api.preview(opened, polygons, output, **without_none(options))
    report.result({"output": str(output)})
    report.note(f"{output}: written")
