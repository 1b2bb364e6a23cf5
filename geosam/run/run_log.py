"""Log of a run: progress, failures and warnings, passed to the observer as they happen."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geosam.errors import SceneError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from geosam.objects.observer import Observer
    from geosam.run.executor import Executor
    from geosam.run.jobs import SceneJob


@dataclass(eq=False)
class RunLog:
    """Progress, failures and warnings of one run."""

    observer: Observer
    """Follows the run."""
    total: int
    """Number of tasks."""
    done: int = 0
    """Number of tasks that are finished."""
    failures: dict[int, str] = field(default_factory=dict)
    """Reasons of the tasks that failed, by task."""
    _warnings: dict[str, None] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Different warnings, in the order in which they came."""
        return tuple(self._warnings)

    @property
    def failed_tiles(self) -> tuple[str, ...]:
        """Reasons of the failed tasks, in the order of the tasks."""
        return tuple(self.failures[task] for task in sorted(self.failures))

    def add_warnings(self, texts: Iterable[str]) -> None:
        """Keep warnings, and pass each text to the observer once."""
        for text in texts:
            if text not in self._warnings:  # several processes may send the same warning
                self._warnings[text] = None
                self.observer.warning(text)

    def fail(self, name: str, task: int, error: SceneError, *, allow_partial: bool) -> None:
        """Keep the reason of a failed task.

        Raises:
            SceneError: the error itself, unless `allow_partial`.
        """
        if not allow_partial:
            raise error
        self.failures[task] = f"{name}: {error}"

    def advance(self, count: int = 1) -> None:
        """Count finished tasks."""
        self.done += count
        self.observer.progress(self.done, self.total)


def compute(
    job: SceneJob, tasks: Sequence[int], executor: Executor, log: RunLog, *, allow_partial: bool
) -> Generator[tuple[int, bytes | None], None, None]:
    """Yield (task, result) for every task in any order, None for a failed one, and log what happens.

    Raises:
        SceneError: the raster cannot be read, unless `allow_partial`.
    """
    with closing(executor.run(job, tasks)) as outcomes:
        for task, result, warnings in outcomes:
            log.add_warnings(warnings)
            if isinstance(result, SceneError):
                log.fail(job.name(task), task, result, allow_partial=allow_partial)
                yield task, None
            else:
                yield task, result
            log.observer.window(job.window(task), "ended")
            log.advance()
