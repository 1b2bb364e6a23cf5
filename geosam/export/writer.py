"""FeatureWriter: batches of features in, one complete file out, or nothing."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import shapely

from geosam.errors import ExportError
from geosam.export.checks import check_output
from geosam.export.formats import FORMATS, format_of
from geosam.export.schema import Features, Target, arrow_schema, column_to_arrow, plan_names
from geosam.export.staging import Staging, failures_reported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


class FeatureWriter:
    """Takes features in batches and, when its block ends well, puts the finished file under its final name.

    Features wait in a compressed spool beside the output, so that memory does not grow with their number and every
    format gets to know their number, extent and sizes before its first byte. If the block raises, or anything
    fails later, what lay under the final name stays as it was.
    """

    def __init__(self, target: Target, *, overwrite: bool) -> None:
        self._format = format_of(target.path)
        check_output(target.path, target.crs, target.columns, overwrite=overwrite)
        names, self.warnings = plan_names(target.columns, short=False)
        self._overwrite = overwrite
        self._staging = Staging(target.path)
        self._target = replace(target, path=self._staging.final)
        self._names = names
        self._schema = arrow_schema(target.columns)
        self._count = self._vertices = 0
        self._types: set[int] = set()
        self._bounds: list[NDArray[np.float64]] = []
        self._nulls: Counter[str] = Counter()

    @classmethod
    def open(cls, target: Target, *, overwrite: bool = False) -> Self:
        """A writer for `target`, after every check that needs no features.

        Raises:
            UnknownFormat, ExportError, OutputExists, LockHeld, UsageError: As `check_output`.
        """
        return cls(target, overwrite=overwrite)

    def __enter__(self) -> Self:
        with failures_reported(self._target.path):
            self._staging.__enter__()
            self._spool_path = self._staging.folder / "features.arrow"
            self._file = self._spool_path.open("wb")
            self._spool = pa.ipc.new_stream(
                self._file, self._schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            with failures_reported(self._target.path):
                self._file.close() if kind else self._end_spool()
            if kind is None:
                self._finish()
        finally:
            self._file.close()
            self._staging.__exit__(kind, *rest)

    def write(self, geometries: NDArray[np.object_], columns: Mapping[str, Sequence[Any]]) -> None:
        """Add a batch of features.

        Args:
            geometries: (N,) Polygons and MultiPolygons in the target's CRS.
            columns: The N values of every column of the target, by its name.

        Raises:
            ExportError: A geometry or a value cannot be written.
            DiskFull: No space is left for the spool.
        """
        geometries = np.asarray(geometries, dtype=object)
        _check_polygons(geometries, self._target.path, self._count)
        arrays = [pa.array(shapely.to_wkb(shapely.orient_polygons(geometries)), type=pa.binary())]
        for column in self._target.columns:
            array, nulls = column_to_arrow(column, columns[column.name], self._target.path, self._count)
            self._nulls[column.name] += nulls
            arrays.append(array)
        with failures_reported(self._target.path):
            self._spool.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._count += len(geometries)
        self._vertices += int(shapely.get_num_coordinates(geometries).sum())
        self._types.update(shapely.get_type_id(geometries).tolist())
        if len(geometries):
            self._bounds = [_union(*self._bounds, shapely.total_bounds(geometries))]

    def _end_spool(self) -> None:
        self._spool.close()
        self._file.close()

    def _finish(self) -> None:
        path = self._target.path
        self.warnings += [
            f'attribute "{name}": {count} values that are not finite numbers were written as null'
            for name, count in self._nulls.items()
            if count
        ]
        features = self._features()
        with failures_reported(path, needed=_size_of(features)):
            made = self._format.write(self._staging.folder, features)
            self._verify(made[-1])
            check_output(path, self._target.crs, self._target.columns, overwrite=self._overwrite)
            self._staging.publish(made)

    def _features(self) -> Features:
        bounds = tuple(self._bounds[0].tolist()) if self._bounds else None
        types = tuple(sorted("Polygon" if t == _POLYGONAL[0] else "MultiPolygon" for t in self._types))
        return Features(self._target, self._names, self._count, bounds, types, self._vertices, self._read_spool())

    def _read_spool(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(os.fspath(self._spool_path)) as file:
            yield from pa.ipc.open_stream(file)

    def _verify(self, made: Path) -> None:
        count, crs = self._format.facts(made, self._target.layer)
        if count != self._count:
            raise ExportError(
                f"the finished file is not complete: {self._target.path}: {count} features, {self._count} wanted. "
                "Nothing was replaced; check the disk and run again"
            )
        wanted = self._target.crs
        if not crs.equals(wanted, ignore_axis_order=True):
            raise ExportError(
                f"{self._format.name} cannot hold this CRS: {self._target.path}: it reads back as {crs.name!r}, "
                f"{wanted.name!r} wanted. Choose GeoPackage or GeoParquet, or warp the scene"
            )


def read_provenance(path: Path) -> dict[str, Any] | None:
    """What a file written by geosam says about its making; None if it says nothing.

    Raises:
        UnknownFormat: The extension names no format that geosam writes.
    """
    return format_of(path).provenance(path)


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


def _union(*boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    stacked = np.stack(boxes)
    return np.concatenate([stacked[:, :2].min(axis=0), stacked[:, 2:].max(axis=0)])


def _size_of(features: Features) -> int:
    """About the bytes of the features: coordinates, and numbers and short texts in the columns."""
    return 16 * features.vertices + features.count * (50 + 10 * len(features.names))
