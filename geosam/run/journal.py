"""Journal: the finished tasks of an unfinished run, from which the next run continues.

One SQLite file beside the output, ``.<output>.journal``, holds the result of every finished task. Each result is one
transaction, so a process that is killed loses at most the task it works on. The journal is removed when the output is
complete.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from geosam.errors import DiskFull, ExportError, JournalMismatch, LockHeld

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (number INTEGER PRIMARY KEY, result BLOB NOT NULL);
"""


class Journal:
    """Journal of one output; a context manager that keeps the file only if it holds a result.

    Args:
        output: file that the run will write.
        identity: all values that the results of the tasks depend on, as values that JSON can hold.
        restart: drop the results of an earlier run.

    Raises:
        JournalMismatch: an unfinished run with another identity owns the output.
        LockHeld: another process writes the output.
        ExportError: the journal cannot be read or written.
        DiskFull: no space is left beside the output.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any], *, restart: bool = False) -> None:
        self._output = output
        self._path = output.with_name(f".{output.name}.journal")
        self._connection = self._connect()
        try:
            with self._guarded():
                self._begin(json.dumps(identity, sort_keys=True), restart=restart)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(sqlite3.Error):  # `remove` may have closed the connection
            if not self._value("SELECT EXISTS (SELECT 1 FROM tasks)"):
                self.remove()
        self._connection.close()

    def __len__(self) -> int:
        return int(self._value("SELECT count(*) FROM tasks"))

    @property
    def published(self) -> bool:
        """True if an earlier run may have moved this output to its final name already."""
        return bool(self._value("SELECT EXISTS (SELECT 1 FROM facts WHERE name = 'published')"))

    def results(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number, result) of the finished tasks, by number."""
        with closing(self._connection.execute("SELECT number, result FROM tasks ORDER BY number")) as rows:
            yield from rows

    def numbers(self) -> set[int]:
        """Return the numbers of the finished tasks."""
        return {number for (number,) in self._connection.execute("SELECT number FROM tasks")}

    def record(self, number: int, result: bytes) -> None:
        """Write the result of a task to disk.

        Raises:
            DiskFull: no space is left beside the output.
        """
        with self._guarded():
            self._connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?)", (number, result))

    def mark_published(self) -> None:
        """Note that the output is about to be moved to its final name.

        A run that is killed between that move and :meth:`remove` needs no `overwrite` the next time.
        """
        with self._guarded():
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('published', 'yes')")

    def remove(self) -> None:
        """Delete the journal: the output is complete, or there is no result to keep."""
        self._connection.close()
        for suffix in ("-wal", "-shm", "-journal", ""):  # a log must never outlive its database
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        with self._guarded():
            connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                # The lock reserves the output for this run. The system releases it when the process ends.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA journal_mode = WAL")
                # Safe against a kill; a power failure may lose the last tasks, which are computed again.
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            return connection

    def _begin(self, identity: str, *, restart: bool) -> None:
        self._connection.execute("BEGIN")
        for statement in _SCHEMA.strip().split("\n"):
            self._connection.execute(statement)
        if restart:
            self._connection.execute("DELETE FROM tasks")
            self._connection.execute("DELETE FROM facts")
        stored = self._connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()
        if stored is None:
            self._connection.execute("INSERT INTO facts VALUES ('identity', ?)", (identity,))
        self._connection.execute("COMMIT")
        if stored is not None and stored[0] != identity:
            difference = _difference(json.loads(stored[0]), json.loads(identity))
            raise JournalMismatch(
                f"an unfinished run with other inputs or options owns the output: {self._output}: {difference}.",
                remedy="Use `restart=True` to drop its results, or choose another output.",
                code="journal-of-other-run",
                output=str(self._output),
                difference=difference,
            )

    def _value(self, query: str) -> Any:
        """Return the first value of the first row."""
        return self._connection.execute(query).fetchone()[0]

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn errors of SQLite into errors of geosam."""
        try:
            yield
        except sqlite3.OperationalError as error:
            # One class of SQLite's stands for all these faults; only its texts, which do not change, tell them apart.
            if "locked" in str(error):
                raise LockHeld(
                    f"another run is writing this output: {self._output}.",
                    remedy="Wait for it, or choose another output.",
                    code="output-locked",
                    output=str(self._output),
                ) from error
            if "full" in str(error) or "disk I/O" in str(error):
                raise DiskFull(
                    f"no space is left for the journal of the run: {self._path}.",
                    remedy="Free some space and start again; finished tiles are kept.",
                    code="journal-disk-full",
                    journal=str(self._path),
                ) from error
            raise ExportError(
                f"the journal of the run cannot be written: {self._path}: {error}.",
                remedy="Choose another output folder.",
                code="journal-not-writable",
                journal=str(self._path),
            ) from error
        except sqlite3.DatabaseError as error:
            raise ExportError(
                f"the journal of an unfinished run is damaged: {self._path}: {error}.",
                remedy="Delete that file and start again.",
                code="journal-damaged",
                journal=str(self._path),
            ) from error


#: Number of characters of a value that a message shows.
_SHOWN = 40


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name the fields in which two identities differ, with both values, for people."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return ", ".join(f"{name} was {old} and is {new}" for name, old, new in _short(names, before, now))


def _short(names: Sequence[str], before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, old value, new value); long values are cut to the place where they begin to differ."""
    for name in names:
        old, new = (json.dumps(values.get(name)) for values in (before, now))
        same = next((i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), 0)
        first = max(same - 12, 0) if max(len(old), len(new)) > _SHOWN else 0
        yield name, _cut(old, first), _cut(new, first)


def _cut(text: str, first: int) -> str:
    end = first + _SHOWN
    return f"{'...' if first else ''}{text[first:end]}{'...' if end < len(text) else ''}"
