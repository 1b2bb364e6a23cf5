"""``geosam models``: which models there are."""

from __future__ import annotations

import click

from geosam.cli.options import report_options
from geosam.cli.report import Report


@click.group(invoke_without_command=True, short_help="List the models.")
@report_options
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the models that `geosam segment --model` knows, the default first."""
    from geosam.models.registry import registry

    facts = [
        {"name": name, "description": info.description, "devices": list(info.devices)}
        for name, info in registry.items()
    ]
    width = max(map(len, registry))
    lines = (f"{name:{width}}  {info.description} ({', '.join(info.devices)})" for name, info in registry.items())
    ctx.ensure_object(Report).result({"models": facts}, lines)
