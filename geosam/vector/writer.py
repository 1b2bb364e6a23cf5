"""Writer that takes batches of features and makes one complete file, or none."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import shapely

from geosam.errors import ExportError
from geosam.geometry.polygons import POLYGONAL
from geosam.vector.buffer import FeatureBuffer
from geosam.vector.checks import check_existing, check_facts, check_output
from geosam.vector.formats import format_of
from geosam.vector.schema import Features, arrow_schema, column_to_arrow, plan_names
from geosam.vector.staging import Staging, failures_reported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from geosam._arrays import Geometries
    from geosam.vector.schema import Target


class FeatureWriter:
    """Context manager that takes features in batches and, when its block succeeds, makes the file.

    Features wait in a compressed buffer beside the output. So memory does not grow with their number, and a format can
    read all of them before it writes the first byte. If anything fails, an existing file stays as it was.
    """

    def __init__(self, target: Target, *, overwrite: bool = False) -> None:
        """Check the output; no file is made before the block begins.

        Args:
            target: description of the output.
            overwrite: True to replace an existing output.

        Raises:
            GeosamError: the output is one that `check_output` refuses.
        """
        check_output(target.path, target.crs, target.columns, overwrite=overwrite)
        self._format = format_of(target.path)
        self._names, self.warnings = plan_names(target.columns, short=self._format.short_names)
        self._staging = Staging(target.path)
        self._target = replace(target, path=self._staging.final)
        self._schema = arrow_schema(target.columns)
        self._overwrite = overwrite
        self._count = self._bytes = 0
        self._nulls: Counter[str] = Counter()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack, failures_reported(self._target.path):
            stack.enter_context(self._staging)
            # If the buffer cannot be made, the stack removes the staging folder.
            self._buffer = stack.enter_context(FeatureBuffer(self._staging.folder / "features.arrow", self._schema))
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._cleanup:
            if kind is None:
                self._finish()

    def write(self, geometries: Geometries, columns: Mapping[str, Sequence[Any]]) -> None:
        """Add a batch of features.

        Args:
            geometries: (N,) Polygons and MultiPolygons in the target's CRS.
            columns: N values of every column of the target, by the column's name.

        Raises:
            ExportError: a geometry or a value cannot be written.
            DiskFull: no space is left for the features.
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
            self._buffer.append(batch)

    def _finish(self) -> None:
        target = self._target
        self.warnings += [
            f'attribute "{name}": {count} values that are not finite numbers were written as null'
            for name, count in self._nulls.items()
            if count
        ]
        with failures_reported(target.path, needed=self._bytes):
            self._buffer.end()
            features = Features(target, self._names, self._buffer, self.warnings)
            staged = self._format.write(self._staging.folder, features)
            check_facts(self._format, target, staged[-1], self._count)
            check_existing(target.path, overwrite=self._overwrite)  # again, because a run may take hours
            self._staging.publish(staged, self._format.companions(target.path))


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Read the provenance from a file that geosam has written: scene, model and options.

    Returns:
        Plain data; None if the file has no provenance.

    Raises:
        UnknownFormat: the extension names no format that geosam writes.
        ExportError: the file cannot be read.
    """
    try:
        return format_of(path).provenance(path)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().rstrip(".").replace("\n", "; ")
        raise ExportError(
            f"the provenance cannot be read: {path}: found {reason}, expected a file that geosam has written.",
            remedy="Check the path.",
            code="provenance-unreadable",
        ) from error


def _check_polygons(geometries: Geometries, path: Path, first: int) -> None:
    """Refuse geometries (N,) that are no polygon or have coordinates that are not finite.

    Args:
        geometries: a batch of geometries.
        path: the output, for messages.
        first: number of the batch's first feature, for messages.
    """
    polygonal = np.isin(shapely.get_type_id(geometries), POLYGONAL) & ~shapely.is_empty(geometries)
    if not polygonal.all():
        row = int(np.flatnonzero(~polygonal)[0])
        text = "no geometry" if geometries[row] is None else f"{geometries[row].wkt[:60]}"
        raise ExportError(
            f"a feature is no polygon: {path}, feature {first + row}: found {text}, expected a polygon.",
            remedy="Drop it.",
            code="feature-no-polygon",
            feature=first + row,
        )
    coordinates, rows = shapely.get_coordinates(geometries, return_index=True)
    finite = np.isfinite(coordinates).all(axis=1)
    if not finite.all():
        row = int(rows[~finite][0])
        raise ExportError(
            f"a feature has no place: {path}, feature {first + row}: found coordinates "
            f"{coordinates[~finite][0].tolist()}, expected finite numbers.",
            remedy="Check the CRS of the scene.",
            code="feature-without-place",
            feature=first + row,
        )
