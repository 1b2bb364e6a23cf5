"""Where checkpoints lie on this machine, and whether they are the bytes that the manifest wants."""

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

#: Environment variable that names another folder.
FOLDER_VARIABLE: Final = "GEOSAM_CHECKPOINTS"
#: What servers and careless copies leave in place of a file.
_NO_WEIGHTS: Final = (Kind.EMPTY, Kind.LFS_POINTER, Kind.WEB_PAGE)


def checkpoint_folder() -> Path:
    """The folder of checkpoints: the one that `GEOSAM_CHECKPOINTS` names, or one in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named).expanduser() if named else platformdirs.user_cache_path("geosam") / "checkpoints"
    return folder.absolute()


def checkpoint_path(name: str, folder: Path | None = None, *, afresh: bool = False) -> Path:
    """The checkpoint of the model `name`, once its bytes are known to be right.

    Args:
        name: A name of the manifest.
        folder: Where to look; None for :func:`checkpoint_folder`.
        afresh: Hash the file even if that has been done before, see :func:`verify`.

    Raises:
        UnknownModel: the manifest has no such model.
        CheckpointNotFound: the file is not there.
        UnreadableCheckpoint: the file is damaged, or another one.
    """
    checkpoint = official(name)
    path = (folder or checkpoint_folder()) / checkpoint.file
    if not is_there(path):
        raise CheckpointNotFound(f"the checkpoint of {name} is missing: {path}. {remedy(checkpoint, path.parent)}")
    verify(path, checkpoint, afresh=afresh)
    return path


def is_attested(path: Path) -> bool:
    """Whether a file anywhere is known to be right, because it is the official checkpoint that its name says.

    Raises:
        UnreadableCheckpoint: the file cannot be read, or has an official name and other bytes.
    """
    known = {checkpoint.file: checkpoint for checkpoint in manifest.values()}.get(path.name)
    if known is None:
        check_file(path)
        return False
    return verify(path, known)


def is_there(path: Path) -> bool:
    """Whether the file exists.

    Raises:
        UnreadableCheckpoint: nobody may look into its folder, or its name is none.
    """
    try:
        return path.exists()
    except OSError as error:
        raise UnreadableCheckpoint(
            f"the folder of checkpoints cannot be read: {path.parent}: {error.strerror}, a readable folder wanted. "
            f"Check its permissions, or name another one in {FOLDER_VARIABLE}"
        ) from error


def remedy(checkpoint: Checkpoint, folder: Path) -> str:
    """What to do where a checkpoint is missing."""
    return f"Run `geosam models download {checkpoint.name}`, or put the file {checkpoint.file} into {folder}"


def verify(path: Path, checkpoint: Checkpoint, *, afresh: bool = False) -> bool:
    """Compare a file with the hash of the manifest.

    A hash that was right is remembered beside the file until the file changes, as told by its size, modification time
    and inode. A bit that flips on the disk changes none of these: `afresh` looks at every byte.

    Returns:
        Whether there is a hash to compare with.

    Raises:
        UnreadableCheckpoint: the file cannot be read, is damaged, or is another one.
    """
    check_file(path)
    before = _identity(path, checkpoint.sha256)
    if checkpoint.sha256 is not None and not afresh and _recall(path) == before:
        return True
    if wrong := difference(path, checkpoint):
        raise UnreadableCheckpoint(
            f"the checkpoint of {checkpoint.name} is not the official file: {path}: {wrong}. "
            f"Run `geosam models download {checkpoint.name}`; if it is a file of your own, give it another name"
        )
    if checkpoint.sha256 is not None and before == _identity(path, checkpoint.sha256):
        remember(path, checkpoint.sha256)
    return checkpoint.sha256 is not None


def difference(path: Path, checkpoint: Checkpoint) -> str | None:
    """What distinguishes a file from the official one; None if nothing does, or nothing that can be told without hash.

    Raises:
        UnreadableCheckpoint: the file cannot be read.
    """
    if (kind := kind_of(path)) in _NO_WEIGHTS:
        return f"it is {kind.value}"
    if checkpoint.sha256 is None:
        return incomplete(path, checkpoint.bytes)
    found = sha256_of(path)
    if found == checkpoint.sha256:
        return None
    hashes = f"SHA-256 {found} found, {checkpoint.sha256} wanted (attested by {checkpoint.attested})"
    return incomplete(path, checkpoint.bytes) or hashes


def check_file(path: Path) -> None:
    """Refuse what is no readable file, and files that certainly hold no weights.

    Raises:
        UnreadableCheckpoint: with what the file is.
    """
    if path.is_dir():
        raise UnreadableCheckpoint(f"the checkpoint is a folder: {path}: a file wanted. Name the file in it")
    try:
        kind = kind_of(path)
    except OSError as error:
        raise UnreadableCheckpoint(
            f"the checkpoint cannot be read: {path}: {error.strerror}, a readable file wanted. "
            "Check the path and its permissions"
        ) from error
    if kind in _NO_WEIGHTS:
        raise UnreadableCheckpoint(
            f"the checkpoint holds no weights: {path}: it is {kind.value}, a PyTorch or safetensors file wanted. "
            "Delete it and download the file itself"
        )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal.

    Raises:
        UnreadableCheckpoint: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableCheckpoint(
            f"the checkpoint cannot be read: {path}: {error.strerror}, a readable file wanted. Check the disk"
        ) from error


def _memo(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _identity(path: Path, sha256: str | None) -> dict[str, Any]:
    """What has to be unchanged for a remembered hash to hold."""
    facts = path.stat()
    return {"sha256": sha256, "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns, "inode": facts.st_ino}


def _recall(path: Path) -> object:
    """What is remembered of a file; None if that is nothing, or cannot be understood."""
    try:
        return json.loads(_memo(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def remember(path: Path, sha256: str) -> None:
    """Remember the hash of a file in geosam's own folder; where that fails the file is hashed every time."""
    if path.parent != checkpoint_folder():
        return
    memo = _memo(path)
    draft = memo.with_name(f"{memo.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        try:
            draft.write_text(json.dumps(_identity(path, sha256)), encoding="utf-8")
            draft.replace(memo)
        finally:
            draft.unlink(missing_ok=True)
