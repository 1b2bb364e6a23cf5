"""The progress bar of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class RateColumn(ProgressColumn):
    """Steps a second, once there is something to measure."""

    def render(self, task: Task) -> Text:
        """The rate as text."""
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


@contextmanager
def bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Draw on stderr how many of how many steps are done, the rate and the time left; wiped at the end.

    Yields:
        ``update(done, total)``, which any thread may call.
    """
    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(unit, total=None)

        def update(done: int, total: int) -> None:
            drawn.update(task, completed=done, total=total)

        yield update
