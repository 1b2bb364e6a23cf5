"""The options for the report of a call: `--json`, `--quiet` and `--debug`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from geosam.apps.cli.report import Report

if TYPE_CHECKING:
    from geosam.apps.cli.options.schema import Command


def report_options(command: Command) -> Command:
    """Add ``--json``, ``--quiet`` and ``--debug``, which go into the call's :class:`Report`."""
    for name, text in (
        ("debug", "Show a traceback with an error."),
        ("quiet", "Show neither progress nor notes."),
        ("json", "Print one JSON object on stdout."),
    ):
        command = click.option(f"--{name}", is_flag=True, expose_value=False, callback=_into_report, help=text)(command)
    return command


def _into_report(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    report = ctx.ensure_object(Report)
    report.running = ctx.command  # click calls this for every command, with the flag or without
    if value:
        setattr(report, str(param.name), True)
