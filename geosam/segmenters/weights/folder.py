"""The folder of checkpoints on this machine, and the comparison of its files with the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

import platformdirs

from geosam.errors import CheckpointNotFound, UnreadableCheckpoint
from geosam.segmenters.weights.containers import incomplete
from geosam.segmenters.weights.file_kind import Kind, kind_of
from geosam.segmenters.weights.manifest import Checkpoint, manifest, official
from geosam.whole_file import whole_file

#: Environment variable that names another folder.
FOLDER_VARIABLE: Final = "GEOSAM_CHECKPOINTS"
#: Kinds of files that servers and careless copies leave in place of the real one.
_NO_WEIGHTS: Final = (Kind.EMPTY, Kind.LFS_POINTER, Kind.WEB_PAGE)


def checkpoint_folder() -> Path:
    """Return the folder of checkpoints: the one that `GEOSAM_CHECKPOINTS` names, or one in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named).expanduser() if named else platformdirs.user_cache_path("geosam") / "checkpoints"
    return folder.absolute()  # worker processes may start in another folder


def checkpoint_path(name: str, folder: Path | None = None, *, afresh: bool = False) -> Path:
    """Return the path of a model's checkpoint after its bytes were verified.

    Args:
        name: name of the model in the manifest.
        folder: folder of the file; None for :func:`checkpoint_folder`.
        afresh: hash the file even if it was hashed before, see :func:`verify`.

    Raises:
        UnknownModel: the manifest has no such model.
        CheckpointNotFound: the file is not there.
        UnreadableCheckpoint: the file is damaged, or another file.
    """
    checkpoint = official(name)
    path = (folder or checkpoint_folder()) / checkpoint.file
    if not is_there(path):
        raise CheckpointNotFound(
            f"the checkpoint of {name} is missing: {path}.",
            remedy=remedy(checkpoint, path.parent),
            code="checkpoint-missing",
            model=name,
            path=str(path),
        )
    verify(path, checkpoint, afresh=afresh)
    return path


def is_attested(path: Path) -> bool:
    """Return True if a file has the name of an official checkpoint and its hash. The folder does not matter.

    Raises:
        UnreadableCheckpoint: the file cannot be read, or has an official name and other bytes.
    """
    checkpoint = {checkpoint.file: checkpoint for checkpoint in manifest.values()}.get(path.name)
    if checkpoint is None:
        check_file(path)
        return False
    return verify(path, checkpoint)


def is_there(path: Path) -> bool:
    """Return True if the file exists.

    Raises:
        UnreadableCheckpoint: its folder cannot be read, or the system allows no such name.
    """
    try:
        return path.exists()
    except OSError as error:
        raise UnreadableCheckpoint(
            f"the folder of checkpoints cannot be read: {path.parent}: {error.strerror}, expected a readable folder.",
            remedy=f"Check its permissions, or name another one in {FOLDER_VARIABLE}.",
            code="checkpoint-folder-unreadable",
            path=str(path.parent),
        ) from error


def remedy(checkpoint: Checkpoint, folder: Path) -> str:
    """Return the remedy for a missing checkpoint."""
    return f"Run `geosam models download {checkpoint.name}`, or put the file {checkpoint.file} into {folder}."


def verify(path: Path, checkpoint: Checkpoint, *, afresh: bool = False) -> bool:
    """Compare a file with the hash of the manifest.

    A right hash is recorded beside the file. The record holds until size, modification time or inode of the file
    change. A bit that flips on the disk changes none of them, so `afresh` reads every byte.

    Returns:
        True if there is a hash to compare with.

    Raises:
        UnreadableCheckpoint: the file cannot be read, is damaged, or is another file.
    """
    check_file(path)
    before = _identity(path, checkpoint.sha256)
    if checkpoint.sha256 is not None and not afresh and _recorded(path) == before:
        return True
    if wrong := difference(path, checkpoint):
        raise UnreadableCheckpoint(
            f"the checkpoint of {checkpoint.name} is not the official file: {path}: {wrong}.",
            remedy=f"Run `geosam models download {checkpoint.name}`; if the file is your own, give it another name.",
            code="checkpoint-not-official",
            model=checkpoint.name,
            path=str(path),
        )
    # a file that was replaced while it was hashed gets no record
    if checkpoint.sha256 is not None and before == _identity(path, checkpoint.sha256):
        remember(path, checkpoint.sha256)
    return checkpoint.sha256 is not None


def difference(path: Path, checkpoint: Checkpoint) -> str | None:
    """Describe the difference between a file and the official one. Return None if no difference is found.

    A checkpoint without a known hash is checked for two faults only: another kind of file, and an incomplete download.

    Raises:
        UnreadableCheckpoint: the file cannot be read.
    """
    # before the hash: "it is a web page" explains more than two hashes that differ
    if (kind := kind_of(path)) in _NO_WEIGHTS:
        return f"it is {kind.value}"
    if checkpoint.sha256 is None:
        return incomplete(path, checkpoint.bytes)
    sha256 = sha256_of(path)
    if sha256 == checkpoint.sha256:
        return None
    hashes = f"found SHA-256 {sha256}, expected {checkpoint.sha256} (attested by {checkpoint.attested})"
    return incomplete(path, checkpoint.bytes) or hashes


def check_file(path: Path) -> None:
    """Refuse a path that is no readable file, and a file that certainly holds no weights.

    Raises:
        UnreadableCheckpoint: it is a folder, cannot be read, is empty, a web page or a Git LFS pointer.
    """
    if path.is_dir():
        raise UnreadableCheckpoint(
            f"the checkpoint is a folder: {path}: expected a file.",
            remedy="Name the file in it.",
            code="checkpoint-is-folder",
            path=str(path),
        )
    try:
        kind = kind_of(path)
    except OSError as error:
        raise _unreadable(path, error, "Check the path and its permissions.") from error
    if kind in _NO_WEIGHTS:
        raise UnreadableCheckpoint(
            f"the checkpoint holds no weights: {path}: it is {kind.value}, expected a PyTorch or safetensors file.",
            remedy="Delete it and download the file itself.",
            code="checkpoint-without-weights",
            path=str(path),
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        UnreadableCheckpoint: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error, "Check the disk.") from error


def _unreadable(path: Path, error: OSError, remedy: str) -> UnreadableCheckpoint:
    """Return the error about a file that the system cannot read."""
    return UnreadableCheckpoint(
        f"the checkpoint cannot be read: {path}: {error.strerror}, expected a readable file.",
        remedy=remedy,
        path=str(path),
    )


def _record_path(path: Path) -> Path:
    """Return the path of the record that a file was verified."""
    return path.with_name(f".{path.name}.verified")


def _identity(path: Path, sha256: str | None) -> dict[str, Any]:
    """Return the facts that must be unchanged for a recorded hash to hold."""
    status = path.stat()
    return {"sha256": sha256, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}


def _recorded(path: Path) -> object:
    """Return the record of a file, None without a readable one."""
    try:
        return json.loads(_record_path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def remember(path: Path, sha256: str) -> None:
    """Record the right hash of a file in geosam's own folder."""
    if path.parent != checkpoint_folder():
        return  # other folders belong to the user: geosam writes nothing there
    # A record that cannot be written is no error: the file is hashed every time then.
    with contextlib.suppress(OSError), whole_file(_record_path(path)) as draft:
        draft.write_text(json.dumps(_identity(path, sha256)), encoding="utf-8")
