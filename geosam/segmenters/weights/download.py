"""The download of official checkpoints. A file gets its name only when it is complete and checked."""

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

#: Seconds between two tries to take the lock that another process holds.
_PATIENCE_S: Final = 0.2
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
#: Mask of the primary error code of SQLite; the higher bytes hold details.
_PRIMARY_CODE: Final = 0xFF
_BROKE: Final = "no connection, or one that broke; expected the file"
#: Reasons by class of error, from the particular to the general.
_REASONS: Final = (
    (requests.exceptions.ProxyError, "the proxy does not answer, expected a connection"),
    (requests.exceptions.SSLError, "the certificate of the server is not trusted, expected a secure connection"),
    (requests.Timeout, "no answer in time, expected the file"),
    (requests.exceptions.ChunkedEncodingError, _BROKE),
    (requests.ConnectionError, _BROKE),
)


def download(name: str, progress: Progress | None = None, folder: Path | None = None) -> Path:
    """Fetch the checkpoint of the model `name`, unless it is there already.

    The file gets its name when it is complete and has the hash of the manifest. A former file stays until then. A file
    with another hash is kept as `FILE.corrupt`. The next call continues an interrupted download. Several processes may
    download the same checkpoint at the same time: one downloads, the others wait for it.

    Args:
        name: name of the model in the manifest.
        progress: called as ``progress(bytes done, bytes in all, or 0 if unknown)``.
        folder: folder of the file; None for :func:`geosam.segmenters.weights.folder.checkpoint_folder`.

    Returns:
        Path of the file.

    Raises:
        UnknownModel: the manifest has no such model.
        DownloadFailed: the file cannot be fetched, or the folder cannot be written.
        UnreadableCheckpoint: the downloaded file has another hash.
        DiskFull: there is not enough space.
    """
    checkpoint = official(name)
    path = (folder or checkpoint_folder()) / checkpoint.file
    if not _present(path, checkpoint):
        try:
            with _failures_reported(checkpoint, path):
                _bring(checkpoint, path, progress)
        except GeosamError:
            if not _present(path, checkpoint):  # without working locks another process may have been first
                raise
    if checkpoint.sha256 is None:
        logger.warning("not verified: no attested hash: %s", path)
    return path


def _present(path: Path, checkpoint: Checkpoint) -> bool:
    """Return True if the checkpoint is there and has the right hash."""
    if not is_there(path):
        return False
    try:
        verify(path, checkpoint)
    except FileNotFoundError:  # another process has renamed it
        return False
    except UnreadableCheckpoint as error:
        if path.is_dir():
            raise
        logger.info("fetching it again: %s", error)
        return False
    return True


def _bring(checkpoint: Checkpoint, path: Path, progress: Progress | None) -> None:
    """Fetch the file, or wait until another process has fetched it."""
    work = path.with_name(f".{path.name}.download")
    work.mkdir(parents=True, exist_ok=True)
    with _only_one(work), _swept(work):
        if not _present(path, checkpoint):
            _retrieve(checkpoint, path, work, progress)


def _retrieve(checkpoint: Checkpoint, path: Path, work: Path, progress: Progress | None) -> None:
    """Fetch the file into the folder `work`, where an interruption leaves its part, and move it to `path`.

    Without working locks another process may take or remove files of that folder at any moment, or move its own file
    to `path` first.
    """
    part, corrupt = _claim(work), path.with_name(f"{path.name}.corrupt")
    try:
        fetch(checkpoint.url, part, size=checkpoint.bytes, progress=progress)
    except BaseException:  # also at Ctrl-C
        if not _size(part):  # the next call cannot continue an empty part
            discard(part)
        raise
    if not part.exists():
        raise DownloadFailed(
            f"another process has taken over the download of {checkpoint.name}: {work}: expected a folder in which "
            "files can be locked.",
            remedy="Wait until the other process is done, and run again.",
            code="download-taken-over",
            model=checkpoint.name,
            path=str(work),
        )
    if wrong := difference(part, checkpoint):
        part.replace(corrupt)
        raise UnreadableCheckpoint(
            f"the download is not the checkpoint of {checkpoint.name}: {checkpoint.url}: {wrong}. It is kept as "
            f"{corrupt}.",
            remedy=f"Try again later or from another network, or put {path.name} into {path.parent} by hand.",
            code="download-is-another-file",
            model=checkpoint.name,
            url=checkpoint.url,
            path=str(corrupt),
        )
    if path.exists():  # it came during the download
        if _present(path, checkpoint):
            return
        path.replace(corrupt)
    part.replace(path)
    if checkpoint.sha256 is not None:
        remember(path, checkpoint.sha256)


