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

    The format has no dates; they come back as date-times. GDAL needs up to 100 bytes of memory per feature for the
    index.

    Returns:
        The file.
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
    """Count the features of a layer and read its CRS."""
    # One by one: the number in the header is still there when the file is cut off.
    with pyogrio.open_arrow(path, layer=layer, columns=[], use_pyarrow=True) as (_, reader):
        count = sum(batch.num_rows for batch in reader)
    return count, layer_facts(path, layer)[1]
