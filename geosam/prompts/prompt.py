"""Prompts: one object to find, in map coordinates (`Prompt`) and in pixels of a scene (`ScenePrompt`).

A prompt describes one object by points that include or exclude, a box, or a polygon that serves as a mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, get_args

import numpy as np

from geosam.errors import EmptyPrompt, PromptError
from geosam.geometry.geobox import crs_name
from geosam.prompts.parts import box_of, check_mask, labels_of, points_of, stated_crs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from pyproj import CRS

    from geosam._arrays import Floats, Integers, PointLabels


Granularity: TypeAlias = Literal["auto", "part", "whole", "group"]
Box: TypeAlias = tuple[float, float, float, float]

#: Levels of detail that a prompt may have; "auto" leaves the choice to the model.
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
#: Most points of one object: the memory of a network's attention grows with the square of their number.
MAX_POINTS_PER_OBJECT = 1000
#: Largest number of prompts that a message names; it only counts the others.
NAMED = 5


class Steps(NamedTuple):
    """Order in which the parts of a prompt were given, 0 first; equal numbers were given together."""

    points: Integers
    """(K,) step of each point, never decreasing."""
    box: int = 0
    """Step of the box; 0 without one."""
    polygon: int = 0
    """Step of the polygon; 0 without one."""

    @classmethod
    def ranked(cls, points: NDArray[Any], box: float | None, polygon: float | None) -> Steps | None:
        """Make steps from numbers in any range, of which only the order counts.

        Args:
            points: (K,) numbers of the points.
            box: number of the box, None without one.
            polygon: number of the polygon, None without one.

        Returns:
            The steps from 0 up; None if all numbers are equal, because then the parts have no order.
        """
        numbers = sorted({*points.tolist(), box, polygon} - {None})
        if len(numbers) < 2:  # all parts were given together
            return None
        rank_of = {number: rank for rank, number in enumerate(numbers)}
        ranks = np.array([rank_of[number] for number in points.tolist()], np.int64)
        return cls(ranks, rank_of.get(box, 0), rank_of.get(polygon, 0))

    @property
    def latest(self) -> int:
        """The last step."""
        return max(self.box, self.polygon, int(self.points[-1]) if len(self.points) else 0)


@dataclass(frozen=True, eq=False, slots=True, init=False, repr=False)
class Prompt:
    """One object to find, in map coordinates.

    `Prompt.point`, `Prompt.box` and `Prompt.polygon` make prompts of one part; the constructor takes several::

        Prompt.point(13.37, 52.52, crs="EPSG:4326")
        Prompt(crs="EPSG:32633", points_xy=[[500120, 4649880], [500131, 4649880]], labels=[1, 0])

    The CRS may be a text, an EPSG number, or a CRS of pyproj or rasterio; the coordinates may be lists.

    Raises:
        EmptyPrompt: it has no including point, box or mask, or its box or mask has no area.
        CRSMismatch: no CRS is given.
        PromptError: the CRS is unknown, coordinates are not finite, labels are not 0 or 1, there are too many points,
            or a part has another form than its field describes.
    """

    id: str | int
    """Name of the object in the prompt layer; `prompt_id` of the result."""
    crs: CRS
    """CRS of all its coordinates."""
    points_xy: Floats
    """(K, 2) points (x, y), in the order in which they were given."""
    labels: PointLabels
    """(K,) 1 includes, 0 excludes; by default all points include."""
    box_xyxy: Box | None
    """(xmin, ymin, xmax, ymax)."""
    mask: Any
    """Shapely Polygon or MultiPolygon that serves as a mask, or None."""
    granularity: Granularity
    """Level of detail, which chooses a mask if a prompt is ambiguous."""
    attributes: Mapping[str, Any]
    """Columns of the user, which are copied to the result."""
    source: str
    """Place of the prompt for messages: file, layer and feature, or the name of a parameter."""
    outline: Any
    """Shapely polygon that the box was drawn around, or None. On a rotated grid its envelope in pixels is smaller than
    that of the box."""
    steps: Steps | None
    """Order in which its parts were given, and are replayed; None if they were given at once."""

    def __init__(
        self,
        id: str | int = 1,  # noqa: A002 - the name of the field and of the column
        crs: Any = None,
        points_xy: ArrayLike = (),
        labels: ArrayLike | None = None,
        *,
        box_xyxy: Sequence[float] | None = None,
        mask: Any = None,
        granularity: Granularity = "auto",
        attributes: Mapping[str, Any] | None = None,
        source: str = "prompt",
        outline: Any = None,
        steps: Steps | None = None,
    ) -> None:
        xy = points_of(points_xy, source)
        values = {
            "id": id,
            "crs": stated_crs(crs, source),
            "points_xy": xy,
            "labels": np.ones(len(xy), np.int8) if labels is None else labels_of(labels, source),
            "box_xyxy": None if box_xyxy is None else box_of(box_xyxy, source),
            "mask": mask,
            "granularity": granularity,
            "attributes": {} if attributes is None else attributes,
            "source": source,
            "outline": outline,
            "steps": steps,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the only place that writes fields of a frozen value
        self._check()

    @classmethod
    def point(cls, x: float, y: float, *, crs: Any, id: str | int = 1, label: int = 1, **fields: Any) -> Self:  # noqa: A002 - the field is called so in files and results
        """Make a prompt of one point (x, y): easting or longitude first."""
        return cls(id, crs, [[x, y]], [label], **fields)

    @classmethod
    def box(
        cls,
        xmin: float,
        ymin: float,
        xmax: float,
        ymax: float,
        *,
        crs: Any,
        id: str | int = 1,  # noqa: A002 - the field is called so in files and results
        **fields: Any,
    ) -> Self:
        """Make a prompt of one box."""
        return cls(id, crs, box_xyxy=(xmin, ymin, xmax, ymax), **fields)

    @classmethod
    def polygon(cls, geometry: Any, *, crs: Any, id: str | int = 1, **fields: Any) -> Self:  # noqa: A002 - the field is called so in files and results
        """Make a prompt of a shapely Polygon or MultiPolygon that serves as a mask."""
        return cls(id, crs, mask=geometry, **fields)

    def __repr__(self) -> str:
        included = int(np.count_nonzero(self.labels))
        counts = {"including points": included, "excluding points": len(self.labels) - included}
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        parts += [name for name, part in (("a box", self.box_xyxy), ("a mask", self.mask)) if part is not None]
        return f"Prompt(id={self.id!r}, crs={crs_name(self.crs)!r}, {', '.join(parts)}, source={self.source[:60]!r})"

    def _check(self) -> None:
        count, source = len(self.labels), self.source
        if len(self.points_xy) != count:
            raise PromptError(
                f"points and labels differ in number: {source}: found {len(self.points_xy)} points and {count} "
                "labels, expected one label for each point.",
                remedy="Write 1 to include and 0 to exclude, or leave the labels out to include all.",
                code="labels-do-not-fit",
                points=len(self.points_xy),
                labels=count,
            )
        if self.steps is not None and (
            len(self.steps.points) != count or (np.diff(self.steps.points, prepend=0) < 0).any()
        ):
            raise ValueError(f"steps do not fit {count} points: found {self.steps.points}, expected (K,) from 0 up")
        if count > MAX_POINTS_PER_OBJECT:
            raise PromptError(
                f"too many points for one object: {source}: found {count}, expected at most {MAX_POINTS_PER_OBJECT}.",
                remedy="Give every object its own object_id, or thin its points out.",
                code="too-many-points",
                points=count,
                most=MAX_POINTS_PER_OBJECT,
            )
        if self.granularity not in GRANULARITIES:
            raise PromptError(
                f"unknown granularity: {source}: found {self.granularity!r}, expected one of "
                f"{', '.join(GRANULARITIES)}.",
                code="unknown-granularity",
                granularity=self.granularity,
            )
        if self.mask is not None:
            check_mask(self.mask, source)
        if self.box_xyxy is None and self.mask is None and not self.labels.any():
            raise EmptyPrompt(
                f"the prompt selects nothing: {source}: found {count} excluding points only, expected at least one "
                "including point, a box or a mask.",
                remedy="Add a point with label 1; points of one object share its object_id.",
                code="nothing-to-select",
            )


@dataclass(frozen=True, eq=False, slots=True)
class ScenePrompt:
    """A prompt in corner-based pixels of the scene."""

    index: int
    """Position of its :class:`Prompt` in the list that was placed."""
    points_xy: Floats
    """(K, 2) sub-pixel points inside the scene."""
    labels: PointLabels
    """(K,) 1 includes, 0 excludes."""
    box_xyxy: Box | None
    """Box clipped to the scene, or None."""
    polygon: Any
    """Mask polygon (not clipped), or None."""
    granularity: Granularity
    """Level of detail, which chooses a mask if a prompt is ambiguous."""
    bounds_xyxy: Box
    """Envelope of points, box and polygon, inside the scene."""
    steps: Steps | None = None
    """Order in which its parts were given; None if they were given at once."""

    @property
    def ends_with_polygon(self) -> bool:
        """True if there is a polygon and no part was given after it."""
        return self.polygon is not None and (self.steps is None or self.steps.polygon == self.steps.latest)

    def history(self) -> list[ScenePrompt]:
        """List the prompt as it was after each of its steps.

        Returns:
            Prompts with the parts given until then, and their bounds; the whole prompt last. The list begins with the
            first one that has an including part.
        """
        if self.steps is None:
            return [self]
        # The last step is the prompt itself. Step 0 of a missing box or polygon does no harm, because states without an
        # including part are left out.
        steps = {*self.steps.points.tolist(), self.steps.box, self.steps.polygon} - {self.steps.latest}
        earlier = [self._until(step, self.steps) for step in sorted(steps)]
        return [*(state for state in earlier if state is not None), self]

    def _until(self, step: int, steps: Steps) -> ScenePrompt | None:
        """Return the prompt as it was after a step; None if it had no including part."""
        count = int(np.searchsorted(steps.points, step, side="right"))  # points are sorted by step
        points, labels = self.points_xy[:count], self.labels[:count]
        box = self.box_xyxy if steps.box <= step else None
        polygon = self.polygon if steps.polygon <= step else None
        areas = [area for area in (box, polygon and polygon.bounds) if area is not None]
        if not (areas or labels.any()):
            return None  # excluding points alone select nothing
        x0, y0, x1, y1 = self.bounds_xyxy
        corners = np.concatenate([points, np.array(areas, np.float64).reshape(-1, 2)])
        corners = np.clip(corners, (x0, y0), (x1, y1))  # polygons are not clipped, and may reach beyond the scene
        then = Steps(steps.points[:count], *(part if part <= step else 0 for part in steps[1:]))
        bounds = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        return replace(
            self, points_xy=points, labels=labels, box_xyxy=box, polygon=polygon, bounds_xyxy=bounds, steps=then
        )


def with_granularity(prompts: Iterable[Prompt], granularity: Granularity) -> list[Prompt]:
    """Set the granularity of prompts that have none of their own."""
    if granularity == "auto":
        return list(prompts)
    return [replace(p, granularity=granularity) if p.granularity == "auto" else p for p in prompts]
