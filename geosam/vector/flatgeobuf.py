"""FlatGeobuf: one file with a spatial index, features in the order of that index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyogrio

from geosam.vector.gdal import layer_facts, write_layer
from geosam.vector.schema import PROVENANCE_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from pyproj import CRS

    from geosam.vector.schema import Features


def write(folder: Path, features: Features) -> list[Path]:
    """Write a FlatGeobuf file.

    Dates come back as date-times: the format knows no dates. Its index takes up to 100 bytes of memory a feature.

    Returns:
        The file made.
    """
    path = folder / "result.fgb"
    write_layer(
        path,
        features,
        driver="FlatGeobuf",
        geometry_type="MultiPolygon",
        layer_metadata={PROVENANCE_KEY: features.target.provenance_json},
    )
    return [path]


def facts(path: Path, layer: str) -> tuple[int, CRS | None]:
    """Number of features, read one by one because the header's number survives truncation, and CRS of a layer."""
    with pyogrio.open_arrow(path, layer=layer, columns=[], use_pyarrow=True) as (_, reader):
        count = sum(batch.num_rows for batch in reader)
    return count, layer_facts(path, layer)[1]
