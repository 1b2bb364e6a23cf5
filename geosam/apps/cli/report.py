"""What one call of the command says: warnings and progress on stderr, one result on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from geosam.apps.json_values import json_value


class Failure(NamedTuple):
    """Why a call ended in an error."""

    text: str
    """The sentences for the user."""
    code: str
    """Name of the error, as in :class:`~geosam.errors.GeosamError`."""
    values: Mapping[str, Any] = MappingProxyType({})
    """Values that the sentences are made of."""


class Report:
    """Collects the outcome of one call, so that ``--json`` prints exactly one object whatever happens."""

    def __init__(self) -> None:
        self.command = ""
        """The command line."""
        self.json = False
        """Whether the result is wanted as one JSON object."""
        self.quiet = False
        """Whether progress and notes are unwanted."""
        self.debug = False
        """Whether an error shows its traceback."""
        self.resumable = False
        """Whether the call goes on where it stopped when it is made again."""
        self.running: click.Command | None = None
        """The sub-command that runs, once its options are read."""
        self.reworded: Callable[[str], str] = str
        """Words a text of the library for this command line."""
        self._warnings: list[str] = []
        self._facts: dict[str, Any] = {}
        self._lines: list[str] = []

    def warn(self, texts: Iterable[str]) -> None:
        """Say each warning once, however many modules repeat it."""
        for text in map(self.reworded, texts):
            if text not in self._warnings:
                self._warnings.append(text)
                click.echo(f"warning: {_one_line(text)}", err=True)

    @contextmanager
    def logged(self) -> Iterator[None]:
        """What geosam's modules log is said too: warnings as warnings, the rest in passing."""

        def emit(record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                self.warn([record.getMessage()])
            else:
                self.note(record.getMessage())

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
        """Say something in passing that ``--quiet`` and ``--json`` drop."""
        if not (self.quiet or self.json):
            click.echo(_one_line(self.reworded(text)), err=True)

    def result(self, facts: Mapping[str, Any], lines: Iterable[str] = ()) -> None:
        """What the call was made for: `facts` for the JSON object, `lines` for people."""
        self._facts |= facts
        self._lines += map(self.reworded, lines)

    def close(self, exit_code: int, failure: Failure | None) -> None:
        """Say how the call ended, and its result.

        Raises:
            OSError: nobody reads stdout, or it cannot be written.
        """
        if failure is not None:
            click.echo(f"error: {_one_line(failure.text)}", err=True)
        if self.json:
            error = {} if failure is None else {"error": failure.text, "code": failure.code, "values": failure.values}
            outcome = {**self._facts, "warnings": self._warnings, **error, "exit_code": exit_code}
            self._lines = [json.dumps(json_value(outcome), allow_nan=False)]
        for line in self._lines:
            click.echo(line)

    @contextmanager
    def progress(self) -> Iterator[Callable[[int, int], None] | None]:
        """A ``progress(done, total)`` that draws a bar on a terminal; None where nobody watches."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from geosam.apps.cli.progress import bar

        with bar("tiles") as update:
            yield update


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
