"""Official checkpoints into the checkpoint folder: whole, checked, and under their own names only then."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pooch
import requests

from geosam.errors import DiskFull, DownloadFailed, GeosamError, UnreadableCheckpoint
from geosam.models.checkpoints import FOLDER_VARIABLE, checkpoint_folder, difference, remember, verify
from geosam.models.manifest import Checkpoint, official
from geosam.models.transfer import Progress, fetch, move

logger = logging.getLogger(__name__)

#: How often a process that waits for another one's download looks again (seconds).
_PATIENCE_S: Final = 0.2
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
#: SQLite puts details above the lowest byte of its error codes.
_PRIMARY_CODE: Final = 0xFF
_BROKE: Final = "no connection, or one that broke; the file wanted"
#: From the particular to the general.
_REASONS: Final = (
    (requests.exceptions.ProxyError, "the proxy does not answer, a connection wanted"),
    (requests.exceptions.SSLError, "the certificate of the server is not trusted, a secure connection wanted"),
    (requests.Timeout, "no answer in time, the file wanted"),
    (requests.exceptions.ChunkedEncodingError, _BROKE),
    (requests.ConnectionError, _BROKE),
)


def download(name: str, progress: Progress | None = None, folder: Path | None = None) -> Path:
    """Fetch the checkpoint of the model `name`, unless it is there already.

    The file gets its name when it is whole and has the hash of the manifest; what lay there before stays until then.
    A file with another hash is kept as `FILE.corrupt`. An interrupted download is gone on with. Several processes may
    download the same checkpoint at once: one does, the others wait for it.

    Args:
        name: A name of the manifest.
        progress: Called as ``progress(bytes done, bytes in all, or 0 if unknown)``.
        folder: Where to put it; None for :func:`geosam.models.checkpoints.checkpoint_folder`.

    Returns:
        The file.

    Raises:
        UnknownModel: the manifest has no such model.
        DownloadFailed: the file cannot be had, or the folder cannot be written.
        UnreadableCheckpoint: something else arrived.
        DiskFull: there is not enough space.
    """
    checkpoint = official(name)
    path = (folder or checkpoint_folder()) / checkpoint.file
    if not _present(path, checkpoint):
        try:
            with _failures_reported(checkpoint, path):
                _bring(checkpoint, path, progress)
        except GeosamError:
            if not _present(path, checkpoint):  # by a process that was first where locks do not work
                raise
    if checkpoint.sha256 is None:
        logger.warning("not verified: no attested hash: %s", path)
    return path


def _present(path: Path, checkpoint: Checkpoint) -> bool:
    """Whether there is nothing to do."""
    if not path.exists():
        return False
    try:
        verify(path, checkpoint)
    except UnreadableCheckpoint as error:
        if path.is_dir():
            raise
        logger.info("fetching it again: %s", error)
        return False
    return True


def _bring(checkpoint: Checkpoint, path: Path, progress: Progress | None) -> None:
    """Fetch the file, or wait until another process has."""
    work = path.with_name(f".{path.name}.download")
    work.mkdir(parents=True, exist_ok=True)
    with _only_one(work), _swept(work):
        if not _present(path, checkpoint):
            _retrieve(checkpoint, path, work, progress)


def _retrieve(checkpoint: Checkpoint, path: Path, work: Path, progress: Progress | None) -> None:
    """Fetch the file in the folder `work`, where an interruption leaves what has arrived, and move it to `path`.

    Where locks do not work another process may sweep that folder, or put its own file into place, at any moment.
    """
    part, corrupt = _claim(work), path.with_name(f"{path.name}.corrupt")
    before = _status(path)

    def bring(url: str, arrived: str, _: object) -> None:
        """What pooch calls: from `url` into `arrived`; pooch then hashes what lies on the disk, and renames it."""
        fetch(url, part, size=checkpoint.bytes, progress=progress)
        if wrong := difference(part, checkpoint):
            part.replace(corrupt)
            raise UnreadableCheckpoint(
                f"the download is not the checkpoint of {checkpoint.name}: {url}: {wrong}. It is kept as {corrupt}; "
                f"try again later or from another network, or put the file {path.name} into {path.parent} by hand"
            )
        part.replace(arrived)

    with _quiet_pooch():
        known_hash = checkpoint.sha256 and f"sha256:{checkpoint.sha256}"
        whole = Path(pooch.retrieve(checkpoint.url, known_hash, fname=part.stem, path=work, downloader=bring))
    if before is not None and (now := _status(path)) is not None and os.path.samestat(before, now):
        path.replace(corrupt)
    whole.replace(path)
    if checkpoint.sha256 is not None:
        remember(path, checkpoint.sha256)


def _status(path: Path) -> os.stat_result | None:
    """What tells a file from the next one of its name."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat()
    return None


