"""Prompts: from map coordinates (`Prompt`) to scene pixels (`ScenePrompt`) to pixels of one window (`PixelPrompts`).

A prompt describes one object by points that include or exclude, a box, or a polygon that serves as a mask. Pixel
coordinates are corner-based and pixels are half-open: a point on the right or lower edge of the scene is outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import shapely

from geosam.errors import EmptyPrompt, PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from pyproj import CRS

    from geosam._arrays import Floats


Detail: TypeAlias = Literal["auto", "part", "whole", "group"]
Box: TypeAlias = tuple[float, float, float, float]

#: Granularities a prompt may ask for.
DETAILS: tuple[Detail, ...] = get_args(Detail)
#: Most points one object may have: the memory of a network's attention grows with the square of their number.
MAX_POINTS_PER_OBJECT = 1000
#: How many prompts a message names before it only counts.
NAMED = 5


class Steps(NamedTuple):
    """When the parts of a prompt were given, 0 first; equal numbers were given together."""

    points: NDArray[np.int64]
    """(K,) of each point, never decreasing."""
    box: int = 0
    """Of the box; 0 without one."""
    polygon: int = 0
    """Of the polygon; 0 without one."""

    @classmethod
    def ranked(cls, points: NDArray[Any], box: float | None, polygon: float | None) -> Steps | None:
        """Steps from numbers that only order the parts, None for a part that is not there; None if all are equal."""
        numbers = sorted({*points.tolist(), box, polygon} - {None})
        if len(numbers) < 2:
            return None
        place = {number: rank for rank, number in enumerate(numbers)}
        ranks = np.array([place[number] for number in points.tolist()], np.int64)
        return cls(ranks, place.get(box, 0), place.get(polygon, 0))

    @property
    def latest(self) -> int:
        """The last one."""
        return max(self.box, self.polygon, int(self.points[-1]) if len(self.points) else 0)


@dataclass(frozen=True, eq=False, slots=True)
class Prompt:
    """One object to find, in map coordinates.

    Raises:
        EmptyPrompt: nothing in it includes anything, or its box or polygon has no area.
        PromptError: coordinates that are not finite, labels other than 0 and 1, too many points, ...
    """

    id: str | int
    """The object's name in the prompt layer; `prompt_id` of the result."""
    crs: CRS
    """The CRS of all its coordinates."""
    points_xy: Floats = field(default_factory=lambda: np.empty((0, 2)))
    """(K, 2) points, in the order they were given."""
    labels: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    """(K,) 1 includes, 0 excludes."""
    box_xyxy: Box | None = None
    """(xmin, ymin, xmax, ymax)."""
    polygon: Any = None
    """A shapely Polygon or MultiPolygon that serves as a mask, or None."""
    granularity: Detail = "auto"
    """Which of the masks of an ambiguous prompt is wanted."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the user that travel to the result."""
    source: str = "prompt"
    """Where it was given, for messages: file, layer and feature, or the option."""
    outline: Any = None
    """A shapely polygon that the box was drawn around, or None: on a rotated grid its envelope is the tighter box."""
    steps: Steps | None = None
    """When its parts were given, which replay follows; None: all at once."""

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.points_xy.shape != (count, 2):
            raise ValueError(f"points (K, 2) and labels (K,) expected, got {self.points_xy.shape} and {count} labels")
        if self.steps is not None and (
            len(self.steps.points) != count or (np.diff(self.steps.points, prepend=0) < 0).any()
        ):
            raise ValueError(f"steps (K,) from 0 up expected for {count} points, got {self.steps.points}")
        if count > MAX_POINTS_PER_OBJECT:
            raise PromptError(
                f"too many points for one object: {self.source}: {count}, at most {MAX_POINTS_PER_OBJECT} wanted. "
                "Give every object its own object_id, or thin its points out."
            )
        if not np.isfinite(self.points_xy).all():
            bad = self.points_xy[~np.isfinite(self.points_xy).all(axis=1)][0].tolist()
            raise PromptError(f"coordinates are not finite: {self.source}: {bad}, finite numbers wanted. Correct them.")
        if ((self.labels != 0) & (self.labels != 1)).any():
            raise PromptError(f"unknown label: {self.source}: {self.labels.max()}, 1 (include) or 0 (exclude) wanted.")
        if self.granularity not in DETAILS:
            raise PromptError(f"unknown granularity: {self.source}: {self.granularity!r}, one of {DETAILS} wanted.")
        if self.box_xyxy is not None:
            _check_box(self.box_xyxy, self.source)
        if self.polygon is not None:
            _check_polygon(self.polygon, self.source)
        if self.box_xyxy is None and self.polygon is None and not self.labels.any():
            raise EmptyPrompt(
                f"nothing to select: {self.source}: {count} excluding points only, at least one including point "
                "or a box wanted. Add one (label 1); points of one object share its object_id."
            )


