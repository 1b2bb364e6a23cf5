"""EmbeddingStore: embeddings on disk under the keys of all that they depend on, checked at every reading.

    STORE/store.json                   format and limit of the folder
    STORE/3f/3f9a[...]e1.safetensors   embedding of one tile; the name is its key (geosam/objects/embeddings/key.py)

A store only saves time: an entry that is missing, damaged or cannot be written is computed again, and a run has the
same result with any store or none. So a store needs no lock and no flush to the disk. Files appear whole, and any
number of processes may read, write and evict at once.
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
from geosam.packing import plain
from geosam.segmenters.segmenter import Embedding
from geosam.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

#: Limit of a new store (bytes).
DEFAULT_MAX_BYTES = 20 * 2**30
#: Share of the limit that may be written before the folder is measured again; other processes write as well.
_UNMEASURED = 0.05
#: Share of the limit that an eviction leaves, so that not every new entry needs one.
_LEFT = 0.9
#: Age (seconds) from which a half-written file belongs to a process that was killed.
_ABANDONED_S = 3600

_WHAT = "embeddings of geosam; safe to delete at any time"
_MANIFEST = "store.json"
_FACTS = "geosam"
_KEY = re.compile(r"[0-9a-f]{64}")
_ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")
_SHELF = re.compile(r"[0-9a-f]{2}")
_PARTIAL = re.compile(r"\..+\.partial")


class EmbeddingStore:
    """Folder of embeddings. It can be pickled, and any number of processes may use one folder.

    Its failures are warnings, once each, through :meth:`take_warnings`; they fail no run.

    Args:
        folder: folder of the entries; made if it does not exist.
        max_bytes: limit of all entries; those not used for the longest time go first. A number becomes the limit of the
            folder, None keeps the one it has (20 GiB in a new folder).

    Raises:
        UsageError: the folder is a file, or holds other files than embeddings.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"the limit of a store is too small: found {max_bytes}, expected at least one byte")
        self.folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links
        self.max_bytes = DEFAULT_MAX_BYTES
        """Limit of all entries in bytes."""
        self.failure: OSError | None = None
        """Error after which nothing is written any more; None while the store can be written."""
        self._warned: set[str] = set()
        self._warnings: list[str] = []
        self._total = math.inf  # until the folder is measured
        self._unmeasured = 0
        try:
            self._open(max_bytes)
        except OSError as error:
            self._give_up_writing(error)

    def __repr__(self) -> str:
        return f"EmbeddingStore({self.folder}, limit {_size(self.max_bytes)})"

    def get(self, key: str) -> Embedding | None:
        """Return the embedding under a key (64 hexadecimal digits); None if there is none, or if it is damaged.

        A damaged entry is deleted. The arrays are writable copies, which stay when the entry is evicted.
        """
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(
                f"the embedding store cannot be read, embeddings are made again: {self.folder}: {_reason(error)}"
            )
            return None
        try:
            embedding = _decoded(data, key)
        except _DAMAGE:
            with suppress(OSError):
                path.unlink()
            self._warn(f"the embedding store holds damaged entries, they are made again: {self.folder}")
            return None
        with suppress(OSError):  # a read-only store works too
            os.utime(path)  # eviction goes by this time
        return embedding

    def put(self, key: str, embedding: Embedding) -> bool:
        """Keep an embedding; return False if it cannot be kept."""
        if self.failure is not None:
            return False
        data = _encoded(key, embedding)
        if len(data) > self.max_bytes:
            self._warn(
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
        self._unmeasured += len(data)
        self._make_room(path)
        return True

    def bytes_of(self, key: str) -> int:
        """Return the size of the entry under a key in bytes; 0 if there is none."""
        try:
            return self._path(key).stat().st_size
        except OSError:
            return 0

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Return True if a path lies in the store's folder."""
        # Real paths: a link into the folder leads there too.
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder))

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call."""
        taken, self._warnings = self._warnings, []
        return taken

    def _open(self, max_bytes: int | None) -> None:
        """Make or check the folder, and set the limit."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UsageError(
                f"the embedding store is no folder: {self.folder}: found a file, expected a folder.",
                remedy="Name a new folder, or a store.",
                code="store-is-a-file",
                folder=str(self.folder),
            ) from None
        present = self._manifest()
        # Without a manifest, a folder of other files might be somebody's data: the eviction must never run there.
        if present is None and (foreign := sorted(filter(_is_foreign, os.listdir(self.folder)))):  # noqa: PTH208 - names
            raise UsageError(
                f"the folder is no embedding store: {self.folder}: it holds {foreign[0]!r}.",
                remedy="Name a new or empty folder, or a store.",
                code="folder-is-no-store",
                folder=str(self.folder),
                file=foreign[0],
            )
        limit = (present or {}).get("max_bytes")
        self.max_bytes = max_bytes or (limit if isinstance(limit, int) and limit > 0 else DEFAULT_MAX_BYTES)
        expected = {"what": _WHAT, "format": FORMAT, "max_bytes": self.max_bytes}
        if expected != present:
            _write(self.folder / _MANIFEST, (json.dumps(expected, indent=1) + "\n").encode())

    def _manifest(self) -> dict[str, Any] | None:
        """Return the manifest of the folder; None if it is missing or not that of a store."""
        try:
            manifest = json.loads((self.folder / _MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        return manifest if isinstance(manifest, dict) and manifest.get("what") == _WHAT else None

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a key of the store is damaged: found {key!r}, expected 64 hexadecimal digits")
        return self.folder / key[:2] / f"{key}.safetensors"

    def _make_room(self, newest: Path) -> None:
        """Delete the entries not used for the longest time if all together exceed the limit; `newest` stays."""
        if self._unmeasured <= _UNMEASURED * self.max_bytes and self._total + self._unmeasured <= self.max_bytes:
            return  # measuring reads the whole folder
        files = sorted(self._files())
        total = sum(file.size for file in files)
        if total > self.max_bytes:
            for file in files:
                if total > _LEFT * self.max_bytes and file.path != str(newest):
                    with suppress(OSError):  # on Windows, while another process reads it
                        Path(file.path).unlink(missing_ok=True)  # another process may be evicting too
                        total -= file.size
        self._total, self._unmeasured = total, 0

    def _files(self) -> Iterator[_File]:
        """Yield all entries, and delete half-written files of processes that were killed."""
        shelves = [item.path for item in _listed(str(self.folder)) if _SHELF.fullmatch(item.name)]
        for folder in (str(self.folder), *shelves):
            for item in _listed(folder):
                with suppress(OSError):  # another process has deleted it
                    info = item.stat(follow_symlinks=False)
                    if _ENTRY.fullmatch(item.name):
                        yield _File(info.st_mtime_ns, item.path, info.st_size)
                    elif _PARTIAL.fullmatch(item.name) and time.time() - info.st_mtime > _ABANDONED_S:
                        Path(item.path).unlink()

    def _give_up_writing(self, error: OSError) -> None:
        self.failure = error
        self._warn(f"the embedding store cannot be written, nothing new is kept in it: {self.folder}: {_reason(error)}")

    def _warn(self, text: str) -> None:
        if text not in self._warned:  # once, not for each tile of a run
            self._warned.add(text)
            self._warnings.append(text)


class _File(NamedTuple):
    """Entry of a store; sorts by the time of its last use."""

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
    """Return True for a file that no store makes; hidden files of the system do not count."""
    return not (name.startswith(".") or name == _MANIFEST or _SHELF.fullmatch(name))


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    # Without a flush: the checksum finds files that a power failure damages.
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        draft.write_bytes(data)


def _encoded(key: str, embedding: Embedding) -> bytes:
    """Return the bytes of an entry: a safetensors file with facts and a checksum in its metadata."""
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


#: Errors of reading a file that no store wrote.
_DAMAGE = (SafetensorError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def _decoded(data: bytes, key: str) -> Embedding:
    """Decode the bytes of an entry; raise one of `_DAMAGE` for any others."""
    arrays = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    facts = json.loads(header["__metadata__"][_FACTS])
    checksum = facts.pop("checksum")
    arrays = {name: arrays[name] if arrays[name].flags.writeable else arrays[name].copy() for name in facts["names"]}
    if (facts["format"], facts["key"], _checksum(facts, arrays)) != (FORMAT, key, checksum):
        raise ValueError("the entry is damaged: its checksum, key or format differs")
    height, width = facts["input_hw"]
    return Embedding(arrays, (height, width), facts["model"])


def _checksum(facts: Mapping[str, Any], arrays: Arrays) -> str:
    """Return a digest of the arrays and facts; it does not depend on the layout of the file."""
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=32)
    for name, array in arrays.items():
        digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _size(count: int) -> str:
    return f"{count / 2**20:.3g} MiB" if count < 2**30 else f"{count / 2**30:.3g} GiB"
