"""Shapefile: several files, short names, narrow types, and a limit of 2 GB."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import shapely

from geosam.errors import ExportError
from geosam.vector.gdal import FIXED_DATE, layer_facts, write_layer
from geosam.vector.schema import ARROW_TYPES, GEOMETRY, cut, geometries_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyproj import CRS

    from geosam.vector.schema import Features, Kind

#: Largest size of the .shp and of the .dbf: many programs cannot read offsets beyond it.
MAX_BYTES = 2**31 - 1

#: Most fields of a table.
MAX_FIELDS = 255

#: Most bytes of a text.
MAX_TEXT = 254

#: Most digits of an integer field that is read back as integers.
_MAX_DIGITS = 18

#: Key in the metadata of an Arrow field, from which GDAL takes the width of a column.
_WIDTH = "GDAL:OGR:width"
#: Extensions of the files of a shapefile, and of the indexes that other programs add.
_ENDINGS = frozenset(
    {".shp", ".shx", ".dbf", ".prj", ".cpg", ".qpj", ".qix", ".sbn", ".sbx", ".fbn", ".fbx", ".ain", ".aih"}
)


def write(folder: Path, features: Features) -> list[Path]:
    """Write a shapefile in UTF-8, with the provenance in `<name>.shp.json` beside it.

    Booleans become 0 and 1; date-times and integers of more than 18 digits become text; texts end after 254 bytes.

    Returns:
        The files, the .shp last.

    Raises:
        ExportError: the .shp or the .dbf would be larger than 2 GB.
    """
    measured = _Measured.of(features)
    fields = _fields(features, measured.widths)
    _check_size(features.target.path, measured, fields)
    _note_changes(features, measured.widths)
    path, schema = folder / "result.shp", pa.schema([pa.field(GEOMETRY, pa.binary()), *fields])
    write_layer(
        path,
        features,
        _narrowed(features, schema),
        schema,
        driver="ESRI Shapefile",
        geometry_type="Polygon",
        encoding="UTF-8",
        layer_options={"DBF_DATE_LAST_UPDATE": FIXED_DATE, "2GB_LIMIT": "YES"},
    )
    (folder / "result.shp.json").write_text(features.target.provenance_json + "\n", encoding="utf-8")
    return sorted(folder.glob("result.*"), key=lambda p: p == path)


def facts(path: Path, _layer: str) -> tuple[int, CRS | None]:
    """Read the number of features and the CRS; the number is 0 if the size of a file contradicts its header."""
    # GDAL reads a file that is cut off as if the rest had never been there.
    count, crs = layer_facts(path)
    # Headers: of the .dbf, rows (uint32) and bytes of header and row (uint16); of the .shp, its size in 16-bit words.
    with path.with_suffix(".dbf").open("rb") as table:
        rows, header, row = struct.unpack("<IHH", table.read(12)[4:])
    with path.open("rb") as shapes:
        (words,) = struct.unpack(">I", shapes.read(28)[24:])
    sizes = {".shp": 2 * words, ".shx": 100 + 8 * count, ".dbf": header + rows * row + 1}
    whole = rows == count and all(path.with_suffix(e).stat().st_size == size for e, size in sizes.items())
    return count if whole else 0, crs


def provenance(path: Path) -> dict[str, Any] | None:
    """Read the provenance from `<name>.shp.json` beside the shapefile."""
    path.stat()  # a missing shapefile is an error, not a shapefile without provenance
    sidecar = path.with_name(path.name + ".json")
    return dict(json.loads(sidecar.read_text(encoding="utf-8"))) if sidecar.exists() else None


def companions(path: Path) -> list[Path]:
    """List the files of the shapefile at `path`, itself first, with the indexes of other programs."""
    sidecars = {f"{path.name}.json", f"{path.name}.xml"}
    files = [
        p for p in path.parent.iterdir() if p.name in sidecars or (p.stem == path.stem and p.suffix.lower() in _ENDINGS)
    ]
    return sorted(files, key=lambda p: (p != path, p.name))


@dataclass
class _Measured:
    """Sizes of all features, measured before the first is written."""

    widths: list[int]
    """Bytes of the longest value of each column, as text."""
    rows: int = 0
    """Number of features."""
    shape_bytes: int = 100
    """Size of the .shp in bytes; 100 are the header."""

    @classmethod
    def of(cls, features: Features) -> _Measured:
        """Measure the features."""
        measured = cls([1] * len(features.names))
        for batch in features.batches:
            measured.rows += batch.num_rows
            measured.shape_bytes += _shape_bytes(batch)
            texts = [pc.cast(array, pa.string()) for array in batch.columns[1:]]
            longest = [pc.max(pc.binary_length(text)).as_py() or 1 for text in texts]
            measured.widths = [max(pair) for pair in zip(measured.widths, longest, strict=True)]
        return measured


def _fields(features: Features, widths: list[int]) -> list[pa.Field]:
    """Return the field of each column, with a width where GDAL would guess one."""
    return [
        _field(name, column.kind, width)
        for name, column, width in zip(features.names, features.target.columns, widths, strict=True)
    ]


def _field(name: str, kind: Kind, width: int) -> pa.Field:
    if kind == "bool":
        return pa.field(name, pa.int32(), metadata={_WIDTH: "1"})
    if kind == "int" and width <= _MAX_DIGITS:
        return pa.field(name, pa.int64(), metadata={_WIDTH: str(_MAX_DIGITS)})
    if kind in ("int", "text", "datetime"):
        return pa.field(name, pa.string(), metadata={_WIDTH: str(min(width, MAX_TEXT))})
    return pa.field(name, ARROW_TYPES[kind])


def _narrowed(features: Features, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the batches with the types of `schema`, and with long texts cut."""
    for batch in features.batches:
        arrays = [_as_type(array, field.type) for array, field in zip(batch.columns, schema, strict=True)]
        for i, array in enumerate(arrays[1:], start=1):
            if pa.types.is_string(array.type) and (pc.max(pc.binary_length(array)).as_py() or 0) > MAX_TEXT:
                arrays[i] = pa.array([v and cut(v, MAX_TEXT) for v in array.to_pylist()], type=pa.string())
        yield pa.record_batch(arrays, schema=schema)