def _claim(work: Path) -> Path:
    """A file of this process alone for what arrives, begun with what an interrupted download has left, if anything.

    Where locks do not work another process may still be writing what is claimed here. That does no harm: it goes on in
    the same file with the same bytes at the same places, and finds its name gone in the end.
    """
    part = work / f"{uuid.uuid4().hex}.part"
    for left in sorted(work.glob("*.part"), key=_size, reverse=True):
        with contextlib.suppress(FileNotFoundError):
            return move(left, part)
    return part


@contextlib.contextmanager
def _swept(work: Path) -> Iterator[None]:
    """Remove the folder in the end; after a failure only if nothing in it is of use any more."""
    done = False
    try:
        yield
        done = True
    finally:
        if done or not _of_use(work):
            shutil.rmtree(work, ignore_errors=True)


def _of_use(work: Path) -> bool:
    """Whether the folder holds what a download can go on with, or what another one has nearly ready.

    Where locks do not work there may be another one. Pooch keeps a file for it there from before its part is whole
    until it is moved to its place; only locks, notes of parts, and parts without content are of no use.
    """
    if any(map(_size, work.glob("*.part"))):
        return True
    return any(not path.name.startswith("lock") and path.suffix not in {".part", ".json"} for path in work.glob("*"))


def _size(path: Path) -> int:
    """Size of a file that may vanish any moment."""
    status = _status(path)
    return 0 if status is None else status.st_size


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Pooch logs to stderr on its own account."""
    log = pooch.get_logger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _only_one(work: Path) -> Iterator[None]:
    """Let one process at a time in, as long as the file system knows locks; a killed process leaves no lock behind.

    The lock is SQLite's, which has one for every system, on an empty file. The file goes with the folder when the
    checkpoint is there; who comes later finds the checkpoint and needs no lock.
    """
    with contextlib.ExitStack() as held:
        try:
            _wait_for(held.enter_context(contextlib.closing(sqlite3.connect(work / "lock", timeout=0))), work)
        except sqlite3.OperationalError as error:
            logger.warning("no lock, going on without: %s: %s", work, error)
        yield


def _wait_for(lock: sqlite3.Connection, work: Path) -> None:
    """Take the lock as soon as it is free."""
    waiting = False
    while True:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
        else:
            return
        if not waiting:
            logger.info("another process downloads it, waiting: %s", work)
        waiting = True
        time.sleep(_PATIENCE_S)


@contextlib.contextmanager
def _failures_reported(checkpoint: Checkpoint, path: Path) -> Iterator[None]:
    """Turn what the libraries below raise into DownloadFailed or DiskFull."""
    by_hand = f"put the file {checkpoint.file} into {path.parent} by hand"
    try:
        yield
    except GeosamError:
        raise
    except requests.RequestException as error:
        raise DownloadFailed(
            f"the checkpoint of {checkpoint.name} cannot be downloaded: {checkpoint.url}: {_reason(error)}. Check the "
            f"network and the proxy (HTTPS_PROXY) and run again, or {by_hand}"
        ) from error
    except ValueError as error:
        raise UnreadableCheckpoint(
            f"the checkpoint of {checkpoint.name} changed while it was written: {path}: its SHA-256 was right before. "
            "Check the disk"
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f"no space left for the checkpoint of {checkpoint.name}: {path.parent}. Free some space and run again: "
                f"the download goes on where it stopped; or name a folder on another disk in {FOLDER_VARIABLE}"
            ) from error
        raise DownloadFailed(
            f"the checkpoint of {checkpoint.name} cannot be written: {path}: {error.strerror or error}, a folder that "
            f"can be written wanted. Check its permissions, or name another one in {FOLDER_VARIABLE}"
        ) from error


def _reason(error: requests.RequestException) -> str:
    """Why a request failed, in words for somebody who does not know the library."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}, the file wanted"
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return words
    return f"the server cannot be understood ({type(error).__name__})"
