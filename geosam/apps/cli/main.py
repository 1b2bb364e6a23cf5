"""The `geosam` command: its sub-commands, and the one place where errors become exit codes."""

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
from functools import partial
from typing import Final

import click

from geosam._version import __version__
from geosam.apps.cli.embed import embed
from geosam.apps.cli.evaluate import evaluate
from geosam.apps.cli.finetune import finetune
from geosam.apps.cli.info import info
from geosam.apps.cli.models import models
from geosam.apps.cli.preview import preview
from geosam.apps.cli.report import Failure, Report
from geosam.apps.cli.segment import segment
from geosam.apps.cli.signals import Signals
from geosam.apps.cli.wording import Wording
from geosam.apps.cli.worker import worker
from geosam.errors import DiskFull, GeosamError, Interrupted, OutOfMemory, Terminated, UsageError

#: Exit code that a shell reports for a program that SIGPIPE ended.
BROKEN_PIPE: Final = 141


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
    signals.install(lambda stop: report.close(*_outcome(stop, report)))
    sys.exit(run(sys.argv[1:], report, signals))


def _reworded(report: Report, text: str) -> str:
    """Word a text of the library, if it names a parameter at all, for the command that runs."""
    return Wording(cli, report.running).text(text) if "`" in text else text


def run(args: Sequence[str], report: Report, signals: Signals) -> int:
    """Run one call of the command and return its exit code.

    However the call ends, it prints at most one error line and one JSON object.
    """
    report.command = shlex.join(["geosam", *args])
    report.reworded = partial(_reworded, report)
    error = _call(args, report)
    error = signals.received or error  # a library may have swallowed the interruption
    signals.settle()
    # click may find a wrong option before it reads --json.
    if isinstance(error, click.UsageError) and "--json" in args:
        report.json = True
    exit_code, failure = _outcome(error, report)
    if report.debug and error is not None:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
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


def _outcome(error: BaseException | None, report: Report) -> tuple[int, Failure | None]:
    """Return the exit code of an error, and what is said about it."""
    outcome: tuple[int, Failure | None]
    match error:
        case None:
            outcome = 0, None
        case BrokenPipeError():  # nobody reads stdout
            outcome = BROKEN_PIPE, None
        case Interrupted():
            outcome = error.exit_code, Failure(_stopped(error, report), error.code)
        case GeosamError():
            text = Wording(cli, report.running).error(error)
            outcome = error.exit_code, Failure(text, error.code, error.values)
        case click.UsageError(ctx=ctx):
            place = ctx.command_path if ctx else "geosam"
            text = f"{error.format_message()} Try '{place} --help'."
            outcome = UsageError.exit_code, Failure(text, UsageError().code)
        case MemoryError():
            cause = str(error) or "an allocation failed"
            text = f"out of memory: {cause}. Lower --workers or --tile-size."
            outcome = OutOfMemory.exit_code, Failure(text, OutOfMemory().code)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            place = error.filename or "the disk of the output or of temporary files"
            text = f"no space left on device: {place}. Free some space and run again."
            outcome = DiskFull.exit_code, Failure(text, DiskFull().code, {"path": place})
        case _:
            text = f"internal error: {type(error).__name__}: {error}. {_where(error, report)}"
            outcome = GeosamError.exit_code, Failure(text, "internal-error", {"type": type(error).__name__})
    return outcome


def _stopped(error: Interrupted, report: Report) -> str:
    ending = "terminated" if isinstance(error, Terminated) else "interrupted"
    if not report.resumable:
        return f"{ending}."
    return f"{ending}. Finished tiles are kept: the same command continues from there."


def _where(error: BaseException, report: Report) -> str:
    """Write the traceback of an internal error to a file, unless it is shown, and say where it is."""
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
