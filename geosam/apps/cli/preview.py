"""``geosam preview``: a picture of polygons on their scene."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import schema_options
from geosam.options import OPENING, PREVIEW, values_for

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
    from geosam.api import preview as draw
    from geosam.scene import open_scene

    with closing(open_scene(scene, **values_for(OPENING, options))) as opened:
        report.warn(opened.warnings)
        draw(opened, polygons, output, **values_for(PREVIEW, options))
    report.result({"output": str(output)})
    report.note(f"{output}: written")
