"""``geosam evaluate``: scores of predicted polygons against reference polygons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geosam import api
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import schema_options
from geosam.options import EVALUATION, without_none

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report


@click.command(short_help="Compare predicted with reference polygons.")
@click.argument("predicted")
@click.argument("reference")
@schema_options(EVALUATION)
@report_options
@click.pass_obj
def evaluate(report: Report, /, *, predicted: str, reference: str, **options: Any) -> None:
    """Compare the polygons of PREDICTED with those of REFERENCE, one to one."""
    scores = api.evaluate(predicted, reference, **without_none(options))
    report.warn(scores.notes)
    report.result(scores.to_json(), scores.lines())
