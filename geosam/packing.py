"""Packing of arrays and blocks of bytes into one block of bytes."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack named arrays of plain numbers, lightly compressed; equal arrays give equal bytes."""
    header = json.dumps([[name, array.dtype.str, array.shape] for name, array in arrays.items()]).encode()
    # The header comes first: with its shapes a reader finds each array in place, without a copy.
    body = b"".join([len(header).to_bytes(8, "little"), header, *(array.tobytes() for array in arrays.values())])
    return zlib.compress(body, 1)  # masks shrink a lot; higher levels gain little and take longer


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """Read the arrays that :func:`pack` wrote."""
    body = zlib.decompress(data)
    start = 8 + int.from_bytes(body[:8], "little")
    arrays = {}
    for name, dtype, shape in json.loads(body[8:start]):
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(body, np.dtype(dtype), count, start).reshape(shape)
        start += arrays[name].nbytes
    return arrays


def join(blocks: Iterable[bytes]) -> bytes:
    """Join blocks of bytes into one; the length of a block (8 bytes, little-endian) stands before it."""
    return b"".join(part for block in blocks for part in (len(block).to_bytes(8, "little"), block))


def split(data: bytes) -> list[bytes]:
    """Read the blocks that :func:`join` wrote."""
    blocks = []
    start = 0
    while start < len(data):
        begin = start + 8
        start = begin + int.from_bytes(data[start:begin], "little")
        blocks.append(data[begin:start])
    return blocks


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return the same values in the machine's byte order and row by row, as :func:`unpack` returns arrays.

    So a result does not depend on whether its arrays were stored in between.
    """
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")
