"""Objects as messages, in groups that fit into a line."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geosam.apps.worker.protocol import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from geosam.apps.worker.protocol import Message

#: Largest size of all outlines in one message (bytes in base64): an eighth of the longest line.
_BYTES_AT_ONCE = 2 << 20
#: Largest size of one outline (bytes in base64); the rest of the line is for the other columns.
MAX_WKB = MAX_LINE - (1 << 20)


def object_messages(polygons: Sequence[Any] | NDArray[Any], columns: Mapping[str, Sequence[Any]]) -> list[Message]:
    """Return one message for each object that `geosam.objects.shaping.features` made; outlines are WKB in base64."""
    wkbs: list[bytes] = shapely.to_wkb(np.asarray(polygons, object)).tolist()
    return [
        {"wkb": base64.b64encode(wkb).decode("ascii"), **dict(zip(columns, row, strict=True))}
        for wkb, *row in zip(wkbs, *columns.values(), strict=True)
    ]


def bundles(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Yield the objects in groups that fit into a line. An object that fits into no line is left out."""
    bundle: list[Message] = []
    size = 0
    for message in messages:
        length = len(message["wkb"])
        if length > MAX_WKB:
            continue
        if bundle and size + length > _BYTES_AT_ONCE:
            yield bundle
            bundle, size = [], 0
        bundle.append(message)
        size += length
    if bundle:
        yield bundle
