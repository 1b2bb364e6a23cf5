"""The `geosam` command: the group, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import io
import logging
import os
import platform
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from typing import Final

import click

from geosam._version import __version__
from geosam.apps.cli.embed import embed
from geosam.apps.cli.evaluate import evaluate
from geosam.apps.cli.finetune import finetune
from geosam.apps.cli.info import info
from geosam.apps.cli.models import models
from geosam.apps.cli.preview import preview
from geosam.apps.cli.report import Report
from geosam.apps.cli.segment import segment
from geosam.apps.cli.signals import Signals
from geosam.apps.cli.worker import worker
from geosam.errors import DiskFull, GeosamError, Interrupted, OutOfMemory, Terminated, UsageError

#: What a shell reports for a program that SIGPIPE ended.
BROKEN_PIPE: Final = 141


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="geosam", message="%(prog)s %(version)s")
def cli() -> None:
    """Georeferenced imagery into clean polygons.

    Exit codes: 0 done, 1 internal error, 2 usage, 3 raster, 4 prompts, 5 model, 6 output, 7 done but some tiles failed,
    8 resources, 130 interrupted, 143 terminated.
    """


for command in (segment, embed, info, models, finetune, evaluate, preview, worker):
    cli.add_command(command)


def main() -> None:
    """Run the command with the arguments of this process, and end the process."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold any bytes
    report, signals = Report(), Signals()
    signals.install(lambda stop: report.close(*_outcome(stop, report)))
    sys.exit(run(sys.argv[1:], report, signals))


def run(args: Sequence[str], report: Report, signals: Signals) -> int:
    """One call of the command: whatever happens is one exit code, at most one error line and one JSON object."""
    report.command = shlex.join(["geosam", *args])
    error = _call(args, report)
    error = signals.received or error
    signals.settle()
    if isinstance(error, click.UsageError) and "--json" in args:
        report.json = True
    exit_code, text = _outcome(error, report)
    if report.debug and error is not None:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    try:
        report.close(exit_code, text)
        sys.stdout.flush()
    except OSError as closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(closed, BrokenPipeError):
            return BROKEN_PIPE
        click.echo(f"error: the result cannot be written to stdout: {closed.strerror}.", err=True)
        return DiskFull.exit_code
    return exit_code


def _call(args: Sequence[str], report: Report) -> BaseException | None:
    """Run the command; other libraries may neither warn nor log on their own account."""
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


def _outcome(error: BaseException | None, report: Report) -> tuple[int, str | None]:
    """Exit code and text of an error."""
    outcome: tuple[int, str | None]
    match error:
        case None:
            outcome = 0, None
        case BrokenPipeError():  # nobody reads stdout
            outcome = BROKEN_PIPE, None
        case Interrupted():
            outcome = error.exit_code, _stopped(error, report)
        case GeosamError():
            outcome = error.exit_code, str(error)
        case click.UsageError(ctx=ctx):
            place = ctx.command_path if ctx else "geosam"
            outcome = UsageError.exit_code, f"{error.format_message()} Try '{place} --help'."
        case MemoryError():
            found = str(error) or "an allocation failed"
            outcome = OutOfMemory.exit_code, f"out of memory: {found}. Lower --workers or --tile-size."
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            full = error.filename or "the disk of the output or of temporary files"
            outcome = DiskFull.exit_code, f"no space left on device: {full}. Free some space and run again."
        case _:
            found = f"{type(error).__name__}: {error}"
            outcome = GeosamError.exit_code, f"internal error: {found}. {_where(error, report)}"
    return outcome


def _stopped(error: Interrupted, report: Report) -> str:
    what = "terminated" if isinstance(error, Terminated) else "interrupted"
    return f"{what}. Finished tiles are kept: the same command goes on from there." if report.resumable else f"{what}."


def _where(error: BaseException, report: Report) -> str:
    """Where the traceback of an internal error is to be found."""
    if report.debug:
        return "This is a bug in geosam; please report it with the traceback above."
    header = f"geosam {__version__}, Python {platform.python_version()}, {platform.platform()}"
    text = "\n".join([header, report.command, "", *traceback.format_exception(error)])
    try:
        with tempfile.NamedTemporaryFile("wb", prefix="geosam-crash-", suffix=".txt", delete=False) as file:
            file.write(text.encode(errors="backslashreplace"))
    except OSError:
        return "This is a bug in geosam; please run again with --debug and report it."
    return f"This is a bug in geosam; please report it with {file.name}."
