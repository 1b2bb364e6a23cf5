"""Fingerprints of files: the identity of their content, and stamps that show a change while a file is used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Files up to this size are hashed completely, larger ones in blocks spread evenly from the first byte to the last.
_WHOLE_BYTES = 64 * 2**20
_BLOCKS, _BLOCK_BYTES = 256, 64 * 2**10


@dataclass(frozen=True)
class FileStamp:
    """Facts about a file that change when it is replaced or rewritten."""

    path: str
    """Absolute path."""
    inode: int
    """Inode number."""
    size: int
    """Size in bytes."""
    mtime_ns: int
    """Time of the last modification, in nanoseconds; programs can set it."""
    ctime_ns: int
    """Time of the last change of content, name or owner, in nanoseconds; no program can set it (on Windows the time of
    creation)."""

    @classmethod
    def of(cls, path: str) -> FileStamp:
        """Stamp a file as it is now.

        Raises:
            OSError: the file is gone.
        """
        info = os.stat(path)
        return cls(path, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def content_fingerprint(paths: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of the content of files; neither names of folders nor times enter it."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        # The suffix distinguishes a side-car from its raster; the rest of a name may change.
        digest.update(f"{Path(path).suffix}:{Path(path).stat().st_size}:".encode())
        digest.update(_file_digest(path))
    return digest.hexdigest()


def _file_digest(path: str) -> bytes:
    digest = hashlib.sha256()
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        if size <= _WHOLE_BYTES:
            while chunk := file.read(2**20):
                digest.update(chunk)
        else:
            for block in range(_BLOCKS):  # the first at the first byte, the last up to the last
                file.seek(block * (size - _BLOCK_BYTES) // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return digest.digest()
