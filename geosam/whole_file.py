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
    """Give a name to write a file under; at a good end of the block the file replaces `path` at once.

    If the block fails, `path` stays as it was and what was written is removed. Several processes may write one path:
    the last one wins. (Outputs of users need more: see :class:`geosam.vector.staging.Staging`.)

    Args:
        path: the file; its folder exists.
        synced: True to bring the bytes to the disk first, so that not even a power failure leaves half a file.

    Yields:
        Name of a file that does not exist yet, beside `path` because a rename cannot leave a file system.

    Raises:
        OSError: the file cannot be renamed.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield draft
        if synced:
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:  # Ctrl-C included
        with suppress(OSError):
            draft.unlink()
        raise
