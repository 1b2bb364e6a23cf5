"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole_file(path: Path, *, synced: bool = False) -> Iterator[Path]:
    """Yield a temporary name to write a file under; when the block succeeds, the file replaces `path` at once.

    If the block fails, `path` stays as it was and the temporary file is removed. Several processes may write one path:
    the last one wins. (Outputs of users need more: see :class:`geosam.vector.staging.Staging`.)

    Args:
        path: the file; its folder exists.
        synced: True to write the bytes to the disk before the rename, so that a power failure cannot leave half a file.

    Yields:
        Path of a file that does not exist yet, in the same folder, because a rename works only inside a file system.

    Raises:
        OSError: the file cannot be renamed.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        if synced:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:  # Ctrl-C included
        with suppress(OSError):
            partial.unlink()
        raise
