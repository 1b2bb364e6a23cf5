"""Official checkpoints into the checkpoint folder: whole, checked, and under their own names only then."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import requests

from geosam.errors import DiskFull, DownloadFailed, GeosamError, UnreadableCheckpoint
from geosam.segmenters.weights.folder import FOLDER_VARIABLE, checkpoint_folder, difference, is_there, remember, verify
from geosam.segmenters.weights.http import Progress, discard, fetch, move
from geosam.segmenters.weights.manifest import Checkpoint, official

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
        folder: Where to put it; None for :func:`geosam.segmenters.weights.folder.checkpoint_folder`.

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
    if not is_there(path):
        return False
    try:
        verify(path, checkpoint)
    except FileNotFoundError:  # renamed meanwhile
        return False
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

    Where locks do not work another process may take or sweep what lies in that folder at any moment, or be the first
    to put the file into its place.
    """
    part, corrupt = _claim(work), path.with_name(f"{path.name}.corrupt")
    try:
        fetch(checkpoint.url, part, size=checkpoint.bytes, progress=progress)
    except BaseException:
        if not _size(part):
            discard(part)
        raise
    if not part.exists():
        raise DownloadFailed(
            f"another process has taken over the download of {checkpoint.name}: {work}: a folder in which files can be "
            "locked wanted. Wait until the other one is done, and run again"
        )
    if wrong := difference(part, checkpoint):
        part.replace(corrupt)
        raise UnreadableCheckpoint(
            f"the download is not the checkpoint of {checkpoint.name}: {checkpoint.url}: {wrong}. It is kept as "
            f"{corrupt}; try again later or from another network, or put {path.name} into {path.parent} by hand"
        )
    if path.exists():
        if _present(path, checkpoint):
            return
        path.replace(corrupt)
    part.replace(path)
    if checkpoint.sha256 is not None:
        remember(path, checkpoint.sha256)


def _claim(work: Path) -> Path:
    """A file of this process alone for what arrives, begun with what an interrupted download has left, if anything.

    Where locks do not work another process may still be writing what is claimed here. That does no harm: it goes on in
    the same file with the same bytes at the same places, and finds its name gone in the end.
    """
    part = work / f"{uuid.uuid4().hex}.part"
    for left in sorted(filter(_size, work.glob("*.part")), key=_size, reverse=True):
        with contextlib.suppress(FileNotFoundError):
            return move(left, part)
    return part


@contextlib.contextmanager
def _swept(work: Path) -> Iterator[None]:
    """Remove the folder in the end; after a failure only if no part is left in it, of this process or another one."""
    done = False
    try:
        yield
        done = True
    finally:
        if done or not any(work.glob("*.part")):
            shutil.rmtree(work, ignore_errors=True)


def _size(path: Path) -> int:
    """Size of a file that may vanish any moment."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


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
