"""GeoParquet 1.1: row groups one after the other, metadata and provenance in the footer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from geosam.vector.schema import GEOMETRY, PROVENANCE_KEY, geometries_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from geosam.vector.schema import Features


#: Smallest size of a row group before compression: batches are collected until they reach it.
ROW_GROUP_BYTES = 32_000_000


def write(folder: Path, features: Features) -> list[Path]:
    """Write a GeoParquet file with WKB geometries, several batches in a row group.

    Returns:
        The file.
    """
    path = folder / "result.parquet"
    bounds: list[list[float]] = []
    types: set[str] = set()
    with pq.ParquetWriter(path, features.schema, compression="zstd") as writer:
        for table in _row_groups(features.renamed()):
            writer.write_table(table)
            for batch in table.to_batches():
                geometries = geometries_of(batch)
                bounds.append(shapely.total_bounds(geometries).tolist())
                types.update(geometry.geom_type for geometry in geometries)
        geo = json.dumps(_geo_metadata(features.target.crs, bounds, types))
        writer.add_key_value_metadata({"geo": geo, PROVENANCE_KEY: features.target.provenance_json})
    return [path]


def facts(path: Path, _layer: str) -> tuple[int, CRS | None]:
    """Read the number of features and the CRS of a file."""
    metadata = pq.read_metadata(path)
    return metadata.num_rows, CRS.from_json_dict(json.loads(metadata.metadata[b"geo"])["columns"][GEOMETRY]["crs"])


def provenance(path: Path) -> dict[str, Any] | None:
    """Read the provenance in the footer."""
    text = pq.read_metadata(path).metadata.get(PROVENANCE_KEY.encode())
    return None if text is None else dict(json.loads(text))


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Collect batches into tables of at least ROW_GROUP_BYTES; the last one may be smaller."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(b.nbytes for b in waiting) >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _geo_metadata(crs: CRS, bounds: list[list[float]], types: set[str]) -> dict[str, Any]:
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted(types),
        "crs": crs.to_json_dict(),
        "edges": "planar",
        "orientation": "counterclockwise",
    }
    if bounds:
        low, high = np.min(bounds, axis=0)[:2], np.max(bounds, axis=0)[2:]
        column["bbox"] = [*low.tolist(), *high.tolist()]
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
