"""Spool: finished objects of a run, on disk until they are written in the order of their first pixels."""

from __future__ import annotations

import hashlib
import math
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geosam.geometry import corners
from geosam.geometry.planar import PlanarInput
from geosam.geometry.polygons import polygonize
from geosam.objects.scene_object import SceneObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from shapely.geometry.base import BaseGeometry

    from geosam.geometry.geobox import Window

_TABLES = """
CREATE TABLE objects (
    x INTEGER, y INTEGER, area INTEGER, tie TEXT, score REAL, stability REAL, n_tiles INTEGER, touches_edge INTEGER,
    truncated INTEGER, prompt_index INTEGER, class_id INTEGER, class_score REAL, digest BLOB, corners BLOB
);
CREATE TABLE numbers (number INTEGER PRIMARY KEY, place INTEGER);
CREATE VIRTUAL TABLE boxes USING rtree_i32(number, x0, x1, y0, y1);
CREATE TABLE pieces (number INTEGER, wkb BLOB);
CREATE INDEX piece_numbers ON pieces (number);
"""
# The outline is the last column, so that sorting need not read it. Objects are sorted by its digest instead.
_SEAL = """
INSERT INTO numbers
SELECT
    row_number() OVER (
        ORDER BY y, x, area, tie, digest, score, stability, n_tiles, prompt_index, class_id, class_score
    ) - 1,
    rowid
FROM objects
"""


class ObjectSpool:
    """Objects of one region: they are added in any order, then read by number.

    The numbers follow the first pixel (row, then column), then the area, then `tie`, then the outline. So they do not
    depend on the order in which tiles were computed.

    Args:
        region: window of the scene that holds all objects.
    """

    def __init__(self, region: Window) -> None:
        self._region = region
        # A database without a name is in memory. When it grows, SQLite moves it to a temporary file of this process.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA cache_size = -65536")
        self._db.execute("PRAGMA synchronous = OFF")  # nobody reads the file after a crash
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM numbers").fetchone()[0])

    @property
    def region(self) -> Window:
        """Window of the scene that holds all objects."""
        return self._region

    def add(self, objects: Iterable[SceneObject], tie: str = "") -> None:
        """Add finished objects; `tie` orders objects of equal pixels (the id of their prompt)."""
        rows = (_row(item, tie) for item in objects)
        self._db.executemany("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def seal(self) -> None:
        """Number the objects; after that none can be added."""
        self._db.execute(_SEAL)

    def objects(self) -> Iterator[tuple[int, SceneObject]]:
        """Yield (number, object), by number."""
        query = """SELECT number, corners, score, stability, n_tiles, touches_edge, truncated, prompt_index, class_id,
                          class_score
                   FROM numbers JOIN objects ON objects.rowid = place ORDER BY number"""
        with closing(self._db.execute(query)) as rows:
            for number, *row in rows:
                yield number, _object(row)

    def index_boxes(self) -> None:
        """Index the boxes of the objects. :meth:`meeting` needs it."""
        with closing(
            self._db.execute("SELECT number, corners FROM numbers JOIN objects ON objects.rowid = place")
        ) as rows:
            for number, blob in rows:
                box = corners.bounds(_corners(blob))
                ends = (number, box.col_off, box.col_end, box.row_off, box.row_end)
                self._db.execute("INSERT INTO boxes VALUES (?, ?, ?, ?, ?)", ends)

    def meeting(self, window: Window) -> Iterator[PlanarInput]:
        """Yield the objects whose boxes share a pixel with `window`, by number."""
        query = """SELECT boxes.number, score, area, corners
                   FROM boxes JOIN numbers USING (number) JOIN objects ON objects.rowid = place
                   WHERE x0 < ? AND x1 > ? AND y0 < ? AND y1 > ? ORDER BY boxes.number"""
        ends = (window.col_end, window.col_off, window.row_end, window.row_off)
        with closing(self._db.execute(query, ends)) as rows:
            for number, score, area, blob in rows:
                yield PlanarInput(number, score, area, polygonize([_corners(blob)])[0])

    def add_piece(self, number: int, piece: BaseGeometry) -> None:
        """Keep a part of the polygon that an object has in another layout."""
        self._db.execute("INSERT INTO pieces VALUES (?, ?)", (number, shapely.to_wkb(piece)))

    def pieces(self, number: int) -> list[BaseGeometry]:
        """Return the parts that :meth:`add_piece` took for an object, in the same order."""
        rows = self._db.execute("SELECT wkb FROM pieces WHERE number = ? ORDER BY rowid", (number,))
        return [shapely.from_wkb(blob) for (blob,) in rows]


def _row(item: SceneObject, tie: str) -> tuple[Any, ...]:
    x, y, _ = item.corners[0].tolist()  # corners are ordered by row, so this is the first pixel
    outline = item.corners.tobytes()
    return (
        *(x, y, corners.area(item.corners), tie),
        *(item.score, item.stability, item.n_tiles, item.touches_edge),
        *(item.truncated, item.prompt_index, item.class_id, item.class_score),
        *(hashlib.blake2b(outline, digest_size=16).digest(), outline),
    )


def _object(row: list[Any]) -> SceneObject:
    blob, score, stability, n_tiles, touches_edge, truncated, prompt_index, class_id, class_score = row
    flags = bool(touches_edge), bool(truncated)
    return SceneObject(_corners(blob), score, stability, n_tiles, *flags, prompt_index, class_id, _number(class_score))


def _number(value: float | None) -> float:
    return math.nan if value is None else value  # SQLite keeps NaN as NULL


def _corners(blob: bytes) -> corners.Corners:
    return np.frombuffer(blob, np.int32).reshape(-1, 3)
