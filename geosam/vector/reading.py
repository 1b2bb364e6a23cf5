"""Reading of one layer of a vector file that is not trusted.

GDAL opens more than files: network services, drivers behind a prefix, and virtual layers that read any file of the
machine. Here a layer is in an existing regular file, and its first bytes are those of a format that holds its own data.
"""

from __future__ import annotations

import codecs
import math
import os
import re
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyogrio
import shapely
from pyogrio.raw import read
from pyproj import CRS

from geosam.errors import PromptError, UsageError
from geosam.vector.table import VectorTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Formats that are read, for messages.
FORMATS = "a GeoPackage, GeoJSON, shapefile, FlatGeobuf or KML"

#: First bytes of the formats, in this order: GeoPackage, FlatGeobuf, shapefile, GeoJSON, KML.
_STARTS = re.compile(rb"SQLite format 3\0|fgb|\0\0\x27\x0a|(\xef\xbb\xbf)?\s*([\x1e{\[]|(?=<)(?s:.*?)<(\w+:)?kml[\s>])")
#: Marks of virtual layers, services and pipelines: they are XML or JSON, too, but lead to other files.
_LEADS_ELSEWHERE = re.compile(rb"<OGR\w+DataSource|gdal_streamed_alg")
#: Bytes of a file that are searched for both.
_HEAD_BYTES = 65536
#: Place of the length of a shapefile in its header, in units of two bytes.
_SHP_LENGTH = slice(24, 28)
#: Place of the code page in the header of a dBase file; 0 there names none.
_CODE_PAGE_BYTE = 29


def read_vector(
    path: str | Path, *, layer: str | None = None, encoding: str | None = None
) -> tuple[VectorTable, list[str]]:
    """Read one layer of a vector file.

    Args:
        path: GeoPackage, GeoJSON, shapefile, FlatGeobuf or KML; a regular file of any name.
        layer: name of the layer; only needed if there are several.
        encoding: encoding of the text, if the file does not state it.

    Returns:
        The features, and warnings.

    Raises:
        PromptError: the file is missing, damaged, of another kind, incomplete, or in another encoding.
        UsageError: `encoding` is no encoding.
    """
    full = _checked_path(Path(path))
    _check_encoding(encoding)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            name = _choose_layer(path, layer, pyogrio.list_layers(full))
            table, left_out = _read(f"{path}, layer {name}", full, name, encoding)
    except PromptError:
        raise
    except UnicodeDecodeError as error:
        raise PromptError(
            f"text is in another encoding: {path}: found byte {error.object[error.start]:#04x}, "
            f"expected {error.encoding}.",
            remedy="Give the file's encoding, for example `encoding='latin-1'`.",
            code="text-encoding-wrong",
            encoding=error.encoding,
        ) from error
    except Exception as error:  # damaged files make GDAL's readers raise IndexError and GEOSException among others
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise PromptError(
            f"the layer cannot be read: {path}: found {reason or type(error).__name__}, expected {FORMATS} in one "
            "piece.",
            remedy="Repair the file or export it again.",
            code="layer-damaged",
        ) from error
    if full.lower().endswith(".shp") and encoding is None:
        _check_code_page(Path(full), table)
    notes = [f"{table.place}: {text}" for text in dict.fromkeys(str(warning.message) for warning in caught)]
    return table, [*notes, *left_out]


