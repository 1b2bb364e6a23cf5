"""GeoPackage, FlatGeobuf and shapefile: one stream of features through GDAL, always with the same bytes."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import warnings
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyogrio
import shapely
from pyproj import CRS

from geosam.export.schema import GEOMETRY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from geosam.export.schema import Features

logger = logging.getLogger(__name__)

#: The date in every output: a date of its own would make two equal runs differ.
FIXED_DATE = "2000-01-01"
_FIXED_TIME = f"{FIXED_DATE}T00:00:00.000Z"

#: Key of the provenance in the metadata of layers and files.
PROVENANCE_KEY = "geosam"


def write_geopackage(folder: Path, features: Features) -> list[Path]:
    """Write a GeoPackage; other layers of an existing one are copied along.

    Returns:
        The one file made.
    """
    path, layer = folder / features.target.path.name, features.target.layer
    if other_layers(features.target.path, layer):
        _copy_database(features.target.path, path)
    _write_layer(
        path,
        features,
        features.schema,
        as_multi(features.renamed()),
        driver="GPKG",
        geometry_type="MultiPolygon",
        dataset_options={"VERSION": "1.3"},
        layer_metadata={PROVENANCE_KEY: features.target.provenance_json},
    )
    return [path]


def geopackage_facts(path: Path, layer: str) -> tuple[int, CRS]:
    """Number of features, counted, and CRS of a layer."""
    quoted = layer.replace('"', '""')
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        (count,) = database.execute(f'SELECT COUNT(*) FROM "{quoted}"').fetchone()  # noqa: S608 - quoted
    return count, layer_facts(path, layer)[1]


def other_layers(path: Path, layer: str) -> list[str]:
    """Tables of an existing GeoPackage, other than `layer`, that replacing the layer has to keep."""
    if not path.exists():
        return []
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = [name for (name,) in database.execute("SELECT table_name FROM gpkg_contents")]
    except sqlite3.DatabaseError:
        return []  # not a GeoPackage: there is nothing to keep
    return [name for name in tables if name.lower() != layer.lower()]


def layer_facts(path: Path, layer: str | None = None) -> tuple[int, CRS]:
    """Number of features and CRS of a layer, read afresh."""
    info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    return int(info["features"]), CRS.from_user_input(info["crs"])


def layer_provenance(path: Path, layer: str | None = None) -> dict[str, Any] | None:
    """The provenance in a layer's metadata."""
    metadata = pyogrio.read_info(path, layer=layer)["layer_metadata"] or {}
    return json.loads(metadata[PROVENANCE_KEY]) if PROVENANCE_KEY in metadata else None


def as_multi(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches with every polygon as a MultiPolygon, so that a layer has one type."""
    for batch in batches:
        geometries = shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False))
        single = shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON
        geometries[single] = shapely.multipolygons(geometries[single, None])
        yield batch.set_column(0, GEOMETRY, pa.array(shapely.to_wkb(geometries), type=pa.binary()))


def _write_layer(
    path: Path, features: Features, schema: pa.Schema, batches: Iterable[pa.RecordBatch], **options: Any
) -> None:
    failures: list[BaseException] = []

    def guarded() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except BaseException as error:  # a C stream would lose it
            failures.append(error)
            raise

    reader = pa.RecordBatchReader.from_batches(schema, guarded())
    target = features.target
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
    for warning in caught:
        logger.warning("GDAL on %s: %s", target.path, warning.message)


@contextlib.contextmanager
def _fixed_date() -> Iterator[None]:
    """Keep the clock out of the file."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _FIXED_TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _copy_database(source: Path, copy: Path) -> None:
    """Copy a database that others may have open, with what its journal holds."""
    with (
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
        contextlib.closing(sqlite3.connect(copy)) as new,
    ):
        old.backup(new)
