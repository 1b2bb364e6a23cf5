"""``geosam models``: which models there are."""

from __future__ import annotations

import click

from geosam.cli.options import report_options
from geosam.cli.report import Report


@click.group(invoke_without_command=True, short_help="List the models.")
@report_options
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the models that `geosam segment --model` knows."""
    if ctx.invoked_subcommand is None:
        from geosam.models.registry import registry

        report = ctx.ensure_object(Report)
        width = max(map(len, registry))
        report.result({"models": list(registry)}, (f"{name:{width}}" for name in registry))
