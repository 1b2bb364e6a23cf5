"""What the networks have in common about embeddings: making them, keeping them as arrays, remembering them."""

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

#: Tiles whose decoder state is kept between calls.
_KEPT = 2


class Batches:
    """Pictures go through an encoder so many at once; half as many as soon as memory does not suffice."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once

    def embed(
        self,
        encode: Callable[[NDArray[np.uint8], BoolArray, int], list[Embedding]],
        rgb: NDArray[np.uint8],
        valid: BoolArray,
    ) -> list[Embedding]:
        """Embeddings of (B, 3, H, W) pictures; `encode` is given some of them, and how many it shall fill them up to.

        Raises:
            OutOfMemory: there is not enough for one picture.
        """
        made: list[Embedding] = []
        while len(made) < len(rgb):
            part = slice(len(made), len(made) + self._at_once)
            try:
                made += encode(rgb[part], valid[part], self._at_once)
            except OutOfMemory:
                if self._at_once == 1:
                    raise
                self._at_once //= 2
        return made


def check_finite(maps: Iterable[Tensor], name: str, precision: str) -> None:
    """Refuse features that no mask can be made of.

    Raises:
        ModelError: some are not finite.
    """
    if not all(torch.isfinite(found).all() for found in maps):
        raise ModelError(
            f"{name} gives values that are not finite: --precision: {precision}. "
            "Use --precision fp32; if that changes nothing, the weights are damaged."
        )


def embeddings(kept: Sequence[Mapping[str, NDArray[Any]]], valid: BoolArray, spec: ModelSpec) -> list[Embedding]:
    """One embedding for the arrays of each picture, and which of its pixels are valid (B, H, W)."""
    return [
        Embedding({**arrays, "valid": np.packbits(mask, axis=1)}, (mask.shape[0], mask.shape[1]), spec.fingerprint)
        for arrays, mask in zip(kept, valid, strict=True)
    ]


def valid_pixels(embedding: Embedding) -> BoolArray:
    """(H, W) pixels of the picture that may belong to objects."""
    return np.unpackbits(embedding.arrays["valid"], axis=1, count=embedding.input_hw[1]).view(bool)


def to_array(maps: Tensor) -> NDArray[Any]:
    """Maps as an array; bfloat16, which NumPy lacks, as the bits of unsigned integers."""
    here = maps.cpu().contiguous()
    array: NDArray[Any] = (here.view(torch.uint16) if here.dtype == torch.bfloat16 else here).numpy()
    return array


def from_array(array: NDArray[Any], dtype: torch.dtype, device: str) -> Tensor:
    """The maps that :func:`to_array` gave, as they were, on a device."""
    writable = array if array.flags.writeable else array.copy()  # torch knows no read-only memory
    return torch.from_numpy(writable).view(dtype).to(device)


class _Remembered(NamedTuple, Generic[T]):
    embedding: weakref.ref[Embedding]
    made: T


class Memory(Generic[T]):
    """What was computed from the last embeddings alone; kept, because the calls for one tile follow one another."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self._remembered: list[_Remembered[T]] = []

    def of(self, embedding: Embedding, make: Callable[[Embedding], T]) -> T:
        """What `make` gives, made once as long as the embedding is among the last.

        Raises:
            ValueError: another network made the embedding.
        """
        for one in self._remembered:
            if one.embedding() is embedding:
                return one.made
        if embedding.fingerprint != self._fingerprint:
            raise ValueError(f"an embedding of {embedding.fingerprint} was handed to {self._fingerprint}")
        made = make(embedding)
        alive = [one for one in self._remembered if one.embedding() is not None]
        self._remembered = [_Remembered(weakref.ref(embedding), made), *alive[: _KEPT - 1]]
        return made
