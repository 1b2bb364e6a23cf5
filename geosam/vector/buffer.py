"""Buffer: features that wait on the disk until their format writes them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Self

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: Rows of a batch that is read; fixed, so that the bytes of an output do not depend on the size of appended batches.
ROWS = 4096


class FeatureBuffer:
    """Compressed Arrow stream on disk: features are appended in batches, then read as often as needed.

    Every batch that is read has ROWS rows; only the last one may have fewer.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Create the file at `path` for batches of `schema`."""
        self._path = path
        self._file = path.open("wb")
        self._stream = pa.ipc.new_stream(self._file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # after a failure nobody reads the file; else end() has reported it
            self._file.close()

    def append(self, batch: pa.RecordBatch) -> None:
        """Append a batch of any size; it is written when ROWS rows have come together."""
        self._waiting.append(batch)
        if sum(waiting.num_rows for waiting in self._waiting) >= ROWS:
            rows = pa.Table.from_batches(self._waiting).combine_chunks()
            full = rows.num_rows // ROWS * ROWS
            self._stream.write_table(rows.slice(0, full), max_chunksize=ROWS)
            self._waiting = rows.slice(full).to_batches()

    def end(self) -> None:
        """Complete the file; no batch can be appended afterwards."""
        if self._waiting:
            self._stream.write_table(pa.Table.from_batches(self._waiting).combine_chunks())
        self._stream.close()
        self._file.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(os.fspath(self._path)) as file:
            yield from pa.ipc.open_stream(file)
