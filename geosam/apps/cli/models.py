"""``geosam models``: the models by name, and their checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from geosam import api
from geosam.apps.cli.checkpoints import download, path, verify
from geosam.apps.cli.options.reporting import report_options
from geosam.apps.cli.report import Report

if TYPE_CHECKING:
    from geosam.segmenters.catalogue import Model


@click.group(invoke_without_command=True, short_help="List the models; download and verify checkpoints.")
@report_options
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the models for `geosam segment --model`, the default first, and manage their checkpoints.

    Checkpoints lie in the user's cache folder, or in the folder that the environment variable GEOSAM_CHECKPOINTS
    names. You may copy files there yourself, under their official names.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Report))


@models.command("list", short_help="List the models.")
@report_options
@click.pass_obj
def list_models(report: Report) -> None:
    """List the models, the default first, and show which checkpoints are present."""
    _list(report)


for command in (download, verify, path):
    models.add_command(command)


def _list(report: Report) -> None:
    listed = api.models()
    report.warn(listed.warnings)
    width = max(map(len, listed))
    report.result(
        {"models": [model.to_json() for model in listed.values()]},
        (f"{name:{width}}  {_line(model)}" for name, model in listed.items()),
    )


def _line(model: Model) -> str:
    devices = f" ({', '.join(model.devices)})" if model.devices else ""
    weights = "" if model.checkpoint is None else f" [{model.weights}]"
    return f"{model.description}{devices}{weights}"
