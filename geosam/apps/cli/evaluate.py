"""``geosam evaluate``: scores of predicted polygons against reference polygons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from geosam import api
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import schema_options
from geosam.options import EVALUATION, set_values

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report
    from geosam.evaluation.compare import Evaluation


@click.command(short_help="Compare predicted with reference polygons.")
@click.argument("predicted")
@click.argument("reference")
@schema_options(EVALUATION)
@report_options
@click.pass_obj
def evaluate(report: Report, /, *, predicted: str, reference: str, **options: Any) -> None:
    """Compare the polygons of PREDICTED with those of REFERENCE, one to one."""
    scores = api.evaluate(predicted, reference, **set_values(options))
    report.warn(scores.notes)
    report.result(scores.to_json(), _lines(scores))


def _lines(scores: Evaluation) -> Iterator[str]:
    yield f"predicted {scores.predicted}, reference {scores.reference}, matched {scores.matched} at IoU {scores.iou:g}"
    rows = (
        ("precision", scores.precision),
        ("recall", scores.recall),
        ("F1", scores.f1),
        ("mean IoU of the matched", scores.mean_iou_matched),
        ("mean best IoU of the reference", scores.mean_iou_reference),
        ("over-segmentation", scores.segmentation.over),
        ("under-segmentation", scores.segmentation.under),
        (f"boundary F within {scores.boundary.tolerance_m:.2g} m", scores.boundary.f1),
    )
    for name, value in rows:
        yield f"  {name:32} {'-' if value is None else f'{value:.3f}'}"
    for name, score in scores.classes.items():
        yield f"  class {name}: reference {score.reference}, recall {score.recall:.3f}, mean IoU {score.mean_iou:.3f}"
