"""GeoPackage: the layer alone, or beside what an existing file holds."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from geosam.errors import ExportError
from geosam.export.gdal import layer_facts, write_layer
from geosam.export.schema import PROVENANCE_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from pyproj import CRS

    from geosam.export.schema import Features

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def write(folder: Path, features: Features) -> list[Path]:
    """Write a GeoPackage with its one layer; the layers that an existing file holds besides are copied along.

    Returns:
        The file made.
    """
    path, existing = folder / "result.gpkg", features.target.path
    if existing.exists():
        _copy_others(existing, path, features.target.layer)
    write_layer(
        path,
        features,
        driver="GPKG",
        geometry_type="MultiPolygon",
        dataset_options={} if path.exists() else {"VERSION": "1.3"},
        layer_metadata={PROVENANCE_KEY: features.target.provenance_json},
    )
    return [path]


def facts(path: Path, layer: str) -> tuple[int, CRS | None]:
    """Number of features, counted one by one, and CRS of a layer."""
    quoted = layer.replace('"', '""')
    with contextlib.closing(sqlite3.connect(path)) as database:
        (count,) = database.execute(f'SELECT COUNT(*) FROM "{quoted}"').fetchone()  # noqa: S608 - quoted above
    return count, layer_facts(path, layer)[1]


def companions(path: Path) -> list[Path]:
    """Journals of a database that is about to be replaced; SQLite would apply them to the new one."""
    names = [path.with_name(path.name + ending) for ending in ("-journal", "-wal", "-shm")]
    return [name for name in names if name.exists()]


def _copy_others(existing: Path, copy: Path, layer: str) -> None:
    """Copy a GeoPackage that holds more than `layer`, with what its journals hold; nothing happens to others."""
    try:
        with contextlib.closing(sqlite3.connect(existing)) as old:
            if _settled(old) and _other_tables(old, existing, layer):
                with contextlib.closing(sqlite3.connect(copy)) as new:
                    old.backup(new)
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return  # there are no layers to keep
        if code in _BUSY:
            raise _in_use(existing) from error
        raise ExportError(
            f"the existing output cannot be read, so its other layers cannot be kept: {existing}: {error}, "
            "a GeoPackage wanted. Remove the file or choose another output"
        ) from error


def _settled(database: sqlite3.Connection) -> bool:
    """Move what the write-ahead log holds into the file; a later replacement loses nothing then."""
    (busy, *_) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error
    return True


def _other_tables(database: sqlite3.Connection, path: Path, layer: str) -> list[str]:
    known = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'gpkg_contents'").fetchone()
    tables = database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall() if known else []
    same = [kind for name, kind in tables if name.lower() == layer.lower()]
    if same and same != ["features"]:
        raise ExportError(
            f"a table of that name is no vector layer: {path}, layer {layer}: {same[0]}, features wanted. "
            "Choose another output"
        )
    return [name for name, _ in tables if name.lower() != layer.lower()]


def _in_use(path: Path) -> ExportError:
    return ExportError(
        f"the output is in use: {path}: another program is writing it, none wanted. "
        "Close it there or choose another output"
    )
