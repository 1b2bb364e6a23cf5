"""WindowRule: windows for prompts, and the prompts that share one.

Windows lie on a lattice of quarter tiles, so that a prompt lies well inside its first window and neighbouring prompts
share windows, and with them embeddings.
"""

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
#: Most windows of the lattice between the middle of a view and one that is prefetched; no memory holds more.
_REACH = 48


class _Place(NamedTuple):
    """Place of a window of the lattice along one axis."""

    start: int
    """First pixel."""
    steps: int
    """Distance from the middle of the view, in quarters of a tile."""
    sparse: bool
    """True for every third window: these overlap by a quarter and cover the view."""
    serves: bool
    """True if some prompt of the view has its first window here."""


@dataclass(frozen=True)
class WindowRule:
    """Layout of windows for prompts."""

    region: Window
    """Part of the scene that is used, scene pixels."""
    tile_size: int = 1024
    """Side of a window in pixels."""
    overlap: int = 256
    """Pixels that a window shares with the next one."""
    limit_px: int = GROWTH_LIMIT_PX
    """Side in pixels of a square around the first window; growth stops at its border."""

    def first_window(self, bounds_xyxy: tuple[float, float, float, float]) -> Window:
        """Return the window of the lattice whose middle is nearest to the middle of the bounds (scene pixels)."""
        x0, y0, x1, y1 = bounds_xyxy
        col, width = self._start((x0 + x1) / 2, self.region.col_off, self.region.width)
        row, height = self._start((y0 + y1) / 2, self.region.row_off, self.region.height)
        return Window(col, row, width, height)

    def _start(self, centre: float, begin: int, length: int) -> tuple[int, int]:
        if length <= self.tile_size:
            return begin, length
        return self._start_of(self._step(centre), begin, length), self.tile_size

    def _step(self, centre: float) -> int:
        """Return the number of the window, along one axis, whose middle is nearest to a coordinate."""
        return round((centre - self.tile_size / 2) / self._quarter)

    def _start_of(self, step: int, begin: int, length: int) -> int:
        return min(max(step * self._quarter, begin), begin + length - self.tile_size)

    @property
    def _quarter(self) -> int:
        return self.tile_size // 4 or 1  # tiles may have less than four pixels

    def follow(self, prompt: ScenePrompt) -> tuple[Window, list[ScenePrompt]]:
        """Return the window of a prompt, and the states of the prompt since that window was chosen, one for each step.

        The first step chooses a window. The window stays while it holds the whole prompt; a step that reaches beyond it
        chooses a new one.
        """
        first, *later = prompt.history()
        window, states = self.first_window(first.bounds_xyxy), [first]
        for state in later:
            chosen = window if self._holds(window, state.bounds_xyxy) else self.first_window(state.bounds_xyxy)
            # Logits of one window mean nothing in another: the history begins again with a new window.
            window, states = chosen, [*(states if chosen == window else ()), state]
        return window, states

    def _holds(self, window: Window, bounds_xyxy: tuple[float, float, float, float]) -> bool:
        """Return True if bounds lie in the window."""
        # A point on the right or lower edge lies in the next window, except at the end of the region.
        x0, y0, x1, y1 = bounds_xyxy
        return (
            window.col_off <= x0
            and window.row_off <= y0
            and (x1 < window.col_end or window.col_end == self.region.col_end)
            and (y1 < window.row_end or window.row_end == self.region.row_end)
        )

    def around(self, bounds_xyxy: tuple[float, float, float, float]) -> list[Window]:
        """Return the first windows of all prompts inside bounds (scene pixels), the most useful first.

        First come windows that overlap by a quarter, from the middle outwards: they soon give every place a window that
        holds it well inside. Then come all others, from the middle outwards.
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
        """Return the places of windows, along one axis, for prompts from `low` to `high`."""
        if length <= self.tile_size:
            return [_Place(begin, 0, sparse=True, serves=True)]
        first, middle, last = (self._step(centre) for centre in (low, (low + high) / 2, high))
        # One more at either end, so that the sparse windows cover the ends.
        steps = range(max(first - 1, middle - _REACH), min(last + 1, middle + _REACH) + 1)
        starts = [(step, self._start_of(step, begin, length)) for step in steps]
        return [
            _Place(start, abs(step - middle), sparse=(step - middle) % 3 == 0, serves=first <= step <= last)
            for step, start in starts
        ]

    def grid(self, first: Window) -> TileGrid:
        """Return the grid of windows through which an object grows; `first` is one of them."""
        return TileGrid.anchored(self.region, first, max(1, self.tile_size - self.overlap))

    def allows(self, window: Window, first: Window) -> bool:
        """Return True if `window` lies within the growth limit around `first`."""
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
    """Group prompts by their windows, row by row."""
    groups: dict[Window, list[ScenePrompt]] = defaultdict(list)
    for prompt in placed:
        groups[rule.follow(prompt)[0]].append(prompt)
    ordered = sorted(groups.items(), key=lambda item: (item[0].row_off, item[0].col_off))
    return tuple((window, tuple(prompts)) for window, prompts in ordered)
