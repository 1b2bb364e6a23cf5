"""Schema of an output: its columns, and their names and types in each format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from geosam.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pyproj import CRS

    from geosam._arrays import Geometries

Kind = Literal["int", "float", "text", "bool", "date", "datetime"]

#: Name of the geometry column on the way to the format that writes the features.
GEOMETRY = "geometry"

#: Key of the provenance in the metadata of layers and files.
PROVENANCE_KEY = "geosam"

#: The Arrow type of each kind. Date-times are UTC; those without a zone are taken as UTC.
ARROW_TYPES: dict[Kind, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("ms", tz="UTC"),
}

#: Names that some format keeps for itself, whatever their case.
RESERVED = frozenset({"fid", "ogc_fid", "geom", GEOMETRY})

#: Most bytes of a field name in a shapefile.
SHORT_NAME = 10


@dataclass(frozen=True)
class Column:
    """One attribute of every feature."""

    name: str
    """Name; a format that cannot hold it gets another one, with a warning."""
    kind: Kind
    """Kind of its values."""
    short: str = ""
    """Name in a shapefile (at most 10 bytes); the first bytes of `name` if empty."""


@dataclass(frozen=True)
class Target:
    """Description of an output: where, with which columns, and made from what."""

    path: Path
    """Path of the output; its extension names the format."""
    crs: CRS
    """CRS of the geometries that the writer gets."""
    columns: tuple[Column, ...]
    """The attributes, in order."""
    layer: str
    """Name of the layer, in formats whose layers have one."""
    provenance: Mapping[str, Any]
    """Scene, model and options that the features were made from, as plain data for JSON."""
    pixel_size: float
    """Side of a scene pixel in CRS units, which decides the number of decimals in formats of text."""

    @property
    def provenance_json(self) -> str:
        """Provenance as JSON text on one line."""
        return json.dumps(self.provenance, ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Features:
    """Features on their way to a format."""

    target: Target
    """Description of the output; its path is the final one, without symbolic links."""
    names: tuple[str, ...]
    """Name of each column in this format."""
    batches: Iterable[pa.RecordBatch]
    """Column `geometry` (WKB, exterior rings counter-clockwise), then the columns by position; can be read again."""
    warnings: list[str]
    """List to which a format adds a warning for each change that it makes."""

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of :meth:`renamed`."""
        return arrow_schema(self.target.columns, self.names)

    def renamed(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches with the column names of this format."""
        for batch in self.batches:
            yield batch.rename_columns([GEOMETRY, *self.names])


def arrow_schema(columns: Sequence[Column], names: Iterable[str] | None = None) -> pa.Schema:
    """Make an Arrow schema: the geometry, then the columns, named by `names` or by position."""
    names = [str(i) for i in range(len(columns))] if names is None else names
    fields = [pa.field(name, ARROW_TYPES[column.kind]) for name, column in zip(names, columns, strict=True)]
    return pa.schema([pa.field(GEOMETRY, pa.binary()), *fields])


def geometries_of(batch: pa.RecordBatch) -> Geometries:
    """Read the geometries (N,) of a batch as shapely objects."""
    geometries: Geometries = shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False))
    return geometries


def plan_names(columns: Sequence[Column], *, short: bool) -> tuple[tuple[str, ...], list[str]]:
    """Choose names that no format refuses: not reserved, and different without regard to case.

    Args:
        columns: the columns, in order; earlier ones keep their names.
        short: True to limit names to 10 bytes (shapefile).

    Returns:
        A name for each column, and warnings that list the renamed columns.
    """
    taken: set[str] = set()
    names: list[str] = []
    for column in columns:
        best = cut(column.short or column.name, SHORT_NAME) if short else column.name
        name = _free_name(best, taken, SHORT_NAME if short else None)
        taken.add(name.casefold())
        names.append(name)
    changes = [f"{c.name} -> {n}" for c, n in zip(columns, names, strict=True) if c.name != n]
    return tuple(names), [f"columns renamed for this format: {', '.join(changes)}"] if changes else []


def column_to_arrow(column: Column, values: Sequence[Any], path: Path, first: int) -> tuple[pa.Array, int]:
    """Turn the values of one column of a batch into an Arrow array; NaN and infinite numbers become nulls.

    Args:
        column: the column.
        values: (N,) values; None is a null.
        path: the output, for the message of an error.
        first: number of the batch's first feature, for the message of an error.

    Returns:
        The array, and the number of values that became null.

    Raises:
        ExportError: a value does not fit the column's kind.
    """
    try:
        return _convert(column.kind, values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        row = next((i for i, value in enumerate(values) if not _fits(column.kind, value)), 0)
        raise ExportError(
            f'a value does not fit its column: {path}, feature {first + row} field "{column.name}": '
            f"found {values[row]!r}, expected a value of kind {column.kind}.",
            remedy="Correct the attribute or drop the column.",
            code="value-does-not-fit",
            column=column.name,
        ) from None


def _convert(kind: Kind, values: Sequence[Any]) -> tuple[pa.Array, int]:
    if kind == "float":
        array = pa.array(values, type=pa.float64())
        finite = pc.is_finite(array)
        return pc.if_else(finite, array, None), int(pc.sum(pc.invert(finite)).as_py() or 0)
    if kind == "text":
        return pa.array([None if _is_nan(v) else str(v) for v in values], type=pa.string()), 0
    inferred = pa.array(values, from_pandas=True)
    if kind == "datetime" and pa.types.is_timestamp(inferred.type) and inferred.type.tz is None:
        inferred = inferred.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    lossy = kind == "datetime"  # columns keep milliseconds; smaller fractions are dropped
    return inferred.cast(ARROW_TYPES[kind], safe=not lossy), 0


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _fits(kind: Kind, value: Any) -> bool:
    try:
        _convert(kind, [value])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return True


def _free_name(best: str, taken: Collection[str], limit: int | None) -> str:
    name, number = best, 0
    while name.casefold() in taken or name.casefold() in RESERVED:
        number += 1
        suffix = f"_{number}"
        name = (cut(best, limit - len(suffix)) if limit else best) + suffix
    return name


def cut(text: str, size: int) -> str:
    """Return the first characters of `text` that fit into `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")
