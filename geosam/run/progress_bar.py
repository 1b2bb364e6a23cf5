"""The progress bar of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class RateColumn(ProgressColumn):
    """Column with the number of steps a second, empty before the first step."""

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


@contextmanager
def bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a bar on stderr with the steps done, the rate and the time left. It is wiped at the end.

    Yields:
        ``update(done, total)``, which any thread may call.
    """
    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(unit, total=None)

        def update(done: int, total: int) -> None:
            drawn.update(task, completed=done, total=total)

        yield update
