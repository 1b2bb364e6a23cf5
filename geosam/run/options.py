"""Options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from geosam.objects.everything import AutomaticRule
from geosam.objects.shaping import Shaping

if TYPE_CHECKING:
    from geosam.segmenters.segmenter import KeepRule


@dataclass(frozen=True)
class RunOptions:
    """How a run is made; the defaults are those of the command line."""

    tile_size: int = 1024
    """Side of a tile in pixels."""
    overlap: int = 256
    """What neighbouring tiles share, in pixels."""
    workers: int = 1
    """Processes that compute tiles."""
    layout: Literal["overlapping", "planar"] = "overlapping"
    """Objects as found, or without overlaps and with shared borders."""
    min_area_m2: float = 0.0
    """Smaller objects are left out, square metres on the ground."""
    simplify_m: float = 0.0
    """Tolerance of the simplification, metres on the ground."""
    fill_holes_m2: float = 0.0
    """Holes up to this size are filled, square metres on the ground."""
    overwrite: bool = False
    """Replace an existing output."""
    restart: bool = False
    """Drop what an interrupted run has done."""
    allow_partial: bool = False
    """Leave out tiles that cannot be read instead of failing."""
    command: str = ""
    """The command line, for the provenance."""
    keep: KeepRule | None = None
    """Which masks are worth keeping; None: those that the model itself finds worth it."""
    automatic: AutomaticRule = field(default_factory=AutomaticRule)
    """How a network is asked for everything."""

    @property
    def shaping(self) -> Shaping:
        """The part that concerns finished objects."""
        return Shaping(self.layout, self.min_area_m2, self.simplify_m, self.fill_holes_m2)
