"""EmbeddingStore: embeddings on disk, found by what they were made from and checked when they are read.

    STORE/store.json                   what this folder is, and how large it may grow
    STORE/3f/3f9a[...]e1.safetensors   one tile's embedding; the name is its key (geosam/objects/embeddings/key.py)

Nothing in a store is worth more than the time it took: whatever is missing, damaged, too old for the limit or cannot
be written is computed again, and the result of a run is the same with any store or none. So a store asks for no lock
and no flush to the disk. Entries appear under their names as a whole, a checksum is verified at every reading, and
any number of processes may read, write and evict at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError
from safetensors.numpy import load, save

from geosam.errors import UsageError
from geosam.objects.embeddings.key import FORMAT
from geosam.packing import plain, whole_file
from geosam.segmenters.segmenter import Embedding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

#: Size of a store that nobody gave a limit (bytes).
DEFAULT_MAX_BYTES = 20 * 2**30
#: What may be written, in limits, before the folder is looked at again: other processes write as well.
_UNSEEN = 0.05
#: What an eviction leaves, in limits, so that not every entry pays for one.
_LEFT = 0.9
#: What a killed process left half-written is removed when it is this old (seconds).
_ABANDONED_S = 3600

_WHAT = "embeddings of geosam; safe to delete at any time"
_MANIFEST = "store.json"
_FACTS = "geosam"
_KEY = re.compile(r"[0-9a-f]{64}")
_ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")
_SHELF = re.compile(r"[0-9a-f]{2}")
_PARTIAL = re.compile(r"\..+\.partial")


class EmbeddingStore:
    """A folder of embeddings. Picklable; any number of processes may use one folder.

    What goes wrong with it is told once, through :meth:`take_warnings`, and fails no run.

    Args:
        folder: is made if it does not exist.
        max_bytes: what the entries may take; the ones not used for the longest time are given up first. None keeps
            the limit that the folder has, 20 GiB in a new one; a number becomes the folder's limit.

    Raises:
        UsageError: the folder is a file, or holds other things than embeddings.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"a store needs room for at least one byte, got {max_bytes}")
        self.folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links
        self.max_bytes = DEFAULT_MAX_BYTES
        """What the entries may take."""
        self.failure: OSError | None = None
        """Why nothing is written any more, once that is so."""
        self._told: set[str] = set()
        self._warnings: list[str] = []
        self._total = math.inf  # until the folder is looked at
        self._unseen = 0
        try:
            self._open(max_bytes)
        except OSError as error:
            self._give_up_writing(error)

    def get(self, key: str) -> Embedding | None:
        """The embedding kept under a key (64 hexadecimal digits); None if there is none, or none that is intact.

        A damaged entry is deleted. The arrays are writable copies: what happens to the entry from now on, an eviction
        by another process for instance, is no concern of theirs.
        """
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell(f"the embedding store cannot be read, what it holds is made again: {self.folder}: {_why(error)}")
            return None
        try:
            embedding = _decoded(data, key)
        except _DAMAGE:
            with suppress(OSError):
                path.unlink()
            self._tell(f"the embedding store holds damaged entries, they are made again: {self.folder}")
            return None
        with suppress(OSError):  # a store that may only be read serves as well
            os.utime(path)  # the order of eviction
        return embedding

    def put(self, key: str, embedding: Embedding) -> bool:
        """Keep an embedding; False if that is impossible."""
        if self.failure is not None:
            return False
        data = _encoded(key, embedding)
        if len(data) > self.max_bytes:
            self._tell(
                f"an embedding of {_size(len(data))} does not fit into the store and is not kept: {self.folder}: "
                f"its limit is {_size(self.max_bytes)}"
            )
            return False
        path = self._path(key)
        try:
            _write(path, data)
        except OSError as error:
            self._give_up_writing(error)
            return False
        self._unseen += len(data)
        self._make_room(path)
        return True

    def bytes_of(self, key: str) -> int:
        """Size of the entry under a key; 0 if there is none."""
        try:
            return self._path(key).stat().st_size
        except OSError:
            return 0

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path lies in the store's folder, where nothing else has a place."""
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder))

    def take_warnings(self) -> list[str]:
        """What the user should know since the last call."""
        taken, self._warnings = self._warnings, []
        return taken

    def _open(self, max_bytes: int | None) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UsageError(
                f"the embedding store is no folder: {self.folder}: found a file. Name a folder that is new or a store."
            ) from None
        known = self._manifest()
        if known is None and (foreign := sorted(filter(_is_foreign, os.listdir(self.folder)))):  # noqa: PTH208 - names
            raise UsageError(
                f"the folder is no embedding store: {self.folder}: it holds {foreign[0]!r}. "
                "Name a folder that is new or empty, or a store."
            )
        limit = (known or {}).get("max_bytes")
        self.max_bytes = max_bytes or (limit if isinstance(limit, int) and limit > 0 else DEFAULT_MAX_BYTES)
        wanted = {"what": _WHAT, "format": FORMAT, "max_bytes": self.max_bytes}
        if wanted != known:
            _write(self.folder / _MANIFEST, (json.dumps(wanted, indent=1) + "\n").encode())

    def _manifest(self) -> dict[str, Any] | None:
        """What the folder says about itself; None if it is nothing a store would say."""
        try:
            found = json.loads((self.folder / _MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and found.get("what") == _WHAT else None

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a key has 64 hexadecimal digits, got {key!r}")
        return self.folder / key[:2] / f"{key}.safetensors"

    def _make_room(self, newest: Path) -> None:
        """Delete the entries that were not used for the longest time if there are too many bytes."""
        if self._unseen <= _UNSEEN * self.max_bytes and self._total + self._unseen <= self.max_bytes:
            return
        files = sorted(self._files())
        total = sum(file.size for file in files)
        if total > self.max_bytes:
            for file in files:
                if total > _LEFT * self.max_bytes and file.path != str(newest):
                    with suppress(OSError):  # on Windows while somebody reads it
                        Path(file.path).unlink(missing_ok=True)  # another process may be evicting too
                        total -= file.size
        self._total, self._unseen = total, 0

    def _files(self) -> Iterator[_File]:
        """All entries; what killed processes left is removed on the way."""
        shelves = [item.path for item in _listed(str(self.folder)) if _SHELF.fullmatch(item.name)]
        for folder in (str(self.folder), *shelves):
            for item in _listed(folder):
                with suppress(OSError):  # gone by now
                    info = item.stat(follow_symlinks=False)
                    if _ENTRY.fullmatch(item.name):
                        yield _File(info.st_mtime_ns, item.path, info.st_size)
                    elif _PARTIAL.fullmatch(item.name) and time.time() - info.st_mtime > _ABANDONED_S:
                        Path(item.path).unlink()

    def _give_up_writing(self, error: OSError) -> None:
        self.failure = error
        self._tell(f"the embedding store cannot be written, nothing new is kept in it: {self.folder}: {_why(error)}")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._warnings.append(text)


class _File(NamedTuple):
    """An entry; files sort by the time of their last use."""

    used_ns: int
    path: str
    size: int


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except OSError:
        return []


def _is_foreign(name: str) -> bool:
    return not (name.startswith(".") or name == _MANIFEST or _SHELF.fullmatch(name))


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. A file that a power failure damages is noticed by its checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        draft.write_bytes(data)


def _encoded(key: str, embedding: Embedding) -> bytes:
    arrays = {name: plain(array) for name, array in embedding.arrays.items()}
    facts = {
        "format": FORMAT,
        "key": key,
        "input_hw": [int(side) for side in embedding.input_hw],
        "model": embedding.fingerprint,
        "names": list(arrays),
    }
    facts["checksum"] = _checksum(facts, arrays)
    return save(arrays, {_FACTS: json.dumps(facts)})


#: What reading a file that no store wrote can raise.
_DAMAGE = (SafetensorError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def _decoded(data: bytes, key: str) -> Embedding:
    """The inverse of :func:`_encoded`; raises one of `_DAMAGE` for anything else."""
    arrays = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    facts = json.loads(header["__metadata__"][_FACTS])
    checksum = facts.pop("checksum")
    arrays = {name: arrays[name] if arrays[name].flags.writeable else arrays[name].copy() for name in facts["names"]}
    if (facts["format"], facts["key"], _checksum(facts, arrays)) != (FORMAT, key, checksum):
        raise ValueError("not what was written under this key")
    height, width = facts["input_hw"]
    return Embedding(arrays, (height, width), facts["model"])


def _checksum(facts: Mapping[str, Any], arrays: Arrays) -> str:
    """Digest of the arrays and of what is said about them, whatever the layout of the file."""
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=32)
    for name, array in arrays.items():
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _size(count: int) -> str:
    return f"{count / 2**20:.3g} MiB" if count < 2**30 else f"{count / 2**30:.3g} GiB"
