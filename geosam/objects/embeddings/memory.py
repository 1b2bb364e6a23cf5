"""EmbeddingMemory: embeddings in memory, within a number of bytes, each made once however many ask for it at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from geosam.segmenters.segmenter import Embedding

#: What a memory holds that nobody gave a limit (bytes).
DEFAULT_MAX_BYTES = 512 * 2**20
#: What an entry takes beside its arrays: a window without a valid pixel has none (bytes).
_ENTRY_BYTES = 1024


class Known(NamedTuple):
    """What a memory knows about a window."""

    embedding: Embedding | None
    """None where no pixel is valid."""


class _Entry(NamedTuple):
    embedding: Embedding | None
    size: int
    ahead: bool


class EmbeddingMemory:
    """Embeddings by any key, for any number of threads. Those not used for the longest time are given up first.

    What is made ahead of need may take half of the room. So however much that is, the half used last stays.

    Args:
        max_bytes: what the embeddings may take. The one that was used last stays even if it alone takes more.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._flights: dict[Hashable, Future[Embedding | None]] = {}
        self._bytes = self._bytes_ahead = 0

    def __reduce__(self) -> tuple[type[EmbeddingMemory], tuple[int]]:
        return EmbeddingMemory, (self.max_bytes,)  # a copy in another process begins empty

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Hashable]:
        with self._lock:
            return iter(list(self._entries))  # the one used last at the end

    @property
    def nbytes(self) -> int:
        """What the embeddings take."""
        return self._bytes

    @property
    def bytes_ahead(self) -> int:
        """What embeddings that were made ahead of need may take."""
        return self.max_bytes // 2

    def get(self, key: Hashable, *, ahead: bool = False) -> Known | None:
        """What is known under a key, None if nothing is; it counts as used, `ahead` of need or because of it."""
        with self._lock:
            return self._used(key, ahead=ahead)

    def of(self, key: Hashable, make: Callable[[], Embedding | None], *, ahead: bool = False) -> Embedding | None:
        """The embedding under a key, as `make` gives it if it is not known; `ahead` of need or because it is needed.

        While one thread makes it, others that want it wait. If it fails, its error is its own: the next of them tries.
        """
        while True:
            with self._lock:
                known = self._used(key, ahead=ahead)
                if known is not None:
                    return known.embedding
                flight = self._flights.get(key)
                if flight is None:
                    own = self._flights[key] = Future()
                    break
            if flight.exception() is None:
                with self._lock:
                    self._used(key, ahead=ahead)
                return flight.result()
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._flights[key]
            own.set_exception(error)
            raise
        with self._lock:
            del self._flights[key]
            self._keep(key, _Entry(made, size_of(made), ahead))
        own.set_result(made)
        return made

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._entries.clear()
            self._bytes = self._bytes_ahead = 0

    def _used(self, key: Hashable, *, ahead: bool) -> Known | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ahead and not ahead:
            self._bytes_ahead -= entry.size
            self._entries[key] = entry._replace(ahead=False)
        self._entries.move_to_end(key)
        return Known(entry.embedding)

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        self._entries[key] = entry
        self._bytes += entry.size
        self._bytes_ahead += entry.size * entry.ahead
        older = list(self._entries.items())[:-1]
        for old, other in older:
            if other.ahead and self._bytes_ahead > self.bytes_ahead:
                self._drop(old)
        for old, _ in older:
            if old in self._entries and self._bytes > self.max_bytes:
                self._drop(old)

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key)
        self._bytes -= entry.size
        self._bytes_ahead -= entry.size * entry.ahead


def size_of(embedding: Embedding | None) -> int:
    """Bytes that an embedding takes in memory."""
    arrays = () if embedding is None else embedding.arrays.values()
    return _ENTRY_BYTES + sum(array.nbytes for array in arrays)
