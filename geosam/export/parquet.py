"""GeoParquet 1.1: row groups written one after the other, the facts about them in the footer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from geosam.export.schema import GEOMETRY, PROVENANCE_KEY, geometries_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geosam.export.schema import Features

#: Rows of a row group; fixed, so that the bytes do not depend on the size of the batches.
ROW_GROUP = 32768


def write(folder: Path, features: Features) -> list[Path]:
    """Write a GeoParquet file: WKB, exterior rings counter-clockwise, the provenance in the footer.

    Returns:
        The file made.
    """
    path = folder / "result.parquet"
    bounds: list[list[float]] = []
    types: set[str] = set()
    with pq.ParquetWriter(path, features.schema, compression="zstd") as writer:
        for batch in _row_groups(features):
            geometries = geometries_of(batch)
            bounds.append(shapely.total_bounds(geometries).tolist())
            types.update(geometry.geom_type for geometry in geometries)
            writer.write_batch(batch, row_group_size=ROW_GROUP)
        geo = json.dumps(_geo_metadata(features.target.crs, bounds, types))
        writer.add_key_value_metadata({"geo": geo, PROVENANCE_KEY: features.target.provenance_json})
    return [path]


def facts(path: Path, _layer: str) -> tuple[int, CRS | None]:
    """Number of features and CRS of a file."""
    metadata = pq.read_metadata(path)
    return metadata.num_rows, CRS.from_json_dict(json.loads(metadata.metadata[b"geo"])["columns"][GEOMETRY]["crs"])


def provenance(path: Path) -> dict[str, Any] | None:
    """The provenance in the footer."""
    text = pq.read_metadata(path).metadata.get(PROVENANCE_KEY.encode())
    return None if text is None else dict(json.loads(text))


def _row_groups(features: Features) -> Iterator[pa.RecordBatch]:
    waiting: list[pa.RecordBatch] = []
    for batch in features.renamed():
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= ROW_GROUP:
            rows = pa.Table.from_batches(waiting).combine_chunks()
            full = rows.num_rows // ROW_GROUP * ROW_GROUP
            for start in range(0, full, ROW_GROUP):
                yield rows.slice(start, ROW_GROUP).to_batches()[0]
            waiting = rows.slice(full).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]


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