@dataclass(frozen=True, eq=False, slots=True)
class ScenePrompt:
    """A prompt in corner-based pixels of the scene."""

    index: int
    """Its position in the list of prompts it was made from."""
    points_xy: Floats
    """(K, 2) sub-pixel points inside the scene."""
    labels: NDArray[np.int8]
    """(K,) 1 includes, 0 excludes."""
    box_xyxy: Box | None
    """Box clipped to the scene."""
    polygon: Any
    """Mask polygon (not clipped), or None."""
    granularity: Detail
    """Which of the masks of an ambiguous prompt is wanted."""
    bounds_xyxy: Box
    """Envelope of points, box and polygon, inside the scene."""
    steps: Steps | None = None
    """When its parts were given; None: all at once."""

    @property
    def ends_with_polygon(self) -> bool:
        """Whether there is a polygon and no part was given after it."""
        return self.polygon is not None and (self.steps is None or self.steps.polygon == self.steps.latest)

    def history(self) -> list[ScenePrompt]:
        """What had been given after each of its steps, from the first after which something includes; all of it last.

        The bounds are those of what had been given.
        """
        if self.steps is None:
            return [self]
        steps = {*self.steps.points.tolist(), self.steps.box, self.steps.polygon} - {self.steps.latest}
        earlier = [self._until(step, self.steps) for step in sorted(steps)]
        return [*(given for given in earlier if given is not None), self]

    def _until(self, step: int, steps: Steps) -> ScenePrompt | None:
        """What had been given after a step, None if nothing in it includes."""
        count = int(np.searchsorted(steps.points, step, side="right"))
        points, labels = self.points_xy[:count], self.labels[:count]
        box = self.box_xyxy if steps.box <= step else None
        polygon = self.polygon if steps.polygon <= step else None
        areas = [area for area in (box, polygon and polygon.bounds) if area is not None]
        if not (areas or labels.any()):
            return None
        x0, y0, x1, y1 = self.bounds_xyxy
        corners = np.concatenate([points, np.array(areas, np.float64).reshape(-1, 2)])
        corners = np.clip(corners, (x0, y0), (x1, y1))  # polygons may reach over the edge of the scene
        then = Steps(steps.points[:count], *(given if given <= step else 0 for given in steps[1:]))
        bounds = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        return replace(
            self, points_xy=points, labels=labels, box_xyxy=box, polygon=polygon, bounds_xyxy=bounds, steps=then
        )


def with_granularity(prompts: Iterable[Prompt], granularity: Detail) -> list[Prompt]:
    """The prompts, with `granularity` in those that say nothing of their own."""
    silent = {"auto"} - {granularity}
    return [replace(p, granularity=granularity) if p.granularity in silent else p for p in prompts]


def _check_box(box: Box, source: str) -> None:
    if not np.isfinite(box).all():
        raise PromptError(f"coordinates are not finite: {source}: box {box}, finite numbers wanted. Correct them.")
    xmin, ymin, xmax, ymax = box
    if not (xmin < xmax and ymin < ymax):
        raise EmptyPrompt(f"the box has no area: {source}: {box}, XMIN < XMAX and YMIN < YMAX wanted. Correct it.")


def _check_polygon(polygon: Any, source: str) -> None:
    if shapely.get_type_id(polygon) not in {shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON}:
        raise PromptError(f"not a mask: {source}: {polygon.geom_type}, Polygon or MultiPolygon wanted.")
    if not (shapely.is_valid(polygon) and shapely.area(polygon) > 0):
        reason = shapely.is_valid_reason(polygon)
        raise EmptyPrompt(f"the polygon has no area or is not valid: {source}: {reason}. Repair the polygon.")
