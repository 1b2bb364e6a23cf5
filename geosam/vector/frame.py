"""Tables of geopandas as vector tables, like layers that were read from a file."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geosam.errors import PromptError
from geosam.vector.table import VectorTable

if TYPE_CHECKING:
    import geopandas

#: Types of values that a column may hold; a datetime is a date, too.
_TYPES = (bool, int, float, str, dt.date, type(None))


def is_frame(value: Any) -> bool:
    """Return True for a GeoDataFrame or GeoSeries, without importing geopandas."""
    # A value of geopandas exists only if the module is loaded, so other values do not cost an import of half a second.
    module = sys.modules.get("geopandas")
    return module is not None and isinstance(value, module.GeoDataFrame | module.GeoSeries)


def table_of_frame(
    frame: geopandas.GeoDataFrame | geopandas.GeoSeries, place: str = "the table"
) -> tuple[VectorTable, list[str]]:
    """Turn a GeoDataFrame or GeoSeries into a vector table.

    Args:
        frame: the table; its index numbers the features if it holds distinct whole numbers, else they count from 0.
        place: name of the table for messages.

    Returns:
        The table, and warnings about columns that are left out.

    Raises:
        PromptError: the table has no geometry column.
    """
    try:
        series = frame.geometry
    except AttributeError:
        raise PromptError(
            f"{place} has no geometries: found no active geometry column, expected one.",
            remedy="Set it with set_geometry().",
            code="table-without-geometry",
        ) from None
    numbered = series.index.is_unique and series.index.dtype.kind in "iu"
    fids = series.index.to_numpy(np.int64) if numbered else np.arange(len(series))
    columns, notes = {}, []
    names = [] if frame.ndim == 1 else [name for name in frame.columns if name != series.name]
    for name in names:
        values = _values(frame[name])
        if all(isinstance(value, _TYPES) for value in values):
            columns[str(name)] = values
        else:
            notes.append(f'{place}, field "{name}": neither numbers, text nor dates, left out')
    geometries = shapely.force_2d(series.to_numpy().astype(object))
    return VectorTable(place, series.crs, fids, geometries, columns), notes


def _values(column: Any) -> list[Any]:
    """Return Python values of a pandas column, None where a value is missing."""
    missing = column.isna().tolist()
    return [None if gone else _plain(value) for value, gone in zip(column.tolist(), missing, strict=True)]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    # A Timestamp of pandas is a datetime, but other modules expect the plain class.
    return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
