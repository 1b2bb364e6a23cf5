"""Windows and grids: the place of pixels in the raster and on Earth.

Pixel coordinates are corner-based everywhere: ``(0, 0)`` is the outer corner of the first pixel and the centre of
pixel 10 is 10.5. :func:`corner_to_index` is the one place that turns them into index coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from pyproj import CRS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from geosam._arrays import Floats

#: Coordinates closer than this to a pixel edge count as lying on it (pixels), because transforms leave rounding errors.
SNAP_PX = 1e-6


class Edge(IntFlag):
    """Edges of a window; they combine with ``|``."""

    LEFT = 1
    TOP = 2
    RIGHT = 4
    BOTTOM = 8


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of whole pixels; columns and rows are half-open ranges."""

    col_off: int
    """First column."""
    row_off: int
    """First row."""
    width: int
    """Number of columns, at least 1."""
    height: int
    """Number of rows, at least 1."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a window needs at least one pixel: found {self.width} x {self.height}")

    @property
    def col_end(self) -> int:
        """The column after the last one."""
        return self.col_off + self.width

    @property
    def row_end(self) -> int:
        """The row after the last one."""
        return self.row_off + self.height

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Height and width, the shape of an array read from the window."""
        return self.height, self.width

    @property
    def bounds_xyxy(self) -> tuple[int, int, int, int]:
        """First column, first row, end column and end row; the ends are exclusive."""
        return self.col_off, self.row_off, self.col_end, self.row_end

    @property
    def slices_rc(self) -> tuple[slice, slice]:
        """Slices (rows, columns) into an array whose first pixel is scene pixel (0, 0)."""
        return slice(self.row_off, self.row_end), slice(self.col_off, self.col_end)

    def intersection(self, other: Window) -> Window | None:
        """Return the common part, or None if the windows share no pixel."""
        col, row = max(self.col_off, other.col_off), max(self.row_off, other.row_off)
        width = min(self.col_end, other.col_end) - col
        height = min(self.row_end, other.row_end) - row
        return Window(col, row, width, height) if width > 0 and height > 0 else None

    def contains(self, other: Window) -> bool:
        """Return True if every pixel of `other` lies in this window."""
        return self.intersection(other) == other

    def touches(self, outer: Window) -> bool:
        """Return True if the window reaches the border of `outer`, in which it lies."""
        return (
            self.col_off <= outer.col_off
            or self.row_off <= outer.row_off
            or self.col_end >= outer.col_end
            or self.row_end >= outer.row_end
        )

    def shifted(self, cols: int, rows: int) -> Window:
        """Return the window moved by whole pixels."""
        return Window(self.col_off + cols, self.row_off + rows, self.width, self.height)

    def relative_to(self, outer: Window) -> Window:
        """Return the same pixels, counted from the first pixel of `outer`."""
        return self.shifted(-outer.col_off, -outer.row_off)


