"""What is checked in a checkpoint before any of its tensors is read: that the container is whole and honest."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Final

from geosam.errors import UnreadableCheckpoint
from geosam.segmenters.weights.file_kind import Kind, kind_of

#: What safetensors itself accepts.
_MAX_HEADER_BYTES: Final = 100_000_000
AGAIN: Final = "Delete it and get it again from where it came from"


def refusal(path: Path, wrong: str, found: str, remedy: str = AGAIN) -> UnreadableCheckpoint:
    """The error that refuses a checkpoint.

    Args:
        path: The file.
        wrong: What is wrong, as in "the checkpoint {wrong}".
        found: The value found and the value wanted.
        remedy: What to do.
    """
    return UnreadableCheckpoint(f"the checkpoint {wrong}: {path}: {found}. {remedy}")


def incomplete(path: Path, wanted: int | None = None) -> str | None:
    """How much of an incomplete download there is; None if the file does not look like one.

    Args:
        path: The file.
        wanted: Its size in bytes, if known.
    """
    size = path.stat().st_size
    if wanted is not None and size < wanted:
        return f"incomplete download: {size} of {wanted} bytes"
    if kind_of(path) is Kind.ZIP and not _has_end(path):
        return f"incomplete download: {size} bytes, and the end is missing"
    return None


def _has_end(path: Path) -> bool:
    """Whether a zip archive ends as one should, however little sense its end makes."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def check_zip(path: Path) -> None:
    """Refuse zip archives that are damaged, that unpack to more than they hold, or that `torch.save` did not write.

    Raises:
        UnreadableCheckpoint: with the reason.
    """
    if missing := incomplete(path):
        raise refusal(path, "is incomplete", missing)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise refusal(path, "is damaged", f"its table of contents cannot be read ({error})") from error
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        found = "it is a TorchScript program, plain tensors wanted"
        raise refusal(path, "contains code, refused", found, "Use the official checkpoint")
    if "data.pkl" not in names:
        raise refusal(path, "holds no weights", "it is a zip archive that PyTorch did not write", "Check the file name")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise refusal(path, "is compressed, refused", f"{entry.filename} is deflated, plain storage wanted")
    size, unpacked = path.stat().st_size, sum(entry.file_size for entry in entries)
    if unpacked > size:
        found = f"it claims to unpack to {unpacked} bytes, at most its own {size} wanted"
        raise refusal(path, "is damaged, refused", found)


def check_safetensors(path: Path) -> None:
    """Refuse safetensors files whose header is damaged or ambiguous, and files that are too short or too long for it.

    Raises:
        UnreadableCheckpoint: with the reason.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= _MAX_HEADER_BYTES else b""
    if size < 8 or length > _MAX_HEADER_BYTES:
        found = f"a header of {length} bytes in a file of {size}, a safetensors file wanted"
        raise refusal(path, "is damaged", found)
    if len(header) < length:
        raise refusal(path, "is incomplete", f"incomplete download: {size} of more than {8 + length} bytes")
    try:
        wanted = 8 + length + _end(json.loads(header, object_pairs_hook=_unique))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise refusal(path, "is damaged", f"its header cannot be read ({error})") from error
    if size < wanted:
        raise refusal(path, "is incomplete", f"incomplete download: {size} of {wanted} bytes")
    if size > wanted:
        raise refusal(path, "is damaged", f"{size - wanted} bytes behind its tensors, none wanted")


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file by name.

    Raises:
        UnreadableCheckpoint: the file is damaged or incomplete.
    """
    check_safetensors(path)
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    metadata = header.get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _end(header: dict[str, Any]) -> int:
    """Where the last tensor ends, counted from the end of the header."""
    return max((int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"), default=0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, unless one of its names occurs twice: readers differ in which of them they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} occurs twice")
    return found
