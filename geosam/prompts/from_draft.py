"""Drafts as prompts, which a prompt layer can hold, and prompts as drafts, which a user can continue."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geosam.errors import EmptyPrompt
from geosam.prompts.draft import Draft, Step
from geosam.prompts.parts import not_finite, stated_crs
from geosam.prompts.prompt import Prompt, Steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyproj import CRS

    from geosam.prompts.draft import Ring


def prompt_of(
    draft: Draft,
    id: str | int = 1,  # noqa: A002 - the name of the field and of the column
    attributes: Mapping[str, Any] | None = None,
    *,
    source: str = "the draft",
    crs: CRS | None = None,
) -> Prompt:
    """Turn a draft into a prompt. Replayed from a prompt layer, it gives the polygon that the session showed.

    Args:
        draft: the draft; each of its steps becomes a step of the prompt.
        id: name of the object.
        attributes: columns that are copied to the result.
        source: name of the draft in messages.
        crs: CRS of a draft that names none, usually that of the scene.

    Raises:
        EmptyPrompt: it has no including step, or its box or mask has no area.
        CRSMismatch: the draft names no CRS and `crs` is not given.
        PromptError: its CRS is unknown, or it breaks another rule of :class:`~geosam.prompts.prompt.Prompt`.
    """
    for ring in (ring for step in draft.steps for ring in step.rings):
        # Checked before hull and area are computed, which have no meaning for such a ring.
        if not np.isfinite(ring).all():
            raise not_finite(source, ring[:2])
    numbers: dict[str, float] = {}
    areas: dict[str, Any] = {}
    for number, step in enumerate(draft.steps):
        if step.kind != "point":  # a draft has at most one box and one mask
            numbers[step.kind] = number
            areas[step.kind] = (_hull if step.kind == "box" else _polygon)(step.rings, source)
    clicks = [(number, step) for number, step in enumerate(draft.steps) if step.kind == "point"]
    outline = areas.get("box")
    return Prompt(
        id,
        stated_crs(draft.crs or crs, source),
        np.array([step.rings[0][0] for _, step in clicks], np.float64).reshape(-1, 2),
        np.array([step.label for _, step in clicks], np.int8),
        box_xyxy=None if outline is None else outline.bounds,
        mask=areas.get("mask"),
        granularity=draft.granularity,  # type: ignore[arg-type]  # checked by Prompt
        attributes=attributes,
        source=source,
        outline=outline,
        steps=Steps.ranked(np.array([number for number, _ in clicks]), numbers.get("box"), numbers.get("mask")),
    )


def draft_of(prompt: Prompt) -> Draft:
    """Turn a prompt, for example of a prompt layer, into a draft that a user can continue.

    This is the inverse of :func:`prompt_of`. A draft has its steps one after another, so parts of a prompt that were
    given at once become steps in this order: box, mask, points. A box whose outline has other than four corners becomes
    its envelope.
    """
    order = prompt.steps or Steps(np.zeros(len(prompt.labels), np.int64))
    parts: list[tuple[int, Step]] = []
    if prompt.box_xyxy is not None:
        corners = shapely.get_coordinates(prompt.outline)[:-1]  # without the first one, which the ring repeats
        if len(corners) != 4:
            corners = shapely.get_coordinates(shapely.box(*prompt.box_xyxy))[:-1]
        parts.append((order.box, Step("box", 1, (_ring(corners),))))
    if prompt.mask is not None:
        rings = shapely.get_rings(prompt.mask)
        parts.append((order.polygon, Step("mask", 1, tuple(_ring(shapely.get_coordinates(r)[:-1]) for r in rings))))
    for number, label, place in zip(order.points.tolist(), prompt.labels.tolist(), prompt.points_xy, strict=True):
        parts.append((number, Step("point", label, (_ring(place[None]),))))
    # Only a code that means exactly this CRS: the draft must give the same coordinates again.
    authority = prompt.crs.to_authority(min_confidence=100)
    crs = ":".join(authority) if authority is not None else prompt.crs.to_wkt()
    # Sorting is stable, so parts of one step keep the order above.
    return Draft(crs, tuple(step for _, step in sorted(parts, key=itemgetter(0))), prompt.granularity)


def _ring(xy: Any) -> Ring:
    return tuple((x, y) for x, y in xy.tolist())


def _hull(rings: Sequence[Ring], source: str) -> Any:
    """Return the convex hull of the four corners, as a prompt layer gives a box back."""
    return _area(shapely.convex_hull(shapely.multipoints(rings[0])), f"the box has no area: {source}")


def _polygon(rings: Sequence[Ring], source: str) -> Any:
    """Return the area that lies within an odd number of rings, so that a ring inside another one is a hole."""
    drawn = shapely.polygons([shapely.linearrings(ring) for ring in rings])
    if len(drawn) == 1 and drawn[0].is_valid:
        return drawn[0]
    parts = shapely.get_parts(shapely.make_valid(shapely.multipolygons(drawn)))
    areas = shapely.get_parts(parts[shapely.get_dimensions(parts) == 2])
    whole = areas[0] if len(areas) == 1 else shapely.multipolygons(areas)
    return _area(whole, f"the polygon has no area: {source}")


def _area(shape: Any, what: str) -> Any:
    if shape.area <= 0:
        raise EmptyPrompt(
            f"{what}: found all on one line, expected an area.", remedy="Draw it again.", code="drawing-without-area"
        )
    return shape