def _checked_path(path: Path) -> str:
    """Return the absolute path of a regular file that GDAL may open."""
    full = os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps "..", and GDAL must not see a prefix
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(path, "a directory", remedy="Name the file in it.")
        if not stat.S_ISREG(mode):  # reading a pipe would wait for ever
            raise _unreadable(path, "not a regular file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise _unreadable(path, reason, remedy="Check the path.") from error
    if not head:
        raise _unreadable(path, "an empty file")
    if _LEADS_ELSEWHERE.search(head) or not _STARTS.match(head):
        start = head[:24].decode("ascii", "replace").strip()
        raise _unreadable(path, f"a file that starts with {start!r}", remedy="Save the layer as a GeoPackage.")
    if "!" in full or full.startswith("/vsi"):
        raise PromptError(
            f'the layer cannot be read: {path}: found "!" or "/vsi" in its path, expected neither.',
            remedy="Rename it.",
            code="layer-path-with-prefix",
        )
    if full.lower().endswith(".shp"):
        _check_siblings(path)
    return full


def _unreadable(path: Path, reason: str, remedy: str = "") -> PromptError:
    return PromptError(
        f"the layer cannot be read: {path}: found {reason}, expected {FORMATS}.",
        remedy=remedy,
        code="layer-unreadable",
        path=str(path),
    )


def _check_siblings(path: Path) -> None:
    """Refuse a shapefile that is incomplete or cut off, because GDAL would read the rest without a warning."""
    present = {p.suffix.lower() for p in path.parent.iterdir() if p.stem == path.stem and p.is_file()}
    missing = [suffix for suffix in (".shx", ".dbf") if suffix not in present]
    if missing:
        raise PromptError(
            f"the shapefile is incomplete: {path}: found no {' and no '.join(missing)} beside it, expected both.",
            remedy="Copy all files of the shapefile, or export it again as a GeoPackage.",
            code="shapefile-incomplete",
        )
    with path.open("rb") as file:
        stated = 2 * int.from_bytes(file.read(_SHP_LENGTH.stop)[_SHP_LENGTH], "big")
    if path.stat().st_size < stated:
        raise PromptError(
            f"the shapefile is cut off: {path}: found {path.stat().st_size} bytes, expected {stated}.",
            remedy="Copy or export it again.",
            code="layer-cut-off",
        )


def _check_encoding(encoding: str | None) -> None:
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise UsageError(
            f"the encoding is unknown: `encoding`: found {encoding!r}, expected a name such as utf-8 or latin-1.",
            code="unknown-encoding",
            encoding=encoding,
        ) from None


def _check_code_page(path: Path, table: VectorTable) -> None:
    """Refuse text beyond ASCII in a shapefile that states no encoding, because GDAL would take it for Latin-1."""
    beside = {p.suffix.lower(): p for p in path.parent.iterdir() if p.stem == path.stem}
    with beside[".dbf"].open("rb") as file:
        stated = ".cpg" in beside or file.read(_CODE_PAGE_BYTE + 1)[-1] != 0
    if stated:
        return
    for name, values in table.columns.items():
        for row, value in enumerate(values):
            if isinstance(value, str) and not value.isascii():
                raise PromptError(
                    f"the encoding of the text is unknown: {table.feature(row, name)}: found {value!r} when read as "
                    "Latin-1, expected a .cpg file that states the encoding.",
                    remedy="Give the encoding, for example `encoding='utf-8'`.",
                    code="text-encoding-unknown",
                )


def _choose_layer(path: str | Path, layer: str | None, layers: NDArray[Any]) -> str:
    """Return the name of the layer to read; `layers` are rows (name, geometry type or None)."""
    spatial = [str(name) for name, kind in layers if kind is not None]
    names = ", ".join(spatial) or "no layer with geometries"
    if layer is None and len(spatial) == 1:
        return spatial[0]
    if layer is not None and layer in spatial:
        return layer
    if layer is not None:
        raise PromptError(
            f"no such layer: {path}, layer {layer}: found {names}.",
            remedy="Name one of them with `layer`.",
            code="no-such-layer",
            layer=layer,
            layers=spatial,
        )
    raise PromptError(
        f"the layer to read is not clear: {path}: found {names}, expected one layer.",
        remedy="Give its name with `layer`.",
        code="layer-not-clear",
        layers=spatial,
    )


def _read(place: str, full: str, layer: str, encoding: str | None) -> tuple[VectorTable, list[str]]:
    meta, fids, wkb, data = read(full, layer=layer, encoding=encoding, force_2d=True, return_fids=True)
    stated = 0 if len(fids) else pyogrio.read_info(full, layer=layer)["features"]
    if stated > 0:  # a FlatGeobuf cut off in its index reads as empty
        raise PromptError(
            f"the layer is cut off: {place}: found no features, expected {stated}.",
            remedy="Copy or export it again.",
            code="layer-cut-off",
        )
    geometries = shapely.from_wkb(wkb)
    columns = {}
    left_out = []
    for name, declared, values in zip(meta["fields"], meta["dtypes"], data, strict=True):
        column = _values(values, str(declared))
        if column is None:
            left_out.append(f'{place}, field "{name}": neither numbers, text nor dates, left out')
        else:
            columns[str(name)] = column
    crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else None
    return VectorTable(place, crs, np.asarray(fids, np.int64), geometries, columns), left_out


def _values(column: NDArray[Any], declared: str) -> list[Any] | None:
    """Return the values of a field as Python values.

    Args:
        column: (N,) values as pyogrio returns them: whole numbers and booleans become floats if one of them is null.
        declared: numpy's name of the field's type in the file, by which they become whole numbers and booleans again.

    Returns:
        N values, None for nulls; or None, if they are lists or binary data.
    """
    values: list[Any] = column.astype(object).tolist()
    if column.dtype.kind == "O" and not all(value is None or isinstance(value, str) for value in values):
        return None
    if column.dtype.kind != "f":
        return values
    kind = {"i": int, "u": int, "b": bool}.get(declared[0], float)
    return [None if math.isnan(value) else kind(value) for value in values]
