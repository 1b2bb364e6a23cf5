"""The observer of a call: progress on the terminal, warnings as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from geosam.objects.observer import Observer

if TYPE_CHECKING:
    from geosam.apps.cli.report import Report


class ReportingObserver(Observer):
    """Observer that passes progress and warnings of a run to the report.

    Args:
        report: the report of the call.
        update: function that draws (tiles done, tiles in all), or None.
    """

    def __init__(self, report: Report, update: Callable[[int, int], None] | None) -> None:
        self._report, self._update = report, update

    def progress(self, done: int, total: int) -> None:
        """Draw the progress. From now on the same command would continue the run."""
        self._report.resumable = True  # the journal has a tile now
        if self._update is not None:
            self._update(done, total)

    def warning(self, text: str) -> None:
        """Report a warning."""
        self._report.warn([text])


@contextmanager
def reporting(report: Report) -> Iterator[ReportingObserver]:
    """Yield an observer for a run, with a progress bar on a terminal."""
    with report.progress() as update:
        yield ReportingObserver(report, update)
