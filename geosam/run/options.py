"""Options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from geosam.objects.everything import AutomaticRule
from geosam.objects.shaping import Shaping
from geosam.options import RUN, defaults

if TYPE_CHECKING:
    from geosam.segmenters.segmenter import KeepRule

_DEFAULTS = defaults(RUN)


@dataclass(frozen=True)
class RunOptions:
    """Options of a run; `geosam.options.RUN` has their defaults and limits."""

    tile_size: int = _DEFAULTS["tile_size"]
    """Side of a tile in pixels."""
    overlap: int = _DEFAULTS["overlap"]
    """Width that neighbouring tiles share, in pixels."""
    workers: int = _DEFAULTS["workers"]
    """Processes that compute tiles."""
    layout: Literal["overlapping", "planar"] = _DEFAULTS["layout"]
    """Objects as found, or without overlaps and with shared borders."""
    min_area_m2: float = _DEFAULTS["min_area_m2"]
    """Least ground area of an object, square metres; smaller ones are left out."""
    simplify_m: float = _DEFAULTS["simplify_m"]
    """Tolerance of the simplification, metres on the ground."""
    fill_holes_m2: float = _DEFAULTS["fill_holes_m2"]
    """Largest hole that is filled, square metres on the ground."""
    overwrite: bool = _DEFAULTS["overwrite"]
    """Replace an existing output."""
    restart: bool = _DEFAULTS["restart"]
    """Drop the finished tiles of an interrupted run."""
    allow_partial: bool = _DEFAULTS["allow_partial"]
    """Leave out tiles that cannot be read instead of failing."""
    command: str = ""
    """Command line or request that the provenance records."""
    keep: KeepRule | None = None
    """Thresholds of masks; None: those of the model."""
    automatic: AutomaticRule = field(default_factory=AutomaticRule)
    """Rule for finding everything with a network that takes prompts only."""

    @property
    def shaping(self) -> Shaping:
        """Options that concern finished objects."""
        return Shaping(self.layout, self.min_area_m2, self.simplify_m, self.fill_holes_m2)
