"""The kind of a file by its first bytes, because its name may be wrong."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Final


class Kind(enum.Enum):
    """Kind of a file. The value completes a sentence that begins with "it is"."""

    ZIP = "a zip archive"
    PICKLE = "a Python pickle"
    SAFETENSORS = "a safetensors file"
    TAR = "a tar archive"
    LFS_POINTER = "a Git LFS pointer, which only names the weights"
    WEB_PAGE = "a web page"
    EMPTY = "empty"
    OTHER = "of no known format"


#: Bytes that are read: the magic number of a tar archive is the farthest from the start.
_HEAD_BYTES: Final = 512
#: Kind, offset of its magic number, and the numbers that stand for it.
_MAGIC: Final = (
    (Kind.ZIP, 0, (b"PK\x03\x04",)),
    (Kind.PICKLE, 0, (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")),
    (Kind.TAR, 257, (b"ustar",)),
    (Kind.LFS_POINTER, 0, (b"version https://git-lfs",)),
)
_PAGE_STARTS: Final = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")


def kind_of(path: Path) -> Kind:
    """Return the kind of a file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return Kind.EMPTY
    if head[8:9] == b"{" and not any(head[4:8]):  # a header of less than 4 GiB; its length may look like a pickle
        return Kind.SAFETENSORS
    # servers send pages for errors and logins, some with a byte order mark or blank lines first
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE_STARTS):
        return Kind.WEB_PAGE
    return next((kind for kind, offset, magic in _MAGIC if head.startswith(magic, offset)), Kind.OTHER)
