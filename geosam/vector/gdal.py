"""Streams of features through GDAL, for GeoPackage, FlatGeobuf and shapefile; equal features give equal bytes."""

from __future__ import annotations

import contextlib
import json
import warnings
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyogrio
from pyproj import CRS

from geosam.vector.schema import GEOMETRY, PROVENANCE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from geosam.vector.schema import Features

#: Date in every output: with the present date, two equal runs would give different bytes.
FIXED_DATE = "2000-01-01"


def write_layer(
    path: Path,
    features: Features,
    batches: Iterable[pa.RecordBatch] | None = None,
    schema: pa.Schema | None = None,
    **options: Any,
) -> None:
    """Write one layer, replacing the layer of that name if the file exists.

    Args:
        path: the file.
        features: the features to write.
        batches: the features in the form that the driver takes; by default MultiPolygons, with the column names of
            `features`.
        schema: Arrow schema of `batches`.
        options: driver, geometry type and creation options, as `pyogrio.write_arrow` takes them.
    """
    failures: list[BaseException] = []

    def guarded() -> Iterator[pa.RecordBatch]:
        try:
            yield from _as_multi(features.renamed()) if batches is None else batches
        except BaseException as error:  # Ctrl-C included: Arrow's C stream passes only a text on
            failures.append(error)
            raise

    target = features.target
    reader = pa.RecordBatchReader.from_batches(schema or features.schema, guarded())
    with warnings.catch_warnings(record=True) as caught, _fixed_date():
        warnings.simplefilter("always")
        try:
            pyogrio.write_arrow(
                reader, path, layer=target.layer, crs=target.crs.to_wkt(), geometry_name=GEOMETRY, **options
            )
        except Exception:
            if failures:
                raise failures[0] from None
            raise
    features.warnings.extend(sorted({f"GDAL: {warning.message}" for warning in caught}))


def layer_facts(path: Path, layer: str | None = None) -> tuple[int, CRS | None]:
    """Return the number of features of a layer, as the file states it, and its CRS."""
    info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    return int(info["features"]), CRS.from_user_input(info["crs"]) if info["crs"] else None


def layer_provenance(path: Path) -> dict[str, Any] | None:
    """Read the provenance in the metadata of the first layer that has one."""
    for layer, _ in pyogrio.list_layers(path):
        metadata = pyogrio.read_info(path, layer=layer)["layer_metadata"] or {}
        if PROVENANCE_KEY in metadata:
            return dict(json.loads(metadata[PROVENANCE_KEY]))
    return None


#: Little-endian WKB: the type MultiPolygon, and the beginning of one with a single part.
_MULTIPOLYGON = (6).to_bytes(4, "little")
_ONE_OF = b"\x01" + _MULTIPOLYGON + (1).to_bytes(4, "little")


def _as_multi(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Turn every Polygon into a MultiPolygon, so that a layer has one type."""
    for batch in batches:
        # On bytes: shapely would parse and write every vertex again.
        wkb = [
            shape if shape[1:5] == _MULTIPOLYGON else _ONE_OF + shape for shape in batch.column(GEOMETRY).to_pylist()
        ]
        yield batch.set_column(0, GEOMETRY, pa.array(wkb, type=pa.binary()))


@contextlib.contextmanager
def _fixed_date() -> Iterator[None]:
    """Set the date that GDAL writes into files."""
    option = "OGR_CURRENT_DATE"
    before = pyogrio.get_gdal_config_option(option)
    pyogrio.set_gdal_config_options({option: f"{FIXED_DATE}T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({option: before})
