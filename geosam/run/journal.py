"""Journal: what an unfinished run has done already, so that the next one goes on from there.

One SQLite file beside the output, ``.<output>.journal``, holds the result of every finished task. A task is written
in one transaction, so a kill at any moment loses at most the task in flight; the lock that SQLite keeps on the file
is the run's claim on its output and vanishes with the process. The journal is removed when the output is complete.
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
    """The journal of one output; a context manager that keeps the file only if there is something to resume.

    Args:
        output: the file the run will write.
        identity: everything the results of the tasks depend on, JSON-able.
        restart: drop what an earlier run has done.

    Raises:
        JournalMismatch: an unfinished run with another identity owns the output.
        LockHeld: another process is at work on the output.
        ExportError: the journal cannot be read.
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
        with suppress(sqlite3.Error):
            if not self._one("SELECT EXISTS (SELECT 1 FROM tasks)"):
                self.remove()
        self._connection.close()

    def __len__(self) -> int:
        return int(self._one("SELECT count(*) FROM tasks"))

    @property
    def published(self) -> bool:
        """Whether an earlier run may already have put this very output under its final name."""
        return bool(self._one("SELECT EXISTS (SELECT 1 FROM facts WHERE name = 'published')"))

    def results(self) -> Iterator[tuple[int, bytes]]:
        """(number, result) of the tasks that are done, by number."""
        with closing(self._connection.execute("SELECT number, result FROM tasks ORDER BY number")) as rows:
            yield from rows

    def numbers(self) -> set[int]:
        """Numbers of the tasks that are done."""
        return {number for (number,) in self._connection.execute("SELECT number FROM tasks")}

    def record(self, number: int, result: bytes) -> None:
        """Keep the result of a task.

        Raises:
            DiskFull: no space is left beside the output.
        """
        with self._guarded():
            self._connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?)", (number, result))

    def mark_published(self) -> None:
        """Note that the output is about to get its final name."""
        with self._guarded():
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('published', 'yes')")

    def remove(self) -> None:
        """Forget the run: its output is complete, or there is nothing to resume."""
        self._connection.close()
        for suffix in ("-wal", "-shm", "-journal", ""):  # a log must never outlive its database
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        with self._guarded():
            connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA journal_mode = WAL")
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
        known = self._connection.execute("SELECT value FROM facts WHERE name = 'identity'").fetchone()
        if known is None:
            self._connection.execute("INSERT INTO facts VALUES ('identity', ?)", (identity,))
        self._connection.execute("COMMIT")
        if known is not None and known[0] != identity:
            difference = _difference(json.loads(known[0]), json.loads(identity))
            raise JournalMismatch(
                f"An unfinished run with other inputs or options owns the output: {self._output}: {difference}.",
                remedy="Use `restart=True` to drop its results, or choose another output.",
                code="journal-of-other-run",
                output=str(self._output),
                difference=difference,
            )

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise LockHeld(
                    f"Another run is writing this output: {self._output}.",
                    remedy="Wait for it, or choose another output.",
                    code="output-locked",
                    output=str(self._output),
                ) from error
            if "full" in str(error) or "disk I/O" in str(error):
                raise DiskFull(
                    f"No space is left for the journal of the run: {self._path}.",
                    remedy="Free some space and start again; finished tiles are kept.",
                    code="journal-disk-full",
                    journal=str(self._path),
                ) from error
            raise ExportError(
                f"The journal of the run cannot be written: {self._path}: {error}.",
                remedy="Choose another output folder.",
                code="journal-not-writable",
                journal=str(self._path),
            ) from error
        except sqlite3.DatabaseError as error:
            raise ExportError(
                f"The journal of an unfinished run is damaged: {self._path}: {error}.",
                remedy="Delete that file and start again.",
                code="journal-damaged",
                journal=str(self._path),
            ) from error


#: Characters of a value that a message shows.
_SHOWN = 40


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The fields in which two identities differ, for people."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return ", ".join(f"{name} was {was} and is {now_is}" for name, was, now_is in _short(names, before, now))


def _short(names: Sequence[str], before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, old, new), long values cut to where they begin to differ."""
    for name in names:
        was, now_is = (json.dumps(values.get(name)) for values in (before, now))
        same = next((i for i, pair in enumerate(zip(was, now_is, strict=False)) if pair[0] != pair[1]), 0)
        first = max(same - 12, 0) if max(len(was), len(now_is)) > _SHOWN else 0
        yield name, _cut(was, first), _cut(now_is, first)


def _cut(text: str, first: int) -> str:
    end = first + _SHOWN
    return f"{'...' if first else ''}{text[first:end]}{'...' if end < len(text) else ''}"
