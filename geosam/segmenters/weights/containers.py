"""Checks of a checkpoint before any tensor is read: it is complete, and declares no more bytes than it has."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Final

from geosam.errors import UnreadableCheckpoint
from geosam.segmenters.weights.file_kind import Kind, kind_of

#: Largest header that the safetensors library accepts.
_MAX_HEADER_BYTES: Final = 100_000_000
#: Remedy for a damaged file.
AGAIN: Final = "Delete it and get it again from its source."


def refusal(path: Path, wrong: str, found: str, remedy: str = AGAIN) -> UnreadableCheckpoint:
    """Return the error that refuses a checkpoint.

    Args:
        path: the file.
        wrong: the fault, as in "the checkpoint {wrong}".
        found: the value found and the value expected.
        remedy: the remedy, a sentence.
    """
    return UnreadableCheckpoint(f"the checkpoint {wrong}: {path}: {found}.", remedy=remedy, path=str(path))


def incomplete(path: Path, expected: int | None = None) -> str | None:
    """Describe the part of a download that has arrived. Return None if the file does not look incomplete.

    Args:
        path: the file.
        expected: size of the complete file in bytes, if known.
    """
    size = path.stat().st_size
    if expected is not None and size < expected:
        return f"incomplete download: {size} of {expected} bytes"
    if kind_of(path) is Kind.ZIP and not _has_end(path):
        return f"incomplete download: {size} bytes, and the end is missing"
    return None


def _has_end(path: Path) -> bool:
    """Return True if a zip archive has an end record."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True  # it has one, but with impossible values


def check_zip(path: Path) -> None:
    """Refuse zip archives that are damaged, that `torch.save` did not write, or that unpack to more than their size.

    Raises:
        UnreadableCheckpoint: the archive is refused for one of these reasons.
    """
    if part := incomplete(path):
        raise refusal(path, "is incomplete", part)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise refusal(path, "is damaged", f"its table of contents cannot be read ({error})") from error
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        found = "it is a TorchScript program, expected plain tensors"
        raise refusal(path, "contains code, refused", found, "Use the official checkpoint.")
    if "data.pkl" not in names:
        found = "it is a zip archive that PyTorch did not write"
        raise refusal(path, "holds no weights", found, "Check the file name.")
    # A deflated record may unpack to a thousand times its size. torch.save stores records plainly.
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise refusal(path, "is compressed, refused", f"{entry.filename} is deflated, expected plain storage")
    # records that overlap claim the same bytes several times
    size, unpacked = path.stat().st_size, sum(entry.file_size for entry in entries)
    if unpacked > size:
        found = f"it claims to unpack to {unpacked} bytes, expected at most its own {size}"
        raise refusal(path, "is damaged, refused", found)


def check_safetensors(path: Path) -> None:
    """Refuse safetensors files with a damaged or ambiguous header, and files that are too short or too long for it.

    Raises:
        UnreadableCheckpoint: the file is refused for one of these reasons.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # the length may be any number of 64 bits: nothing is allocated for a header that cannot be one
        header = file.read(length) if length <= _MAX_HEADER_BYTES else b""
    if size < 8 or length > _MAX_HEADER_BYTES:
        found = f"a header of {length} bytes in a file of {size}, expected a safetensors file"
        raise refusal(path, "is damaged", found)
    if len(header) < length:
        raise refusal(path, "is incomplete", f"incomplete download: {size} of more than {8 + length} bytes")
    try:
        expected = 8 + length + _end(json.loads(header, object_pairs_hook=_unique))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise refusal(path, "is damaged", f"its header cannot be read ({error})") from error
    if size < expected:
        raise refusal(path, "is incomplete", f"incomplete download: {size} of {expected} bytes")
    if size > expected:
        raise refusal(path, "is damaged", f"{size - expected} bytes behind its tensors, expected none")


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file by name.

    Raises:
        UnreadableCheckpoint: the file is damaged or incomplete.
    """
    check_safetensors(path)
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    metadata = header.get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}  # the format allows an object only


def _end(header: dict[str, Any]) -> int:
    """Return the offset of the end of the last tensor, in bytes after the header."""
    return max((int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"), default=0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object from its pairs.

    Raises:
        ValueError: a name occurs twice.
    """
    entries = dict(pairs)
    if len(entries) < len(pairs):  # some readers take the first entry of a name, others the last
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} occurs twice")
    return entries
