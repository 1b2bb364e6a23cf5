"""Named arrays, and blocks of bytes, as one block of bytes: for results that go to a file or to another process."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays of plain numbers as bytes, lightly compressed; equal arrays give equal bytes."""
    header = json.dumps([[name, array.dtype.str, array.shape] for name, array in arrays.items()]).encode()
    body = b"".join([len(header).to_bytes(8, "little"), header, *(array.tobytes() for array in arrays.values())])
    return zlib.compress(body, 1)


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """Read what :func:`pack` wrote."""
    body = zlib.decompress(data)
    start = 8 + int.from_bytes(body[:8], "little")
    arrays = {}
    for name, dtype, shape in json.loads(body[8:start]):
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(body, np.dtype(dtype), count, start).reshape(shape)
        start += arrays[name].nbytes
    return arrays


def join(blocks: Iterable[bytes]) -> bytes:
    """Blocks of bytes in one, as they are."""
    return b"".join(part for block in blocks for part in (len(block).to_bytes(8, "little"), block))


def split(data: bytes) -> list[bytes]:
    """Read what :func:`join` wrote."""
    blocks = []
    start = 0
    while start < len(data):
        begin = start + 8
        start = begin + int.from_bytes(data[start:begin], "little")
        blocks.append(data[begin:start])
    return blocks


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """The same values in the machine's byte order, row by row: arrays that went through a file look like this."""
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")
