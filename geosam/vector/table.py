"""Table: the features of one layer as plain columns, read from a file or from geopandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pyproj import CRS

    from geosam._arrays import BoolArray, Geometries, Integers


@dataclass(frozen=True, eq=False)
class VectorTable:
    """N features of one layer."""

    place: str
    """File and layer, for messages."""
    crs: CRS | None
    """CRS that the layer declares; None without one."""
    fids: Integers
    """(N,) feature numbers as other programs show them."""
    geometries: Geometries
    """(N,) shapely geometries without Z and M; None for a feature without geometry."""
    columns: dict[str, list[Any]]
    """Fields in the order of the layer, N values each: int, float, str, bool, date, datetime or None."""

    def feature(self, row: int, field: str = "") -> str:
        """Name the feature in a row, for messages."""
        return f"{self.place}, feature {self.fids[row]}" + (f' field "{field}"' if field else "")

    def select(self, rows: BoolArray) -> VectorTable:
        """Return a table of the rows that are True in `rows` (N,)."""
        index = np.flatnonzero(rows)
        columns = {name: [values[i] for i in index.tolist()] for name, values in self.columns.items()}
        return VectorTable(self.place, self.crs, self.fids[index], self.geometries[index], columns)
