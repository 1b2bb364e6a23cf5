"""The report of one call of the command: warnings and progress on stderr, one result on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from geosam.apps.cli.wording import Wording
from geosam.apps.json_values import json_value


class Failure(NamedTuple):
    """The error that ended a call, in words."""

    text: str
    """The sentences for the user."""
    code: str
    """Name of the error, as in :class:`~geosam.errors.GeosamError`."""
    values: Mapping[str, Any] = MappingProxyType({})
    """Values in the sentences, by name."""


class Report:
    """The outcome of one call, collected so that ``--json`` prints exactly one object whatever happens."""

    def __init__(self) -> None:
        self.command = ""
        """Command line of the call."""
        self.json = False
        """Print the result as one JSON object."""
        self.quiet = False
        """Show neither progress nor notes."""
        self.debug = False
        """Show the traceback of an error."""
        self.resumable = False
        """True if the same command would continue where this call stopped."""
        self.running: click.Command | None = None
        """Sub-command of the call; None until its options are read."""
        self.root: click.Command | None = None
        """The command `geosam` with all sub-commands, for the names of options in messages."""
        self._warnings: list[str] = []
        self._facts: dict[str, Any] = {}
        self._lines: list[str] = []

    @property
    def draws(self) -> bool:
        """Return True if progress bars are drawn: stderr is a terminal, and --quiet is not set."""
        return not self.quiet and sys.stderr.isatty()

    @property
    def wording(self) -> Wording:
        """Words of the running command."""
        return Wording(self.root or click.Group(), self.running)

    def reworded(self, text: str) -> str:
        """Return a text of the library in the words of the running command."""
        return self.wording.text(text) if "`" in text else text

    def warn(self, texts: Iterable[str]) -> None:
        """Print each warning once, even if several modules repeat it."""
        for text in map(self.reworded, texts):
            if text not in self._warnings:
                self._warnings.append(text)
                click.echo(f"warning: {_one_line(text)}", err=True)

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Print what geosam's modules log: warnings as warnings, all else as notes."""

        def emit(record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                self.warn([record.getMessage()])
            else:
                self.note(record.getMessage())

        # A handler of our own: the one of `logging` would print to stderr in a format of its own.
        handler = logging.Handler()
        handler.emit = emit  # type: ignore[method-assign]
        logger, level = logging.getLogger("geosam"), logging.getLogger("geosam").level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    def note(self, text: str) -> None:
        """Print a note. ``--quiet`` and ``--json`` drop it."""
        if not (self.quiet or self.json):  # a program that reads JSON reads no notes
            click.echo(_one_line(self.reworded(text)), err=True)

    def result(self, facts: Mapping[str, Any], lines: Iterable[str] = ()) -> None:
        """Add to the result: `facts` for the JSON object, `lines` for people."""
        self._facts |= facts
        self._lines += map(self.reworded, lines)

    def close(self, exit_code: int, failure: Failure | None) -> None:
        """Print how the call ended, and its result.

        Raises:
            OSError: nobody reads stdout, or it cannot be written.
        """
        if failure is not None:
            click.echo(f"error: {_one_line(failure.text)}", err=True)
        if self.json:
            error = {} if failure is None else {"error": failure.text, "code": failure.code, "values": failure.values}
            outcome = {**self._facts, "warnings": self._warnings, **error, "exit_code": exit_code}
            # In every case a program reads one line with one object.
            self._lines = [json.dumps(json_value(outcome), allow_nan=False)]
        for line in self._lines:
            click.echo(line)

    @contextmanager
    def progress(self) -> Iterator[Callable[[int, int], None] | None]:
        """Yield a function ``progress(done, total)`` that draws a bar of tiles, or None without a terminal."""
        if not self.draws:
            yield None
            return
        from geosam.run.progress_bar import bar

        with bar("tiles") as update:
            yield update


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
