"""EmbeddingMemory: a cache of embeddings with a limit in bytes, in which threads make each embedding once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from geosam.segmenters.segmenter import Embedding

#: Default limit (bytes).
DEFAULT_MAX_BYTES = 512 * 2**20
#: Bytes of an entry beside its arrays, estimated; the entry of a window without valid pixels has no arrays.
_ENTRY_BYTES = 1024


class CachedEmbedding(NamedTuple):
    """Embedding that a memory holds."""

    embedding: Embedding | None
    """The embedding; None for a window without valid pixels."""


class _Entry(NamedTuple):
    embedding: Embedding | None
    size: int
    """Bytes."""
    ahead: bool
    """True if it was prefetched and not used since."""


class EmbeddingMemory:
    """Cache of embeddings by any key, safe for threads. The embeddings not used for the longest time go first.

    Prefetched embeddings take at most half of the limit, so that they never push out all that was used.

    Args:
        max_bytes: limit of all embeddings. The one used last stays even if it is larger.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._flights: dict[Hashable, Future[Embedding | None]] = {}
        self._bytes = self._bytes_ahead = 0

    def __reduce__(self) -> tuple[type[EmbeddingMemory], tuple[int]]:
        return EmbeddingMemory, (self.max_bytes,)  # a copy in another process begins empty

    def __repr__(self) -> str:
        return f"EmbeddingMemory({len(self)} embeddings, {self.nbytes / 2**20:.3g} of {self.max_bytes / 2**20:.3g} MiB)"

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Hashable]:
        with self._lock:
            return iter(list(self._entries))  # the one used last at the end

    @property
    def nbytes(self) -> int:
        """Bytes of all embeddings."""
        return self._bytes

    @property
    def bytes_ahead(self) -> int:
        """Limit of prefetched embeddings in bytes."""
        return self.max_bytes // 2

    def get(self, key: Hashable, *, ahead: bool = False) -> CachedEmbedding | None:
        """Return the embedding under a key and mark it as used last; None if the memory does not hold it.

        Args:
            key: key of the embedding.
            ahead: the caller prefetches, so a prefetched embedding stays one.
        """
        with self._lock:
            return self._used(key, ahead=ahead)

    def get_or_make(
        self, key: Hashable, make: Callable[[], Embedding | None], *, ahead: bool = False
    ) -> Embedding | None:
        """Return the embedding under a key; make and keep it if the memory does not hold it.

        While one thread makes it, other threads with this key wait. If that fails, the thread gets the error of `make`,
        and one of the others tries again.

        Args:
            key: key of the embedding.
            make: makes the embedding; returns None for a window without valid pixels.
            ahead: the embedding is prefetched.
        """
        while True:
            with self._lock:
                cached = self._used(key, ahead=ahead)
                if cached is not None:
                    return cached.embedding
                flight = self._flights.get(key)
                if flight is None:
                    own = self._flights[key] = Future()
                    break
            if flight.exception() is None:  # waits for the other thread
                with self._lock:
                    self._used(key, ahead=ahead)
                return flight.result()  # not from the memory: it may have dropped the embedding already
        try:
            embedding = make()  # without the lock: other keys are made side by side
        except BaseException as error:  # a KeyboardInterrupt too: threads that wait must wake up
            with self._lock:
                del self._flights[key]
            own.set_exception(error)
            raise
        with self._lock:
            del self._flights[key]
            self._keep(key, _Entry(embedding, size_of(embedding), ahead))
        own.set_result(embedding)
        return embedding

    def clear(self) -> None:
        """Drop all embeddings."""
        with self._lock:
            self._entries.clear()
            self._bytes = self._bytes_ahead = 0

    def _used(self, key: Hashable, *, ahead: bool) -> CachedEmbedding | None:
        """Return an entry and mark it as used last; the caller holds the lock."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ahead and not ahead:
            self._bytes_ahead -= entry.size
            self._entries[key] = entry._replace(ahead=False)
        self._entries.move_to_end(key)
        return CachedEmbedding(entry.embedding)

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        """Add an entry, and drop others beyond the limits; the caller holds the lock."""
        self._entries[key] = entry
        self._bytes += entry.size
        self._bytes_ahead += entry.size * entry.ahead
        older = list(self._entries.items())[:-1]  # the new entry stays
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
    """Return the bytes of an embedding in memory."""
    arrays = () if embedding is None else embedding.arrays.values()
    return _ENTRY_BYTES + sum(array.nbytes for array in arrays)
