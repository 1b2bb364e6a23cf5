"""What one call of the command says: warnings and progress on stderr, one result on stdout."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click


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
        self._warnings: list[str] = []
        self._facts: dict[str, Any] = {}
        self._lines: list[str] = []

    def warn(self, texts: Iterable[str]) -> None:
        """Say each warning once, however many modules repeat it."""
        for text in texts:
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
            click.echo(_one_line(text), err=True)

    def result(self, facts: Mapping[str, Any], lines: Iterable[str] = ()) -> None:
        """What the call was made for: `facts` for the JSON object, `lines` for people."""
        self._facts |= facts
        self._lines += lines

    def close(self, exit_code: int, error: str | None) -> None:
        """Say how the call ended, and its result.

        Raises:
            OSError: nobody reads stdout, or it cannot be written.
        """
        if error is not None:
            click.echo(f"error: {_one_line(error)}", err=True)
        if self.json:
            failure = {} if error is None else {"error": error}
            outcome = {**self._facts, "warnings": self._warnings, **failure, "exit_code": exit_code}
            self._lines = [json.dumps(_plain(outcome), default=str, allow_nan=False)]
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


def _plain(value: Any) -> Any:
    """The value as JSON knows it: a number that is not finite has no JSON form and becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
