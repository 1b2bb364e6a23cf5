"""The outcome of a call: an error becomes an exit code and a sentence."""

from __future__ import annotations

import errno
import platform
import tempfile
import traceback
from typing import Final

import click

from geosam._version import __version__
from geosam.apps.cli.report import Failure, Report
from geosam.errors import DiskFull, GeosamError, Interrupted, OutOfMemory, Terminated, UsageError

#: Exit code that a shell reports for a program that SIGPIPE ended.
BROKEN_PIPE: Final = 141


def outcome_of(error: BaseException | None, report: Report) -> tuple[int, Failure | None]:
    """Return the exit code of a call that ended in `error`, and the failure to report; both are empty for success.

    Args:
        error: the error, None if the call succeeded.
        report: the report of the call, for its words and for the traceback of internal errors.
    """
    outcome: tuple[int, Failure | None] = 0, None
    match error:
        case None:
            pass
        case BrokenPipeError():  # nobody reads stdout
            outcome = BROKEN_PIPE, None
        case Interrupted():
            outcome = error.exit_code, Failure(_stopped(error, report), error.code)
        case GeosamError():
            text = report.wording.error(error)
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
            text = f"internal error: {type(error).__name__}: {error}. {_bug_notice(error, report)}"
            outcome = GeosamError.exit_code, Failure(text, "internal-error", {"type": type(error).__name__})
    return outcome


def _stopped(error: Interrupted, report: Report) -> str:
    """Return the sentences about an interrupted call."""
    ending = "terminated" if isinstance(error, Terminated) else "interrupted"
    if not report.resumable:
        return f"{ending}."
    return f"{ending}. Finished tiles are kept: the same command continues from there."


def _bug_notice(error: BaseException, report: Report) -> str:
    """Return a sentence that asks the user to report a bug. Without --debug, write the traceback to a file first."""
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
