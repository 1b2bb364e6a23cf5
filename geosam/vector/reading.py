"""Reading one layer of a vector file, with every precaution that a stranger's file needs.

GDAL opens far more than files: network services, drivers behind a prefix, and virtual layers that read any file of
the machine. Here a layer is an existing regular file that starts like a format which holds its own data.
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

FORMATS = "a GeoPackage, GeoJSON, shapefile, FlatGeobuf or KML"

#: What files start with. Virtual layers, services and pipelines, which lead to other files, are XML or JSON as well.
_STARTS = re.compile(rb"SQLite format 3\0|fgb|\0\0\x27\x0a|(\xef\xbb\xbf)?\s*([\x1e{\[]|(?=<)(?s:.*?)<(\w+:)?kml[\s>])")
_LEADS_ELSEWHERE = re.compile(rb"<OGR\w+DataSource|gdal_streamed_alg")
_HEAD_BYTES = 65536
#: Bytes of a shapefile that state its length, in units of two bytes.
_SHP_LENGTH = slice(24, 28)
#: Byte of a dBase file that names its code page, 0 when nothing does.
_CODE_PAGE_BYTE = 29


def read_vector(
    path: str | Path, *, layer: str | None = None, encoding: str | None = None
) -> tuple[VectorTable, list[str]]:
    """Read one layer of a vector file, and what there is to say about it.

    Args:
        path: GeoPackage, GeoJSON, shapefile, FlatGeobuf or KML; a regular file of any name.
        layer: Name of the layer; only needed where there are several.
        encoding: Encoding of the text, where the file does not say it.

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
            f"text is in another encoding: {path}: byte {error.object[error.start]:#04x} found, "
            f"{error.encoding} wanted. Pass the file's encoding with --encoding, for example latin-1."
        ) from error
    except Exception as error:  # damaged files make GDAL's readers raise IndexError and GEOSException among others
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise PromptError(
            f"the layer cannot be read: {path}: {reason or type(error).__name__}, {FORMATS} in one piece wanted. "
            "Repair the file or export it again."
        ) from error
    if full.lower().endswith(".shp") and encoding is None:
        _check_code_page(Path(full), table)
    notes = [f"{table.place}: {text}" for text in dict.fromkeys(str(warning.message) for warning in caught)]
    return table, [*notes, *left_out]


def _checked_path(path: Path) -> str:
    """The absolute path of a regular file that may be handed to GDAL."""
    full = os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps "..", and GDAL must not see a prefix
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise PromptError(f"the layer cannot be read: {path}: a directory, {FORMATS} wanted. Name the file in it.")
        if not stat.S_ISREG(found.st_mode):
            raise PromptError(f"the layer cannot be read: {path}: not a regular file, {FORMATS} wanted.")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise PromptError(f"the layer cannot be read: {path}: {reason}, {FORMATS} wanted. Check the path.") from error
    if not head:
        raise PromptError(f"the layer cannot be read: {path}: the file is empty, {FORMATS} wanted.")
    if _LEADS_ELSEWHERE.search(head) or not _STARTS.match(head):
        start = head[:24].decode("ascii", "replace").strip()
        raise PromptError(
            f"the layer cannot be read: {path}: the file starts with {start!r}, {FORMATS} wanted. "
            "Save the layer as a GeoPackage."
        )
    if "!" in full or full.startswith("/vsi"):
        raise PromptError(f'the layer cannot be read: {path}: "!" or "/vsi" in its path, neither wanted. Rename it.')
    if full.lower().endswith(".shp"):
        _check_siblings(path)
    return full


def _check_siblings(path: Path) -> None:
    """A shapefile is several files; GDAL reads one without attributes, or half a file, as if nothing were missing."""
    present = {p.suffix.lower() for p in path.parent.iterdir() if p.stem == path.stem and p.is_file()}
    missing = [suffix for suffix in (".shx", ".dbf") if suffix not in present]
    if missing:
        raise PromptError(
            f"the shapefile is incomplete: {path}: no {' and no '.join(missing)} beside it, both wanted. "
            "Copy all files of the shapefile, or export it again as a GeoPackage."
        )
    with path.open("rb") as file:
        stated = 2 * int.from_bytes(file.read(_SHP_LENGTH.stop)[_SHP_LENGTH], "big")
    if path.stat().st_size < stated:
        raise PromptError(
            f"the shapefile is cut off: {path}: {path.stat().st_size} bytes, {stated} wanted. Copy or export it again."
        )


def _check_encoding(encoding: str | None) -> None:
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise UsageError(f"--encoding: {encoding!r} is no encoding, utf-8 or latin-1 for example wanted.") from None


def _check_code_page(path: Path, table: VectorTable) -> None:
    """Refuse text of a shapefile whose encoding nothing states: GDAL would guess Latin-1."""
    beside = {p.suffix.lower(): p for p in path.parent.iterdir() if p.stem == path.stem}
    with beside[".dbf"].open("rb") as file:
        stated = ".cpg" in beside or file.read(_CODE_PAGE_BYTE + 1)[-1] != 0
    if stated:
        return
    for name, values in table.columns.items():
        for row, value in enumerate(values):
            if isinstance(value, str) and not value.isascii():
                raise PromptError(
                    f"the encoding of the text is unknown: {table.feature(row, name)}: {value!r} if it were Latin-1, "
                    f"a .cpg file wanted. Pass the encoding with --encoding, for example utf-8."
                )


def _choose_layer(path: str | Path, wanted: str | None, layers: NDArray[Any]) -> str:
    """The layer's name; `layers` are rows (name, geometry type or None)."""
    spatial = [str(name) for name, kind in layers if kind is not None]
    found = f"{', '.join(spatial) or 'no layer with geometries'} found"
    if wanted is None and len(spatial) == 1:
        return spatial[0]
    if wanted in spatial:
        return str(wanted)
    if wanted is not None:
        raise PromptError(f"no such layer: {path}, layer {wanted}: {found}. Pass one of them with --layer.")
    raise PromptError(f"which layer to read is not clear: {path}: {found}, one wanted. Pass its name with --layer.")


def _read(place: str, full: str, layer: str, encoding: str | None) -> tuple[VectorTable, list[str]]:
    meta, fids, wkb, data = read(full, layer=layer, encoding=encoding, force_2d=True, return_fids=True)
    stated = 0 if len(fids) else pyogrio.read_info(full, layer=layer)["features"]
    if stated > 0:  # a FlatGeobuf cut off in its index reads as empty
        raise PromptError(f"the layer is cut off: {place}: no features, {stated} wanted. Copy or export it again.")
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
    """Python values of a field, None for nulls; no list at all for lists and binary data.

    pyogrio returns whole numbers and booleans as floats as soon as one is null; `declared` is what they were.
    """
    values: list[Any] = column.astype(object).tolist()
    if column.dtype.kind == "O" and not all(value is None or isinstance(value, str) for value in values):
        return None
    if column.dtype.kind != "f":
        return values
    kind = {"i": int, "u": int, "b": bool}.get(declared[0], float)
    return [None if math.isnan(value) else kind(value) for value in values]
