"""The `geosam` command: its sub-commands, and the one place where a call ends."""

from __future__ import annotations

import io
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from geosam._version import __version__
from geosam.apps.cli.embed import embed
from geosam.apps.cli.evaluate import evaluate
from geosam.apps.cli.finetune import finetune
from geosam.apps.cli.info import info
from geosam.apps.cli.models import models
from geosam.apps.cli.outcome import BROKEN_PIPE, outcome_of
from geosam.apps.cli.preview import preview
from geosam.apps.cli.report import Report
from geosam.apps.cli.segment import segment
from geosam.apps.cli.signals import Signals
from geosam.apps.cli.worker import worker
from geosam.errors import DiskFull


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="geosam", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn georeferenced imagery into clean polygons.

    Exit codes: 0 done, 1 internal error, 2 usage, 3 raster, 4 prompts, 5 model, 6 output, 7 done but some tiles failed,
    8 resources, 130 interrupted, 143 terminated.
    """


for command in (segment, embed, info, models, finetune, evaluate, preview, worker):
    cli.add_command(command)


def main() -> None:
    """Run the command with the arguments of this process, and end the process."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold bytes that no encoding knows
    report, signals = Report(), Signals()
    signals.install(lambda stop: report.close(*outcome_of(stop, report)))
    sys.exit(run(sys.argv[1:], report, signals))


def run(args: Sequence[str], report: Report, signals: Signals) -> int:
    """Run one call of the command and return its exit code.

    Every call prints at most one error line and one JSON object, however it ends.
    """
    report.command = shlex.join(["geosam", *args])
    report.root = cli
    error = _call(args, report)
    error = signals.received or error  # a library may have swallowed the interruption
    signals.settle()
    # click may find a wrong option before it reads --json.
    if isinstance(error, click.UsageError) and "--json" in args:
        report.json = True
    if report.debug and error is not None:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    exit_code, failure = outcome_of(error, report)
    try:
        report.close(exit_code, failure)
        sys.stdout.flush()
    except OSError as closed:
        # Python flushes stdout once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(closed, BrokenPipeError):
            return BROKEN_PIPE
        click.echo(f"error: the result cannot be written to stdout: {closed.strerror}.", err=True)
        return DiskFull.exit_code
    return exit_code


def _call(args: Sequence[str], report: Report) -> BaseException | None:
    """Run the command and return the error that ended it. Warnings and logs of other libraries are not shown."""
    # Without a handler Python would print the warnings that libraries log.
    logging.getLogger().addHandler(logging.NullHandler())
    with warnings.catch_warnings(), report.logged():
        warnings.simplefilter("ignore")
        try:
            with cli.make_context("geosam", list(args) or ["--help"], obj=report) as context:
                cli.invoke(context)
        except click.exceptions.Exit:  # --help and --version
            return None
        except BaseException as error:  # noqa: BLE001 - this is the boundary: every error ends here
            return error
    return None
