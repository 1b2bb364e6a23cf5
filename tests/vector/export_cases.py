"""Features to write in the tests of export: outlines with holes and several parts, every kind of attribute."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import CRS

from geosam.vector.checks import check_output
from geosam.vector.schema import Column, Target
from geosam.vector.writer import FeatureWriter

if TYPE_CHECKING:
    from pathlib import Path

UTM33 = CRS("EPSG:32633")
EXTENSIONS = (".gpkg", ".geojson", ".shp", ".parquet", ".fgb")

COLUMNS = (
    Column("id", "int"),
    Column("score", "float"),
    Column("stability", "float", "stab_score"),
    Column("model", "text"),
    Column("touches_edge", "bool", "touch_edge"),
    Column("seen", "datetime"),
    Column("day", "date"),
)


def pixel_polygons(count: int, *, pixel: float = 0.3, origin: tuple[float, float] = (500000.0, 4500000.0)):
    """(count,) polygons on a pixel grid; every third has a hole, every fifth two parts."""
    columns = max(1, int(np.ceil(np.sqrt(count))))
    polygons = []
    for i in range(count):
        row, column = divmod(i, columns)
        x, y = column * 20, row * 20
        ell = shapely.Polygon([(x, y), (x + 9, y), (x + 9, y + 4), (x + 5, y + 4), (x + 5, y + 9), (x, y + 9)])
        if i % 3 == 0:
            ell -= shapely.box(x + 1, y + 1, x + 3, y + 2 + i % 5)
        if i % 5 == 0:
            ell = shapely.MultiPolygon([ell, shapely.box(x + 12, y, x + 14, y + 3)])
        polygons.append(ell)
    return shapely.transform(np.array(polygons, dtype=object), lambda xy: xy * pixel + origin)


def attributes(count: int) -> dict[str, list]:
    """Values for COLUMNS."""
    start = dt.datetime(2024, 2, 28, 23, 59, 58, tzinfo=dt.UTC)
    return {
        "id": list(range(count)),
        "score": [i / 7 for i in range(count)],
        "stability": [1 - i / 3 for i in range(count)],
        "model": [("naïve", "文字", 'say "x"\\n', None)[i % 4] for i in range(count)],
        "touches_edge": [i % 2 == 0 for i in range(count)],
        "seen": [start + dt.timedelta(seconds=i) for i in range(count)],
        "day": [start.date() + dt.timedelta(days=i) for i in range(count)],
    }


def target_at(path: Path, *, crs: CRS = UTM33, columns: tuple[Column, ...] = COLUMNS, **changes) -> Target:
    """A target with a provenance."""
    facts = {"layer": "segments", "provenance": {"scene": "szene ü.tif", "bands": [1, 2, 3]}, "pixel_size": 0.3}
    return Target(path, crs, columns, **(facts | changes))


def write(
    target: Target, polygons, values: dict[str, list] | None = None, *, overwrite: bool = False, batch: int = 100
):
    """Write everything in batches; the writer's warnings."""
    values = attributes(len(polygons)) if values is None else values
    with FeatureWriter(target, overwrite=overwrite) as writer:
        for start in range(0, len(polygons), batch):
            part = slice(start, start + batch)
            writer.write(polygons[part], {name: column[part] for name, column in values.items()})
    return writer.warnings


def read(path: Path, **options):
    """What another program reads: a GeoDataFrame ordered by id."""
    import geopandas

    frame = geopandas.read_parquet(path) if path.suffix == ".parquet" else pyogrio.read_dataframe(path, **options)
    return frame.sort_values("id", ignore_index=True) if "id" in frame else frame


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(path, *, crs=UTM33, columns=COLUMNS, overwrite=False, inputs=()):
    """The error of check_output, after making sure that the writer refuses with the same words."""
    with pytest.raises(Exception) as first:  # noqa: PT011 - the caller looks at it
        check_output(path, crs, columns, overwrite=overwrite, inputs=inputs)
    if not inputs:
        with pytest.raises(type(first.value)) as second:
            FeatureWriter(target_at(path, crs=crs, columns=columns), overwrite=overwrite)
        assert str(second.value) == str(first.value)
    assert "\n" not in str(first.value)
    assert str(path) in str(first.value)
    return first.value


def fails_after(path, polygons, *, overwrite=True, error=RuntimeError):
    """Write some features, then raise inside the block."""
    with FeatureWriter(target_at(path), overwrite=overwrite) as writer:
        writer.write(polygons, attributes(len(polygons)))
        raise error("half-way")
