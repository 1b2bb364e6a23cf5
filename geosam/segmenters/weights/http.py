"""The transfer of one file over HTTP. It continues where an interrupted transfer stopped."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import requests

from geosam._version import __version__
from geosam.errors import DiskFull
from geosam.whole_file import whole_file

logger = logging.getLogger(__name__)

#: Longest wait for a connection, and for the next bytes, in seconds.
TIMEOUT_S: Final = (10.0, 30.0)
#: Largest number of connections, even if each of them brings some bytes.
_MAX_ATTEMPTS: Final = 20
#: Bytes of a block: a connection that breaks loses one at most.
_BLOCK_BYTES: Final = 1 << 18
#: HTTP status: Partial Content, Range Not Satisfiable.
_PARTIAL: Final = (206, 416)

#: Called with (bytes done, bytes in all or 0 if unknown).
Progress = Callable[[int, int], None]


def fetch(url: str, part: Path, *, size: int | None = None, progress: Progress | None = None) -> None:
    """Fetch the file at `url` into `part`.

    A partial file is continued if the server supports ranges and still has the same file (the same ETag or date).
    Otherwise the file is fetched from its start. If a connection breaks after it brought some bytes, a new one follows.

    Args:
        url: address with http or https. Proxies are taken from the environment.
        part: the file. After an interruption the next call continues it.
        size: bytes of the complete file, if known.
        progress: called after each block.

    Raises:
        DiskFull: there is not enough space in the folder of `part`.
        requests.RequestException: the file cannot be fetched.
        OSError: `part` cannot be written.
    """
    for _ in range(_MAX_ATTEMPTS):
        before = _length(part)
        try:
            _attempt(url, part, size, progress)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as broken:
            if _length(part) <= before:
                raise
            logger.info("the connection broke after %d bytes, continuing: %s", _length(part), broken)
        else:
            return
    raise requests.ConnectionError(f"the connection broke {_MAX_ATTEMPTS} times")


def move(part: Path, to: Path) -> Path:
    """Rename a partial file and its note within their folder.

    Raises:
        FileNotFoundError: the file is gone.
    """
    part.replace(to)
    with contextlib.suppress(FileNotFoundError):
        _note_path(part).replace(_note_path(to))
    return to


def discard(part: Path) -> None:
    """Remove a partial file and its note."""
    _note_path(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _attempt(url: str, part: Path, size: int | None, progress: Progress | None) -> None:
    """Fetch the missing bytes of `part` over one connection."""
    note = _read_note(part, url)
    # identity: ranges and sizes count the bytes of the file, not those of a compressed body
    start, headers = 0, {"Accept-Encoding": "identity", "User-Agent": f"geosam/{__version__}"}
    if note is not None:
        start = _length(part)
        headers |= {"Range": f"bytes={start}-", "If-Range": note["validator"]}
        if start == note["total"]:
            return
    _check_space(part, start, size)
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        useless = start > 0 and answer.status_code in _PARTIAL and not _continues(answer, start)
        if not useless:
            answer.raise_for_status()
            start = start if _continues(answer, start) else 0
            _receive(answer, url, part, start, progress)
            return
    discard(part)
    _attempt(url, part, size, progress)


def _receive(answer: requests.Response, url: str, part: Path, start: int, progress: Progress | None) -> None:
    """Write the body of an answer into `part` from the byte `start` on."""
    total, done = _total(answer), start
    _check_space(part, start, total)
    if start == 0:
        _begin(part, url, answer, total)
    with part.open("r+b") as file:  # not "ab": what another process appended meanwhile must be overwritten
        file.seek(start)
        for block in answer.iter_content(_BLOCK_BYTES):
            file.write(block)
            done += len(block)
            if progress is not None:
                progress(done, total or 0)
        os.fsync(file.fileno())  # some file systems report a full disk only here
    if total is not None and done < total:
        raise requests.ConnectionError(f"{done} of {total} bytes")


def _continues(answer: requests.Response, start: int) -> bool:
    """Return True if an answer brings the bytes from `start` on."""
    content = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return answer.status_code == _PARTIAL[0] and content is not None and int(content[1]) == start


def _total(answer: requests.Response) -> int | None:
    """Return the bytes of the complete file, if the server states them."""
    text = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
    return int(text) if text.isdecimal() and not encoded else None


def _check_space(part: Path, start: int, total: int | None) -> None:
    """Refuse a transfer for which the disk has no space.

    Raises:
        DiskFull: there is less space than bytes are missing.
    """
    free, missing = shutil.disk_usage(part.parent).free, (total or 0) - start
    if missing > free:
        raise DiskFull(
            f"no space left for the checkpoint: {part.parent}: found {free / 1e6:,.1f} MB free, "
            f"expected {missing / 1e6:,.1f} MB.",
            remedy="Free some space, or name a folder on another disk in GEOSAM_CHECKPOINTS.",
            code="no-space-for-checkpoint",
            path=str(part.parent),
            free_bytes=free,
            expected_bytes=missing,
        )


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note_path(part: Path) -> Path:
    """Return the path of the note beside a partial file: the address, validator and size of the complete file."""
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path, url: str) -> dict[str, Any] | None:
    """Read the note about a partial file. Return None if it cannot be continued."""
    try:
        note = json.loads(_note_path(part).read_bytes())
    except (OSError, ValueError):
        return None
    usable = (
        isinstance(note, dict)
        and note.get("url") == url
        and isinstance(note.get("validator"), str)
        and isinstance(note.get("total"), int)
    )
    return note if usable and 0 < _length(part) <= note["total"] else None


def _begin(part: Path, url: str, answer: requests.Response, total: int | None) -> None:
    """Start `part` anew and write its note."""
    # The old note goes first: beside bytes of the new file it would make the next call continue the wrong file.
    _note_path(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)
    part.touch()
    tag = answer.headers.get("ETag", "")
    # a weak tag (W/"...") does not promise equal bytes
    validator = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
    if validator and total:
        note = {"url": url, "validator": validator, "total": total}
        with whole_file(_note_path(part)) as draft:
            draft.write_text(json.dumps(note), encoding="utf-8")