@dataclass(frozen=True, eq=False)
class GeoBox:
    """A grid of pixels placed on Earth: shape, transform and CRS together, immutable."""

    width: int
    """Number of columns."""
    height: int
    """Number of rows."""
    transform: Affine
    """Corner-based pixel (x right, y down) to map coordinates."""
    crs: CRS
    """Coordinate reference system of the map coordinates, which are always easting or longitude first."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a GeoBox needs at least one pixel: found {self.width} x {self.height}")
        numbers = self.transform[:6]
        if not all(math.isfinite(v) for v in numbers):
            raise ValueError(f"the transform must be finite: found {numbers}")
        # Relative to the lengths of the sides, so that pixels of 1e-6 degrees pass and slivers do not.
        linear = math.hypot(self.transform.a, self.transform.d) * math.hypot(self.transform.b, self.transform.e)
        if linear == 0 or abs(self.transform.determinant) < 1e-12 * linear:
            raise ValueError(f"the transform maps every pixel onto a line: {numbers}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GeoBox):
            return NotImplemented
        same_grid = (self.width, self.height, self.transform[:6]) == (other.width, other.height, other.transform[:6])
        return same_grid and self.crs == other.crs

    def __hash__(self) -> int:
        return hash((self.width, self.height, self.transform[:6]))  # equal CRSs may have different hashes

    @property
    def window(self) -> Window:
        """The whole grid as a window."""
        return Window(0, 0, self.width, self.height)

    @property
    def pixel_area(self) -> float:
        """Area of one pixel in squared CRS units."""
        return abs(self.transform.determinant)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Envelope (xmin, ymin, xmax, ymax) in map coordinates, of rotated grids too."""
        corners = self.to_map([(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)])
        (xmin, ymin), (xmax, ymax) = corners.min(axis=0), corners.max(axis=0)
        return float(xmin), float(ymin), float(xmax), float(ymax)

    def to_map(self, px_xy: ArrayLike) -> Floats:
        """Turn corner-based pixel coordinates (N, 2) into map coordinates (N, 2); both are x, y."""
        return _apply(self.transform, px_xy)

    def to_pixel(self, map_xy: ArrayLike) -> Floats:
        """Turn map coordinates (N, 2) into corner-based pixel coordinates (N, 2), snapped to edges within 1e-6 px."""
        t = self.transform
        # Around the grid's origin: coordinates of 4e6 m with pixels of 1 cm would otherwise lose six digits.
        local = np.asarray(map_xy, np.float64) - (t.c, t.f)
        pixels = _apply(~Affine(t.a, t.b, 0.0, t.d, t.e, 0.0), local)
        edges = np.round(pixels)
        return np.where(np.abs(pixels - edges) <= SNAP_PX, edges, pixels)

    def crop(self, window: Window) -> GeoBox:
        """Return the part of the grid that `window` covers.

        Raises:
            ValueError: the window does not lie inside.
        """
        if not self.window.contains(window):
            raise ValueError(f"{window} is not inside a grid of {self.width} x {self.height} pixels")
        transform = self.transform @ Affine.translation(window.col_off, window.row_off)
        return GeoBox(window.width, window.height, transform, self.crs)

    def zoom(self, scale_x: float, scale_y: float) -> GeoBox:
        """Return a grid of the same origin, with pixels `scale_x` times as wide and `scale_y` times as high.

        The last column and row may reach beyond the extent.
        """
        # Without the tolerance, rounding of the scale would add a column of nothing.
        width = max(1, math.ceil(self.width / scale_x - SNAP_PX))
        height = max(1, math.ceil(self.height / scale_y - SNAP_PX))
        return GeoBox(width, height, self.transform @ Affine.scale(scale_x, scale_y), self.crs)

    def window_of_bounds(self, bounds: tuple[float, float, float, float]) -> Window | None:
        """Return the smallest window around map `bounds` (xmin, ymin, xmax, ymax), clipped to the grid.

        Return None if the bounds lie outside.
        """
        xmin, ymin, xmax, ymax = bounds
        corners = self.to_pixel([(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)])
        low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))  # the envelope if the grid is rotated
        col, row = (int(max(0, v)) for v in low)
        col_end, row_end = int(min(high[0], self.width)), int(min(high[1], self.height))
        return Window(col, row, col_end - col, row_end - row) if col_end > col and row_end > row else None


def corner_to_index(corner_px: ArrayLike, scale: float = 1.0) -> Floats:
    """Turn corner-based pixel coordinates into index coordinates of the picture resized by `scale`.

    In index coordinates, which SAM's prompt encoder expects, the centre of pixel 10 is 10.0.
    """
    # SAM adds the half pixel itself (segment_anything/modeling/prompt_encoder.py, `_embed_points`), after the resize:
    # `scale * (corner - 0.5)` would be off by half a resized pixel.
    return np.asarray(corner_px, np.float64) * scale - 0.5


def map_crs(crs: Any) -> CRS:
    """Return a pyproj CRS for any description of it: text, EPSG number, CRS of pyproj or rasterio.

    Raises:
        pyproj.exceptions.CRSError: PROJ does not know it.
    """
    return CRS.from_user_input(crs)


def crs_name(crs: CRS) -> str:
    """Return the authority's code of a CRS, such as EPSG:32633, or its name if it has no code."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.name


def _apply(transform: Affine, xy: ArrayLike) -> Floats:
    points = np.atleast_2d(np.asarray(xy, np.float64))
    x, y = points[:, 0], points[:, 1]
    t = transform
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)
