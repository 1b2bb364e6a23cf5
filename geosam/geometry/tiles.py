"""Tiles: overlapping windows over a region of a scene, and the cores that partition it.

Along each axis the border between two cores runs through the middle of the overlap, so every pixel belongs to
exactly one core and lies as far from the edge of its window as the grid allows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from geosam.errors import UsageError
from geosam.geometry.geobox import Edge, Window

#: Smallest overlap: one pixel on either side of a core border.
MIN_OVERLAP = 2


@dataclass(frozen=True)
class Axis:
    """Windows of one axis: their common length, their first pixels, and the ends of their cores."""

    size: int
    """Length of every window in pixels."""
    starts: tuple[int, ...]
    """First pixel of each window, increasing."""
    begin: int
    """First pixel of the region."""
    end: int
    """The pixel after the last one of the region."""

    @cached_property
    def breaks(self) -> tuple[int, ...]:
        """Borders of the cores: core `i` is the half-open range ``breaks[i] .. breaks[i + 1]``."""
        # The middle of the overlap: `here + size` is the end of one window, `after` the start of the next.
        inner = ((here + self.size + after) // 2 for here, after in zip(self.starts, self.starts[1:], strict=False))
        return (self.begin, *inner, self.end)

    def meeting(self, low: int, high: int) -> range:
        """Return the numbers of the windows that share a pixel with the half-open range ``low .. high``."""
        first = bisect_right(self.starts, low - self.size)  # the first window that ends beyond `low`
        return range(first, bisect_right(self.starts, high - 1))

    def owners(self, low: int, high: int) -> range:
        """Return the numbers of the cores that share a pixel with the half-open range ``low .. high``."""
        last = len(self.starts) - 1
        first = min(bisect_right(self.breaks, low) - 1, last)
        return range(max(first, 0), min(bisect_right(self.breaks, high - 1) - 1, last) + 1)


@dataclass(frozen=True)
class TileGrid:
    """Windows in scene pixels, numbered row by row, each with a core."""

    region: Window
    """Part of the scene that the grid covers, in scene pixels."""
    cols: Axis
    """Windows along x."""
    rows: Axis
    """Windows along y."""

    @classmethod
    def over(cls, region: Window, tile_size: int = 1024, overlap: int = 256) -> TileGrid:
        """Return the regular grid over a region.

        Args:
            region: part of the scene, in scene pixels.
            tile_size: side of a tile in pixels.
            overlap: pixels that neighbouring tiles share.

        Raises:
            UsageError: the overlap is not in ``2 .. tile_size - 1``.
        """
        if not MIN_OVERLAP <= overlap < tile_size:
            raise UsageError(
                f"the overlap of tiles is out of range: `overlap`: found {overlap}, expected at least {MIN_OVERLAP} "
                f"and less than `tile_size`, {tile_size}.",
                remedy="Use about a quarter of the tile size.",
                code="overlap-out-of-range",
                overlap=overlap,
                tile_size=tile_size,
            )
        cols = _regular(region.col_off, region.col_end, tile_size, overlap)
        rows = _regular(region.row_off, region.row_end, tile_size, overlap)
        return cls(region, cols, rows)

    @classmethod
    def anchored(cls, region: Window, first: Window, step: int) -> TileGrid:
        """Return a grid with one window at `first`, for the growth of an object from there.

        Args:
            region: part of the scene, in scene pixels.
            first: a window inside the region; all windows have its size.
            step: distance of neighbouring windows in pixels; the outermost ones move inward to the region's edges.
        """
        cols = _anchored(region.col_off, region.col_end, first.col_off, first.width, step)
        rows = _anchored(region.row_off, region.row_end, first.row_off, first.height, step)
        return cls(region, cols, rows)

    def __len__(self) -> int:
        return len(self.cols.starts) * len(self.rows.starts)

    def __iter__(self) -> Iterator[Window]:
        return (self.window(i) for i in range(len(self)))

    def position(self, index: int) -> tuple[int, int]:
        """Return (row, column) of a tile in the grid."""
        return divmod(index, len(self.cols.starts))

    def index(self, row: int, col: int) -> int:
        """Return the number of the tile at (row, column) of the grid."""
        return row * len(self.cols.starts) + col

    def window(self, index: int) -> Window:
        """Return the window of a tile, in scene pixels."""
        row, col = self.position(index)
        return Window(self.cols.starts[col], self.rows.starts[row], self.cols.size, self.rows.size)

    def core(self, index: int) -> Window:
        """Return the part of the region that belongs to a tile alone, in scene pixels."""
        row, col = self.position(index)
        x, y = self.cols.breaks, self.rows.breaks
        return Window(x[col], y[row], x[col + 1] - x[col], y[row + 1] - y[row])

    def inner_edges(self, index: int) -> Edge:
        """Return the edges of a tile's window beyond which the region continues."""
        row, col = self.position(index)
        inner = Edge(0)
        inner |= Edge.LEFT if col > 0 else Edge(0)
        inner |= Edge.TOP if row > 0 else Edge(0)
        inner |= Edge.RIGHT if col + 1 < len(self.cols.starts) else Edge(0)
        inner |= Edge.BOTTOM if row + 1 < len(self.rows.starts) else Edge(0)
        return inner

    def neighbours(self, index: int) -> list[int]:
        """Return the other tiles whose windows share a pixel with this one, in increasing order."""
        return [other for other in self.meeting(self.window(index)) if other != index]

    def meeting(self, window: Window) -> list[int]:
        """Return the tiles whose windows share a pixel with `window`."""
        rows = self.rows.meeting(window.row_off, window.row_end)
        cols = self.cols.meeting(window.col_off, window.col_end)
        return [self.index(row, col) for row in rows for col in cols]

    def owners(self, window: Window) -> list[int]:
        """Return the tiles whose cores share a pixel with `window`."""
        rows = self.rows.owners(window.row_off, window.row_end)
        cols = self.cols.owners(window.col_off, window.col_end)
        return [self.index(row, col) for row in rows for col in cols]


def _regular(begin: int, end: int, size: int, overlap: int) -> Axis:
    length = end - begin
    if length <= size:  # one window of the region's own size, never a padded one
        return Axis(length, (begin,), begin, end)
    starts = [*range(begin, end - size, size - overlap), end - size]  # the last one is shifted inward
    return Axis(size, tuple(starts), begin, end)


def _anchored(begin: int, end: int, first: int, size: int, step: int) -> Axis:
    last = end - size
    before = range(first - step, begin, -step)
    after = range(first + step, last, step)
    return Axis(size, tuple(sorted({begin, *before, first, *after, last})), begin, end)
