"""Drafts as prompts and prompts as drafts: what was said on a map, and what a prompt layer keeps of it."""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pyproj.exceptions import CRSError

from geosam.errors import EmptyPrompt, PromptError
from geosam.geometry.geobox import map_crs
from geosam.prompts.draft import Draft, Step
from geosam.prompts.prompt import Prompt, Steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyproj import CRS

    from geosam.prompts.draft import Ring


def prompt_of(
    draft: Draft,
    id: str | int = 1,  # noqa: A002 - its name everywhere
    attributes: Mapping[str, Any] | None = None,
    *,
    source: str = "the draft",
) -> Prompt:
    """The prompt that a draft is; written to a prompt layer and replayed, it gives the polygon the session showed.

    Args:
        draft: every step of it becomes one of the prompt's.
        id: the object's name.
        attributes: columns that travel to the result.
        source: what to call it in messages.

    Raises:
        EmptyPrompt: nothing in it includes anything, or its box or mask has no area.
        PromptError: its CRS is unknown, or see :class:`~geosam.prompts.prompt.Prompt`.
    """
    for ring in (ring for step in draft.steps for ring in step.rings):
        if not np.isfinite(ring).all():
            raise PromptError(f"coordinates are not finite: {source}: {ring}, finite numbers wanted. Correct them.")
    at: dict[str, float] = {}
    areas: dict[str, Any] = {}
    for number, step in enumerate(draft.steps):
        if step.kind != "point":
            at[step.kind] = number
            areas[step.kind] = (_hull if step.kind == "box" else _polygon)(step.rings, source)
    clicks = [(number, step) for number, step in enumerate(draft.steps) if step.kind == "point"]
    outline = areas.get("box")
    return Prompt(
        id,
        known_crs(draft.crs, source),
        np.array([step.rings[0][0] for _, step in clicks], np.float64).reshape(-1, 2),
        np.array([step.label for _, step in clicks], np.int8),
        None if outline is None else outline.bounds,
        areas.get("mask"),
        draft.granularity,  # type: ignore[arg-type]  # checked by Prompt
        attributes or {},
        source,
        outline,
        Steps.ranked(np.array([number for number, _ in clicks]), at.get("box"), at.get("mask")),
    )


def draft_of(prompt: Prompt) -> Draft:
    """The draft to go on with from a prompt, of a prompt layer for instance; the inverse of :func:`prompt_of`.

    A draft says one thing after another: what a prompt was given at once becomes the box, the mask and the points, in
    that order. A box whose outline has other than four corners becomes its envelope.
    """
    given = prompt.steps or Steps(np.zeros(len(prompt.labels), np.int64))
    parts: list[tuple[int, Step]] = []
    if prompt.box_xyxy is not None:
        corners = shapely.get_coordinates(prompt.outline)[:-1]
        if len(corners) != 4:
            corners = shapely.get_coordinates(shapely.box(*prompt.box_xyxy))[:-1]
        parts.append((given.box, Step("box", 1, (_ring(corners),))))
    if prompt.polygon is not None:
        rings = shapely.get_rings(prompt.polygon)
        parts.append((given.polygon, Step("mask", 1, tuple(_ring(shapely.get_coordinates(r)[:-1]) for r in rings))))
    for number, label, place in zip(given.points.tolist(), prompt.labels.tolist(), prompt.points_xy, strict=True):
        parts.append((number, Step("point", label, (_ring(place[None]),))))
    known = prompt.crs.to_authority(min_confidence=100)
    crs = ":".join(known) if known is not None else prompt.crs.to_wkt()
    return Draft(crs, tuple(step for _, step in sorted(parts, key=itemgetter(0))), prompt.granularity)


def known_crs(crs: CRS | str, source: str) -> CRS:
    """A CRS that is one, or is named as a draft names it.

    Raises:
        PromptError: PROJ does not know it.
    """
    try:
        return _of_text(crs) if isinstance(crs, str) else crs
    except CRSError:
        raise PromptError(
            f"unknown CRS: {source}: {str(crs)[:80]!r}, EPSG:... or WKT wanted. Choose another."
        ) from None


@lru_cache(maxsize=64)
def _of_text(text: str) -> CRS:
    return map_crs(text)


def _ring(xy: Any) -> Ring:
    return tuple((x, y) for x, y in xy.tolist())


def _hull(rings: Sequence[Ring], source: str) -> Any:
    """The box with these corners, as it comes back from a prompt layer."""
    return _area(shapely.convex_hull(shapely.multipoints(rings[0])), f"the box has no area: {source}")


def _polygon(rings: Sequence[Ring], source: str) -> Any:
    """The area that lies within an odd number of rings."""
    drawn = shapely.polygons([shapely.linearrings(ring) for ring in rings])
    if len(drawn) == 1 and drawn[0].is_valid:
        return drawn[0]
    parts = shapely.get_parts(shapely.make_valid(shapely.multipolygons(drawn)))
    areas = shapely.get_parts(parts[shapely.get_dimensions(parts) == 2])
    whole = areas[0] if len(areas) == 1 else shapely.multipolygons(areas)
    return _area(whole, f"the polygon has no area: {source}")


def _area(shape: Any, what: str) -> Any:
    if shape.area <= 0:
        raise EmptyPrompt(f"{what}: all on one line, an area wanted. Draw it again.")
    return shape
