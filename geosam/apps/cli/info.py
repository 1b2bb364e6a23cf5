"""``geosam info``: facts about a raster, as `segment` would use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from geosam.apps.cli.options.opening import opened_scene
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.options.schema import schema_options
from geosam.options import OPENING

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report


@click.command(short_help="Describe a raster as `segment` would use it.")
@click.argument("scene")
@schema_options(OPENING)
@report_options
@click.pass_obj
def info(report: Report, /, scene: str, **options: Any) -> None:
    """Describe the raster SCENE as `geosam segment` with the same options would use it."""
    with opened_scene(report, scene, options) as opened:
        facts = opened.describe()
    report.result(facts, _lines(facts))


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each fact, without the warnings, which stderr shows."""
    shown = {name.replace("_", " "): value for name, value in facts.items() if name != "warnings"}
    width = max(map(len, shown))
    return (f"{name:{width}}  {_text(value)}" for name, value in shown.items())


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "-"
    if isinstance(value, float):
        return f"{value:.12g}"
    return "-" if value is None else str(value)
