"""GeoPackage: a file with one layer, or one layer of an existing file."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from geosam.errors import ExportError
from geosam.vector.gdal import layer_facts, write_layer
from geosam.vector.schema import PROVENANCE_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from pyproj import CRS

    from geosam.vector.schema import Features

#: Seconds to wait for another program that is writing the file.
PATIENCE_S = 5.0
#: Errors of SQLite that mean another program is using the file.
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def write(folder: Path, features: Features) -> list[Path]:
    """Write a GeoPackage with one layer; the other layers of an existing file are copied first.

    Returns:
        The file.
    """
    path, existing = folder / "result.gpkg", features.target.path
    if other_tables(existing, features.target.layer):
        _copy(existing, path)
    write_layer(
        path,
        features,
        driver="GPKG",
        geometry_type="MultiPolygon",
        dataset_options={} if path.exists() else {"VERSION": "1.3"},
        layer_options={"OVERWRITE": "YES"},
        layer_metadata={PROVENANCE_KEY: features.target.provenance_json},
    )
    return [path]


def facts(path: Path, layer: str) -> tuple[int, CRS | None]:
    """Count the features of a layer one by one and read its CRS."""
    quoted = layer.replace('"', '""')
    with contextlib.closing(sqlite3.connect(path)) as database:
        (count,) = database.execute(f'SELECT COUNT(*) FROM "{quoted}"').fetchone()  # noqa: S608 - quoted above
    return count, layer_facts(path, layer)[1]


def companions(path: Path) -> list[Path]:
    """List the journals of a database that will be replaced, because SQLite would apply them to the new one."""
    names = [path.with_name(path.name + ending) for ending in ("-journal", "-wal", "-shm")]
    return [name for name in names if name.exists()]


def other_tables(path: Path, layer: str) -> list[str]:
    """List the tables of an existing GeoPackage that must stay when `layer` is replaced.

    The content of its write-ahead log is moved into the file, so that nothing is lost when the file is replaced later.

    Raises:
        ExportError: the file is damaged, another program is writing it, or a table named `layer` is no vector layer.
    """
    if not path.exists():
        return []
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE_S)) as database:
            (busy, *_) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise _in_use(path)
            listed = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'gpkg_contents'").fetchone()
            tables = database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall() if listed else []
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the error, the others its variant
        if code == sqlite3.SQLITE_NOTADB:  # some other file: it has no layers to keep
            return []
        if code in _BUSY:
            raise _in_use(path) from error
        raise ExportError(
            f"the existing output cannot be read, so its other layers cannot be kept: {path}: found {error}, "
            "expected a GeoPackage.",
            remedy="Remove the file or choose another output.",
            code="existing-output-damaged",
        ) from error
    for name, kind in tables:
        if name.lower() == layer.lower() and kind != "features":
            raise ExportError(
                f"a table of that name is no vector layer: {path}, layer {layer}: found {kind}, expected features.",
                remedy="Choose another output.",
                code="existing-table-no-layer",
                table=layer,
            )
    return [name for name, _ in tables if name.lower() != layer.lower()]


def _copy(source: Path, copy: Path) -> None:
    """Copy a database that other programs may have open; a copy of the file alone could be half of a change."""
    with (
        contextlib.closing(sqlite3.connect(source, timeout=PATIENCE_S)) as old,
        contextlib.closing(sqlite3.connect(copy)) as new,
    ):
        old.backup(new)


def _in_use(path: Path) -> ExportError:
    return ExportError(
        f"the output is in use: {path}: found another program that is writing it, expected none.",
        remedy="Close it there or choose another output.",
        code="output-in-use",
    )
