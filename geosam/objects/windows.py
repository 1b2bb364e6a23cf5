"""Windows for prompts, and which prompts share one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid

if TYPE_CHECKING:
    from geosam.prompts.prompt import ScenePrompt

#: Side of the square around the first window that an object may fill, scene pixels.
GROWTH_LIMIT_PX = 16384


#: Windows of the lattice from the middle of a view to the last that is worth looking at ahead; no memory holds more.
_REACH = 48


class _Place(NamedTuple):
    """Where along an axis a window of the lattice begins."""

    start: int
    """First pixel."""
    steps: int
    """How far from the middle of what is looked at, in quarters of a tile."""
    sparse: bool
    """Whether it is one of those that overlap by a quarter."""
    serves: bool
    """Whether prompts are asked in it."""


@dataclass(frozen=True)
class WindowRule:
    """How windows for prompts are laid out."""

    region: Window
    """What may be looked at, scene pixels."""
    tile_size: int = 1024
    """Side of a window."""
    overlap: int = 256
    """What a window shares with the next one."""
    limit_px: int = GROWTH_LIMIT_PX
    """Growth stops when the object would reach beyond a square of this side around its first window."""

    def first_window(self, bounds_xyxy: tuple[float, float, float, float]) -> Window:
        """The window of the quarter-tile lattice that has the bounds of a prompt best in its middle."""
        x0, y0, x1, y1 = bounds_xyxy
        col, width = self._start((x0 + x1) / 2, self.region.col_off, self.region.width)
        row, height = self._start((y0 + y1) / 2, self.region.row_off, self.region.height)
        return Window(col, row, width, height)

    def _start(self, centre: float, begin: int, length: int) -> tuple[int, int]:
        if length <= self.tile_size:
            return begin, length
        return self._start_of(self._step(centre), begin, length), self.tile_size

    def _step(self, centre: float) -> int:
        """Number of the window of the lattice, along an axis, that has a coordinate best in its middle."""
        return round((centre - self.tile_size / 2) / self._quarter)

    def _start_of(self, step: int, begin: int, length: int) -> int:
        return min(max(step * self._quarter, begin), begin + length - self.tile_size)

    @property
    def _quarter(self) -> int:
        return self.tile_size // 4 or 1

    def follow(self, prompt: ScenePrompt) -> tuple[Window, list[ScenePrompt]]:
        """The window of a prompt, and what had been given after each step since that window was chosen.

        The window of the first step serves for as long as it holds all that is given; then one is chosen anew, and
        answers from the old one are of no use in it.
        """
        first, *later = prompt.history()
        window, steps = self.first_window(first.bounds_xyxy), [first]
        for given in later:
            again = window if self._holds(window, given.bounds_xyxy) else self.first_window(given.bounds_xyxy)
            window, steps = again, [*(steps if again == window else ()), given]
        return window, steps

    def _holds(self, window: Window, bounds_xyxy: tuple[float, float, float, float]) -> bool:
        """Whether bounds lie in the window; its right and lower edges are the next one's, if there is a next one."""
        x0, y0, x1, y1 = bounds_xyxy
        return (
            window.col_off <= x0
            and window.row_off <= y0
            and (x1 < window.col_end or window.col_end == self.region.col_end)
            and (y1 < window.row_end or window.row_end == self.region.row_end)
        )

    def around(self, bounds_xyxy: tuple[float, float, float, float]) -> list[Window]:
        """The windows that prompts inside of bounds are asked in, in the order in which they are worth looking at.

        First come some that overlap by a quarter, from the middle outwards: soon there is one for every place that has
        it well inside, though not in its middle. Then all others, likewise.
        """
        x0, y0, x1, y1 = bounds_xyxy
        cols = self._places(x0, x1, self.region.col_off, self.region.width)
        rows = self._places(y0, y1, self.region.row_off, self.region.height)
        width, height = min(self.tile_size, self.region.width), min(self.tile_size, self.region.height)
        ranked = sorted(
            (not (col.sparse and row.sparse), col.steps**2 + row.steps**2, row.start, col.start)
            for row in rows
            for col in cols
            if (col.sparse and row.sparse) or (col.serves and row.serves)
        )
        return list(dict.fromkeys(Window(col, row, width, height) for _, _, row, col in ranked))

    def _places(self, low: float, high: float, begin: int, length: int) -> list[_Place]:
        """Where along an axis windows begin that serve prompts from `low` to `high`."""
        if length <= self.tile_size:
            return [_Place(begin, 0, sparse=True, serves=True)]
        first, middle, last = (self._step(centre) for centre in (low, (low + high) / 2, high))
        # One more at either end, so that the sparse ones reach over the ends.
        steps = range(max(first - 1, middle - _REACH), min(last + 1, middle + _REACH) + 1)
        starts = [(step, self._start_of(step, begin, length)) for step in steps]
        return [
            _Place(start, abs(step - middle), sparse=(step - middle) % 3 == 0, serves=first <= step <= last)
            for step, start in starts
        ]

    def grid(self, first: Window) -> TileGrid:
        """The windows an object may grow through."""
        return TileGrid.anchored(self.region, first, max(1, self.tile_size - self.overlap))

    def allows(self, window: Window, first: Window) -> bool:
        """Whether growth may reach `window`."""
        margin_x, margin_y = (self.limit_px - first.width) // 2, (self.limit_px - first.height) // 2
        return (
            window.col_off >= first.col_off - margin_x
            and window.row_off >= first.row_off - margin_y
            and window.col_end <= first.col_end + margin_x
            and window.row_end <= first.row_end + margin_y
        )


def group_prompts(
    placed: Sequence[ScenePrompt], rule: WindowRule
) -> tuple[tuple[Window, tuple[ScenePrompt, ...]], ...]:
    """Prompts by the window they are asked in, windows row by row."""
    groups: dict[Window, list[ScenePrompt]] = defaultdict(list)
    for prompt in placed:
        groups[rule.follow(prompt)[0]].append(prompt)
    ordered = sorted(groups.items(), key=lambda item: (item[0].row_off, item[0].col_off))
    return tuple((window, tuple(found)) for window, found in ordered)
