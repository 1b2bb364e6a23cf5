"""FeatureWriter: batches of features in, one complete file out, or nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import shapely

from geosam.errors import ExportError
from geosam.vector.buffer import Spool
from geosam.vector.checks import check_existing, check_facts, check_output
from geosam.vector.formats import format_of
from geosam.vector.schema import Features, arrow_schema, column_to_arrow, plan_names
from geosam.vector.staging import Staging, failures_reported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from geosam.vector.schema import Target

_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


class FeatureWriter:
    """Takes features in batches and, when its block ends well, puts the finished file under its final name.

    Features wait in a compressed spool beside the output: memory does not grow with their number, and a format can
    look at all of them before its first byte. If the block raises, or anything fails later, what lay under the
    final name stays as it was.
    """

    def __init__(self, target: Target, *, overwrite: bool = False) -> None:
        check_output(target.path, target.crs, target.columns, overwrite=overwrite)
        self._format = format_of(target.path)
        self._names, self.warnings = plan_names(target.columns, short=self._format.short_names)
        self._staging = Staging(target.path)
        self._target = replace(target, path=self._staging.final)
        self._schema = arrow_schema(target.columns)
        self._overwrite = overwrite
        self._count = self._bytes = 0
        self._nulls: Counter[str] = Counter()

    @classmethod
    def open(cls, target: Target, *, overwrite: bool = False) -> Self:
        """A writer for `target`; nothing is made before its block begins.

        Raises:
            GeosamError: Everything that `check_output` refuses.
        """
        return cls(target, overwrite=overwrite)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack, failures_reported(self._target.path):
            stack.enter_context(self._staging)
            self._spool = stack.enter_context(Spool(self._staging.folder / "features.arrow", self._schema))
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._cleanup:
            if kind is None:
                self._finish()

    def write(self, geometries: NDArray[np.object_], columns: Mapping[str, Sequence[Any]]) -> None:
        """Add a batch of features.

        Args:
            geometries: (N,) Polygons and MultiPolygons in the target's CRS.
            columns: The N values of every column of the target, by its name.

        Raises:
            ExportError: A geometry or a value cannot be written.
            DiskFull: No space is left for the features.
        """
        path, first = self._target.path, self._count
        geometries = np.asarray(geometries, dtype=object)
        _check_polygons(geometries, path, first)
        arrays = [pa.array(shapely.to_wkb(shapely.orient_polygons(geometries)), type=pa.binary())]
        for column in self._target.columns:
            array, nulls = column_to_arrow(column, columns[column.name], path, first)
            self._nulls[column.name] += nulls
            arrays.append(array)
        batch = pa.record_batch(arrays, schema=self._schema)
        self._count += batch.num_rows
        self._bytes += batch.nbytes
        with failures_reported(path, needed=self._bytes):
            self._spool.append(batch)

    def _finish(self) -> None:
        target = self._target
        self.warnings += [
            f'attribute "{name}": {count} values that are not finite numbers were written as null'
            for name, count in self._nulls.items()
            if count
        ]
        with failures_reported(target.path, needed=self._bytes):
            self._spool.end()
            features = Features(target, self._names, self._spool, self.warnings)
            made = self._format.write(self._staging.folder, features)
            check_facts(self._format, target, made[-1], self._count)
            check_existing(target.path, overwrite=self._overwrite)
            self._staging.publish(made, self._format.companions(target.path))


def read_provenance(path: Path) -> dict[str, Any] | None:
    """What a file written by geosam says about its making; None if it says nothing.

    Raises:
        UnknownFormat: The extension names no format that geosam writes.
        ExportError: The file cannot be read.
    """
    try:
        return format_of(path).provenance(path)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().rstrip(".").replace("\n", "; ")
        raise ExportError(
            f"the provenance cannot be read: {path}: {reason}, a file that geosam has written wanted. Check the path"
        ) from error


def _check_polygons(geometries: NDArray[np.object_], path: Path, first: int) -> None:
    """Refuse what is no polygon or has no place."""
    polygonal = np.isin(shapely.get_type_id(geometries), _POLYGONAL) & ~shapely.is_empty(geometries)
    if not polygonal.all():
        row = int(np.flatnonzero(~polygonal)[0])
        found = "no geometry" if geometries[row] is None else f"{geometries[row].wkt[:60]}"
        raise ExportError(f"a feature is no polygon: {path}, feature {first + row}: {found}, a polygon wanted. Drop it")
    coordinates, rows = shapely.get_coordinates(geometries, return_index=True)
    finite = np.isfinite(coordinates).all(axis=1)
    if not finite.all():
        row = int(rows[~finite][0])
        raise ExportError(
            f"a feature has no place: {path}, feature {first + row}: coordinates {coordinates[~finite][0].tolist()}, "
            "finite ones wanted. Check the CRS of the scene"
        )
