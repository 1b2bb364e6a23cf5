"""Embeddings of networks: how they are computed in batches, stored as arrays, and prepared for the decoder."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch

from geosam.errors import ModelError, OutOfMemory
from geosam.segmenters.segmenter import Embedding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam._arrays import BoolArray
    from geosam.segmenters.segmenter import ModelSpec

T = TypeVar("T")

#: Number of tiles whose decoder state is kept.
_KEPT = 2


class TileBatches:
    """Encoder calls for batches of tiles. When memory does not suffice, all later batches are smaller, too.

    Args:
        size: number of tiles in a batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def embed(
        self,
        encode: Callable[[NDArray[np.uint8], BoolArray, int], list[Embedding]],
        rgb: NDArray[np.uint8],
        valid: BoolArray,
    ) -> list[Embedding]:
        """Embed (B, 3, H, W) pictures.

        Args:
            encode: embeds pictures (b, 3, H, W) with valid pixels (b, H, W). Its third argument is the size of a full
                batch, for encoders that are compiled for one size and pad the last batch.
            rgb: (B, 3, H, W) colours.
            valid: (B, H, W) valid pixels.

        Raises:
            OutOfMemory: there is not enough memory for one picture.
        """
        embedded: list[Embedding] = []
        while len(embedded) < len(rgb):
            size = self._size  # read once: another thread may shrink it
            part = slice(len(embedded), len(embedded) + size)
            try:
                embedded += encode(rgb[part], valid[part], size)
            except OutOfMemory:
                if size == 1:
                    raise
                self._size = min(self._size, size // 2)
        return embedded


def check_finite(maps: Iterable[Tensor], name: str, precision: str) -> None:
    """Refuse features with values that are not finite.

    Args:
        maps: features of any shape.
        name: name of the model, for the message.
        precision: precision of the model, for the message.

    Raises:
        ModelError: a value is not finite.
    """
    if not all(torch.isfinite(features).all() for features in maps):
        raise ModelError(
            f"{name} gives values that are not finite: `precision`: found {precision!r}.",
            remedy="Use `precision='fp32'`. If that changes nothing, the weights are damaged.",
            code="features-not-finite",
            model=name,
            precision=precision,
        )


def embeddings(features: Sequence[Mapping[str, NDArray[Any]]], valid: BoolArray, spec: ModelSpec) -> list[Embedding]:
    """Return one embedding for the arrays of each picture, with its valid pixels (B, H, W) packed as bits."""
    return [
        Embedding({**arrays, "valid": np.packbits(mask, axis=1)}, (mask.shape[0], mask.shape[1]), spec.fingerprint)
        for arrays, mask in zip(features, valid, strict=True)
    ]


def valid_pixels(embedding: Embedding) -> BoolArray:
    """Return the pixels (H, W) of the picture that may belong to objects."""
    return np.unpackbits(embedding.arrays["valid"], axis=1, count=embedding.input_hw[1]).view(bool)


def to_array(maps: Tensor) -> NDArray[Any]:
    """Convert maps to an array. NumPy lacks bfloat16, so such maps become the bits of unsigned integers."""
    dense = maps.cpu().contiguous()
    array: NDArray[Any] = (dense.view(torch.uint16) if dense.dtype == torch.bfloat16 else dense).numpy()
    return array


def from_array(array: NDArray[Any], dtype: torch.dtype, device: str) -> Tensor:
    """Convert an array from :func:`to_array` back to maps of `dtype` on a device."""
    writable = array if array.flags.writeable else array.copy()  # torch knows no read-only memory
    return torch.from_numpy(writable).view(dtype).to(device)


class _CachedState(NamedTuple, Generic[T]):
    embedding: weakref.ref[Embedding]
    state: T


class DecoderCache(Generic[T]):
    """Decoder state of the last tiles: everything that depends on the embedding and not on the prompts.

    The calls for one tile follow one another, so a few entries are enough. Threads share the cache: two threads that
    need the same state at the same time both compute it.

    Args:
        fingerprint: fingerprint of the network; embeddings of other networks are refused.
    """

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self._entries: tuple[_CachedState[T], ...] = ()

    def of(self, embedding: Embedding, compute: Callable[[Embedding], T]) -> T:
        """Return the state of an embedding. Call `compute` if it is not cached.

        Raises:
            ValueError: another network made the embedding.
        """
        entries = self._entries  # no lock: the tuple is replaced, never changed
        for entry in entries:
            if entry.embedding() is embedding:
                return entry.state
        if embedding.fingerprint != self._fingerprint:
            raise ValueError(f"found an embedding of {embedding.fingerprint}, expected one of {self._fingerprint}")
        state = compute(embedding)
        alive = [entry for entry in entries if entry.embedding() is not None]
        self._entries = (_CachedState(weakref.ref(embedding), state), *alive[: _KEPT - 1])
        return state