def _as_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        return pc.strftime(array, format="%Y-%m-%dT%H:%M:%SZ")
    return array.cast(kind)


def _shape_bytes(batch: pa.RecordBatch) -> int:
    """Compute the size of a batch in the .shp: 52 bytes per record, 4 per ring, 16 per vertex.

    Source: ESRI Shapefile Technical Description (1998), record of type 5, "Polygon".
    """
    geometries = geometries_of(batch)
    parts = shapely.get_parts(geometries)
    rings = len(parts) + int(shapely.get_num_interior_rings(parts).sum())
    return 52 * len(geometries) + 4 * rings + 16 * int(shapely.get_num_coordinates(geometries).sum())


def _check_size(path: Path, measured: _Measured, fields: list[pa.Field]) -> None:
    # dBase: 1 byte marks a deleted row; 32 bytes of header, 32 for each field, and 1 for the end of the header.
    row = 1 + sum(int((field.metadata or {}).get(_WIDTH.encode(), 24)) for field in fields)
    table_bytes = 33 + 32 * len(fields) + measured.rows * row
    for ending, size in ((".shp", measured.shape_bytes), (".dbf", table_bytes)):
        if size > MAX_BYTES:
            raise ExportError(
                f"the result is too large for a shapefile: {path}: found {size / 1e9:.2f} GB for its {ending}, "
                f"expected at most {MAX_BYTES / 1e9:.2f} GB.",
                remedy="Write GeoPackage (.gpkg) instead.",
                code="shapefile-too-large",
                bytes=size,
            )


def _note_changes(features: Features, widths: list[int]) -> None:
    """Warn about values that the format changes."""
    for column, width in zip(features.target.columns, widths, strict=True):
        if column.kind == "text" and width > MAX_TEXT:
            features.warnings.append(
                f'attribute "{column.name}": texts cut after {MAX_TEXT} bytes, the limit of shapefiles'
            )
        if column.kind == "int" and width > _MAX_DIGITS:
            features.warnings.append(f'attribute "{column.name}": integers too long for a shapefile written as text')