def _claim(work: Path) -> Path:
    """Return the path of a part that no other process uses. It holds the largest part that an earlier call left."""
    # Without working locks another process may still write to the part that is claimed here. That does no harm: it
    # writes the same bytes to the same places, and in the end it does not find the file under its own name.
    part = work / f"{uuid.uuid4().hex}.part"
    for left in sorted(filter(_size, work.glob("*.part")), key=_size, reverse=True):
        with contextlib.suppress(FileNotFoundError):
            return move(left, part)
    return part


@contextlib.contextmanager
def _swept(work: Path) -> Iterator[None]:
    """Remove the folder at the end. After a failure it stays if it holds a part, which the next call continues."""
    done = False
    try:
        yield
        done = True
    finally:
        if done or not any(work.glob("*.part")):
            shutil.rmtree(work, ignore_errors=True)


def _size(path: Path) -> int:
    """Return the size of a file that may vanish at any moment, 0 if it has."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


@contextlib.contextmanager
def _only_one(work: Path) -> Iterator[None]:
    """Let one process at a time in, if the file system has locks. A killed process leaves no lock behind."""
    # SQLite has a lock for every operating system; it locks an empty file here. The file is removed with its folder
    # when the checkpoint is there: later processes find the checkpoint and need no lock.
    with contextlib.ExitStack() as held:
        try:
            _wait_for(held.enter_context(contextlib.closing(sqlite3.connect(work / "lock", timeout=0))), work)
        except sqlite3.OperationalError as error:
            logger.warning("no lock, continuing without: %s: %s", work, error)
        yield


def _wait_for(lock: sqlite3.Connection, work: Path) -> None:
    """Wait for the lock and take it."""
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
    """Turn errors of the libraries below into DownloadFailed or DiskFull."""
    by_hand = f"put the file {checkpoint.file} into {path.parent} by hand"
    try:
        yield
    except GeosamError:
        raise
    except requests.RequestException as error:
        raise DownloadFailed(
            f"the checkpoint of {checkpoint.name} cannot be downloaded: {checkpoint.url}: {_reason(error)}.",
            remedy=f"Check the network and the proxy (HTTPS_PROXY) and run again, or {by_hand}.",
            model=checkpoint.name,
            url=checkpoint.url,
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f"no space left for the checkpoint of {checkpoint.name}: {path.parent}.",
                remedy="Free some space and run again: the download continues where it stopped. Or name a folder on "
                f"another disk in {FOLDER_VARIABLE}.",
                code="no-space-for-checkpoint",
                model=checkpoint.name,
                path=str(path.parent),
            ) from error
        raise DownloadFailed(
            f"the checkpoint of {checkpoint.name} cannot be written: {path}: {error.strerror or error}, expected a "
            "folder that can be written.",
            remedy=f"Check its permissions, or name another one in {FOLDER_VARIABLE}.",
            code="checkpoint-not-writable",
            model=checkpoint.name,
            path=str(path),
        ) from error


def _reason(error: requests.RequestException) -> str:
    """Return the reason of a failed request, in words for users."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"found HTTP status {error.response.status_code}, expected the file"
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return words
    return f"the server cannot be understood ({type(error).__name__})"
