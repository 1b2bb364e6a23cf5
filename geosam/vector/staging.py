"""Staging: an output is made in a hidden folder beside its place, then moved there as a whole."""

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
from shapely.errors import ShapelyError

from geosam.errors import DiskFull, ExportError, GeosamError, LockHeld

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

#: Numbers and texts of errors that mean a full disk or quota; GDAL and SQLite report only texts.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXT = re.compile("no space left|disk is full|disk quota|file too large", re.IGNORECASE)
#: Folder in the staging folder for files of the previous output.
_RETIRED = "retired"
#: If the free space is at least this many times the size of the output, a failure has another reason than a full disk.
_AMPLE = 2


class Staging:
    """Hidden folder beside an output, locked while it is used and removed afterwards in every case.

    On entry, folders that killed runs left behind for the same output are removed. (For geosam's own single files,
    which need neither a lock nor companions, :func:`geosam.whole_file.whole_file` is enough.)
    """

    def __init__(self, path: Path) -> None:
        """Name the output; the folder is made when the block begins."""
        self.final = Path(os.path.realpath(path))  # a link stays, and the file behind it is replaced
        # The checksum keeps names short: the name of an output may have 255 bytes.
        self._prefix = f".geosam-{zlib.crc32(os.fsencode(self.final.name)):08x}-"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        with failures_reported(self.final):
            self._sweep()
            self.folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self.final.parent))
            self._lock = self._claim(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        _release(self._lock)

    def publish(self, staged: Sequence[Path], companions: Sequence[Path] = ()) -> None:
        """Give finished files their final names.

        Args:
            staged: files in the staging folder, all with one stem; the last one is the output itself.
            companions: files of the previous output that must not lie beside the new one. They move into the staging
                folder first, in this order, and return if anything fails before the output is in place.
        """
        for path in staged:
            _sync(path)
        retired = self.folder / _RETIRED
        retired.mkdir()
        placed: list[Path] = []
        try:
            for path in companions:
                path.replace(retired / path.name)
            for path in staged:
                placed.append(self._final_name(path, staged[-1]))
                path.replace(placed[-1])
        except BaseException:
            # The output itself moves last, so files placed before it belong to no output yet.
            for path in placed[: len(staged) - 1]:
                path.unlink(missing_ok=True)
            self._restore(self.folder)
            raise
        _sync(self.final.parent)

    def _final_name(self, path: Path, main: Path) -> Path:
        if path.name.startswith(main.name):
            return self.final.with_name(self.final.name + path.name.removeprefix(main.name))
        return self.final.with_name(self.final.stem + path.name.removeprefix(main.stem))

    def _restore(self, folder: Path) -> None:
        """Put the retired files back, the output last."""
        for path in sorted((folder / _RETIRED).glob("*"), key=lambda p: p.name == self.final.name):
            path.replace(self.final.with_name(path.name))

    def _sweep(self) -> None:
        for folder in self.final.parent.glob(self._prefix + "*"):
            lock = self._claim(folder)
            # A run that was killed between its renames has moved the old output away and placed no new one.
            if (folder / _RETIRED / self.final.name).exists() and not self.final.exists():
                self._restore(folder)
            shutil.rmtree(folder, ignore_errors=True)
            _release(lock)
            logger.info("removed what an interrupted run left: %s", folder)

    def _claim(self, folder: Path) -> int | None:
        """Lock a staging folder; the system releases the lock when the process ends, also after a crash."""
        if sys.platform == "win32":
            return None
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise LockHeld(
                f"another run is writing this output: {self.final}: found {folder.name} in use, expected no other "
                "writer.",
                remedy="Wait for it or choose another output.",
                code="output-being-written",
            ) from None
        except OSError as error:  # some network file systems have no locks
            logger.debug("no lock on %s: %s", folder, error)
        return descriptor


@contextlib.contextmanager
def failures_reported(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn errors of other libraries into DiskFull or ExportError about `path`.

    Args:
        path: the output.
        needed: approximate size of the output in bytes; 0 if unknown.
    """
    try:
        yield
    except (GeosamError, MemoryError):
        raise
    except (OSError, RuntimeError, pa.ArrowException, sqlite3.Error, ShapelyError) as error:
        raise _failure(path, error, needed) from error


def _failure(path: Path, error: Exception, needed: int) -> ExportError | DiskFull:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        free = sys.maxsize
    stated = getattr(error, "errno", None) in _FULL or _FULL_TEXT.search(str(error))
    if stated or free < _AMPLE * needed:  # GDAL often reports only "I/O failure"
        expected = f"about {needed / 1e6:,.1f} MB" if needed else "more"
        return DiskFull(
            f"no space left for the output: {path}: found {free / 1e6:,.1f} MB free, expected {expected}.",
            remedy="Free some space or write to another disk.",
            code="output-disk-full",
            free=free,
            needed=needed,
        )
    reason = (getattr(error, "strerror", None) or str(error)).strip().rstrip(".").replace("\n", "; ")
    return ExportError(
        f"the output cannot be written: {path}: found {reason}, expected a folder and a file that can be written.",
        remedy="Check the folder, its permissions and the disk.",
        code="output-not-writable",
    )


def _release(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if sys.platform == "win32" and path.is_dir():  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
