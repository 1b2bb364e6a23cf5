"""Staging: a hidden folder beside the output, in which the output is made and from which it is moved as a whole."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from geosam.errors import DiskFull, ExportError, LockHeld

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXT = re.compile("no space left|disk is full|disk quota|file too large", re.IGNORECASE)
_RETIRED = "retired"


class Staging:
    """A hidden folder beside the output; locked while in use, gone afterwards, whatever happens.

    Folders that killed runs left for the same output are removed on entry.
    """

    def __init__(self, path: Path) -> None:
        self.final = Path(os.path.realpath(path))
        self._prefix = f".geosam-{zlib.crc32(os.fsencode(self.final.name)):08x}-"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self.final.parent))
        self._lock = _lock(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        _unlock(self._lock)

    def publish(self, made: Sequence[Path]) -> None:
        """Move finished files to their final names, the one that makes the set readable last.

        Args:
            made: Files in the staging folder, named as they will be; the last one is the output itself.
        """
        for path in made:
            _sync(path)
        if len(made) == 1:
            os.replace(made[0], self.final)
        else:
            self._publish_set(made)
        _sync(self.final.parent)

    def _publish_set(self, made: Sequence[Path]) -> None:
        """Retire the old set into the staging folder, main file first; it returns if anything fails before the end."""
        retired = self.folder / _RETIRED
        retired.mkdir()
        old = [p for p in siblings(self.final) if p != self.final]
        try:
            for path in [self.final, *old]:
                if path.exists():
                    os.replace(path, retired / path.name)
            for path in made:
                os.replace(path, self.final.parent / path.name)
        except BaseException:
            _restore(self.folder, self.final)
            raise

    def _sweep(self) -> None:
        for folder in self.final.parent.glob(self._prefix + "*"):
            lock = _lock(folder)
            _restore(folder, self.final)
            shutil.rmtree(folder, ignore_errors=True)
            _unlock(lock)
            logger.info("removed what an interrupted run left: %s", folder)


def siblings(path: Path) -> list[Path]:
    """The files that belong to one shapefile, those that exist, whatever their extensions' case."""
    stem, known = path.stem, {f".{e}" for e in "shp shx dbf prj cpg qix qpj sbn sbx fbn fbx ain aih ixs".split()}
    extra = {f"{path.name}.xml".lower(), f"{path.name}.json".lower()}
    return sorted(
        p
        for p in path.parent.iterdir()
        if (p.stem == stem and p.suffix.lower() in known) or (p.name.startswith(stem) and p.name.lower() in extra)
    )


@contextlib.contextmanager
def failures_reported(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn what the libraries below raise into DiskFull or ExportError about `path`.

    Args:
        path: The output.
        needed: About how many bytes the output takes, if known.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError, pa.ArrowException, sqlite3.Error) as error:
        if isinstance(error, ExportError | DiskFull | LockHeld):
            raise
        raise _failure(path, error, needed) from error


def _failure(path: Path, error: Exception, needed: int) -> ExportError | DiskFull:
    if getattr(error, "errno", None) in _FULL or _FULL_TEXT.search(str(error)):
        free = shutil.disk_usage(path.parent).free
        wanted = f"about {needed / 1e6:,.1f} MB wanted" if needed else "more wanted"
        return DiskFull(
            f"no space left for the output: {path}: {free / 1e6:,.1f} MB free, {wanted}. "
            "Free some space or write to another disk"
        )
    reason = (getattr(error, "strerror", None) or str(error)).strip().rstrip(".").replace("\n", "; ")
    return ExportError(
        f"the output cannot be written: {path}: {reason}, a folder and a file that can be written wanted. "
        "Check the folder, its permissions and the disk"
    )


def _restore(folder: Path, final: Path) -> None:
    """Put a retired set back unless a complete new one has taken its place."""
    retired = folder / _RETIRED
    if not (retired / final.name).exists() or final.exists():
        return
    for path in sorted(retired.iterdir(), key=lambda p: p.name == final.name):
        os.replace(path, final.parent / path.name)


def _lock(folder: Path) -> int | None:
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LockHeld(
            f"another run is writing this output: {folder.parent}: {folder.name} is in use, no other writer wanted. "
            "Wait for it or choose another output"
        ) from None
    return descriptor


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
