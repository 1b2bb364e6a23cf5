"""Placement: prompts in any CRS become prompts in pixels of a scene.

Pixels are half-open: a point on the right or lower edge of the scene is outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import Transformer
from pyproj.enums import TransformDirection
from pyproj.exceptions import ProjError

from geosam.errors import CRSMismatch, PromptOutsideScene
from geosam.geometry.measure import beyond_degrees, full_turn
from geosam.prompts.prompt import NAMED, ScenePrompt, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyproj import CRS

    from geosam._arrays import BoolArray, Floats, Geometries, Indexes, PointLabels
    from geosam.geometry.geobox import GeoBox, Window
    from geosam.prompts.prompt import Box, Prompt

#: Edges are cut into pieces of at most 1 / EDGE_PIECES of their shape's extent, because they are curves in another CRS.
EDGE_PIECES = 20
#: Largest difference (pixels) of coordinates that were transformed to the scene's CRS and back; others are refused.
ROUND_TRIP_PX = 0.5
#: Number of points, boxes and polygons that are transformed at once, which bounds the memory for cut edges.
BLOCK = 16384


def to_scene(
    prompts: Sequence[Prompt], geobox: GeoBox, *, skip_outside: bool = False
) -> tuple[list[ScenePrompt], list[str]]:
    """Place prompts on the scene's pixel grid, in the given order.

    Boxes and polygons that reach over the edge are clipped, with a warning.

    Args:
        prompts: prompts in map coordinates.
        geobox: pixel grid of the scene.
        skip_outside: True to leave out points, boxes and polygons that lie completely outside, and then prompts without
            an including part, with a warning. False refuses them.

    Returns:
        The placed prompts, and warnings.

    Raises:
        PromptOutsideScene: a point, or a whole box or polygon, lies outside the scene.
        CRSMismatch: coordinates are too large for their CRS, or the scene's CRS cannot express them.
    """
    if not prompts:
        return [], []
    parts = _Parts.of(prompts)
    envelopes, polygons = _place(parts, prompts, geobox, skip_outside=skip_outside)
    clipped, kept = _clip(parts.kind, envelopes, polygons, geobox)

    out = parts.owner[~kept]
    if len(out) and not skip_outside:
        raise _outside(prompts, out, envelopes[~kept][0], geobox)
    cut = kept & (clipped != envelopes).any(axis=1)
    # Prompts that have an including part left.
    selecting = np.bincount(parts.owner[kept & (parts.labels == 1)], minlength=len(prompts)) > 0
    useless = np.setdiff1d(parts.owner[kept], np.flatnonzero(selecting))
    warnings = _note(prompts, out, "outside the scene, left out")
    warnings += _note(prompts, useless, "nothing that includes is left inside the scene, left out")
    warnings += _note(prompts, parts.owner[cut], "reaches over the edge of the scene, clipped")
    return _assemble(prompts, parts, np.flatnonzero(kept & selecting[parts.owner]), clipped, polygons), warnings


_POINT, _BOX, _POLYGON = range(3)


@dataclass(frozen=True, eq=False, slots=True)
class _Parts:
    """Points, boxes and polygons (the G parts) of many prompts in one column."""

    # So PROJ is called once for each CRS, and not for each prompt: a layer may have a million of them.

    kind: Indexes
    """(G,) _POINT for all points in the order of the prompts, then _BOX for all boxes, then _POLYGON."""
    owner: Indexes
    """(G,) position of the prompt that the part belongs to."""
    places: Indexes
    """(G,) position of a point among those of its prompt, 0 for boxes and polygons."""
    labels: PointLabels
    """(G,) 1 includes (boxes and polygons do), 0 excludes."""
    shapes: Geometries
    """(G,) shapely geometries in map coordinates."""

    @classmethod
    def of(cls, prompts: Sequence[Prompt]) -> _Parts:
        """Collect the parts of prompts."""
        boxed = [i for i, prompt in enumerate(prompts) if prompt.box_xyxy is not None]
        masked = [i for i, prompt in enumerate(prompts) if prompt.mask is not None]
        counts = np.array([len(prompt.labels) for prompt in prompts])
        points = shapely.points(np.concatenate([prompt.points_xy for prompt in prompts]))
        begins = np.repeat(np.cumsum(counts) - counts, counts)
        upright = shapely.box(*np.array([prompts[i].box_xyxy for i in boxed], np.float64).reshape(-1, 4).T)
        boxes = [prompts[i].outline or box for i, box in zip(boxed, upright, strict=True)]
        return cls(
            np.repeat([_POINT, _BOX, _POLYGON], [len(points), len(boxed), len(masked)]),
            np.concatenate([np.repeat(np.arange(len(prompts)), counts), np.array(boxed + masked, np.intp)]),
            np.concatenate([np.arange(len(points)) - begins, np.zeros(len(boxed + masked), np.intp)]),
            np.concatenate([*(prompt.labels for prompt in prompts), np.ones(len(boxed + masked), np.int8)]),
            np.array([*points, *boxes, *(prompts[i].mask for i in masked)], object),
        )


def _by_crs(prompts: Sequence[Prompt]) -> Iterator[tuple[CRS, BoolArray]]:
    """Yield every CRS in use, and mark the prompts in it (N,)."""
    # By identity first, because comparing two CRSs takes longer than transforming a point.
    objects = {id(prompt.crs): prompt.crs for prompt in prompts}
    numbers = {crs: number for number, crs in enumerate(dict.fromkeys(objects.values()))}
    number_of = {key: numbers[crs] for key, crs in objects.items()}
    used = np.array([number_of[id(prompt.crs)] for prompt in prompts])
    return ((crs, used == number) for crs, number in numbers.items())


def _place(
    parts: _Parts, prompts: Sequence[Prompt], geobox: GeoBox, *, skip_outside: bool
) -> tuple[Floats, Geometries]:
    """Transform parts to pixels.

    Returns:
        Envelopes (G, 4) and polygons (G,) in pixels. An envelope is NaN if the scene's CRS cannot express the part, and
        `skip_outside` allows to leave it out.
    """
    envelopes, polygons = np.empty((len(parts.owner), 4)), np.full(len(parts.owner), None, object)
    for crs, members in _by_crs(prompts):
        way = _Way.between(crs, geobox)
        rows = np.flatnonzero(members[parts.owner])
        for block in np.split(rows, range(BLOCK, len(rows), BLOCK)):
            shapes = way.curved(parts.shapes[block])
            xy, part_of = shapely.get_coordinates(shapes, return_index=True)
            owner = parts.owner[block[part_of]]
            pixels, trusted = way.to_pixel(xy)
            lost = beyond_degrees(crs, xy)
            # Not skipped if it seems to lie inside: an object there would get lost.
            lost |= ~trusted & (_inside(pixels, geobox) | (not skip_outside))
            if lost.any():
                first = int(np.argmax(lost))
                raise _mismatch(prompts[owner[first]], xy[first], geobox)
            pixels[~trusted] = np.nan  # so that the envelope of the whole part becomes NaN
            starts = np.searchsorted(part_of, np.arange(len(block)))
            envelopes[block] = np.hstack([np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)])
            masks = (parts.kind[block] == _POLYGON) & np.isfinite(envelopes[block]).all(axis=1)
            polygons[block[masks]] = shapely.set_coordinates(shapes[masks], pixels[masks[part_of]])
    return envelopes, polygons


@dataclass(frozen=True, eq=False, slots=True)
class _Way:
    """Transformation from map coordinates in one CRS to pixels of a scene."""

    geobox: GeoBox
    """Grid of the scene."""
    transformer: Transformer | None
    """Transformation to the scene's CRS, None if the coordinates are in it."""

    @classmethod
    def between(cls, crs: CRS, geobox: GeoBox) -> _Way:
        if crs.equals(geobox.crs, ignore_axis_order=True):
            return cls(geobox, None)
        try:
            return cls(geobox, _transformer(crs, geobox.crs))
        except ProjError as error:
            raise CRSMismatch(
                f"the prompts cannot be transformed to the scene: found {crs.name} of the prompts and "
                f"{geobox.crs.name} of the scene, expected two CRSs that PROJ can connect.",
                remedy="Give the CRS of the prompts, `prompt_crs`, or of the scene, `crs`.",
                code="prompt-crs-unreachable",
                crs=crs.name,
            ) from error

    def curved(self, shapes: Geometries) -> Geometries:
        """Cut the edges of shapes into short pieces, because straight edges are curves in another CRS."""
        if self.transformer is None:
            return shapes
        bounds = shapely.bounds(shapes)
        extent = (bounds[:, 2:] - bounds[:, :2]).max(axis=1)
        return np.asarray(shapely.segmentize(shapes, np.where(extent > 0, extent / EDGE_PIECES, 1.0)))

    def to_pixel(self, xy: Floats) -> tuple[Floats, BoolArray]:
        """Transform coordinates (N, 2) to pixels (N, 2), and mark those that can be trusted (N,)."""
        # Outside the area of a projection PROJ returns numbers without a warning; only the inverse shows that they are
        # wrong. Its result is transformed once more, to be compared in pixels.
        with np.errstate(over="ignore", invalid="ignore"):
            if self.transformer is None:
                pixels = again = _to_pixel(xy, self.geobox)
            else:
                there = self.transformer.transform(xy[:, 0], xy[:, 1])
                back = self.transformer.transform(*there, direction=TransformDirection.INVERSE)
                pixels = _to_pixel(np.stack(there, axis=1), self.geobox)
                again = _to_pixel(np.stack(self.transformer.transform(*back), axis=1), self.geobox)
            trusted = np.abs(pixels - again).max(axis=1) < ROUND_TRIP_PX
        return pixels, trusted


@lru_cache(maxsize=64)
def _transformer(crs: CRS, other: CRS) -> Transformer:
    """Return a cached transformer: making one takes up to 70 ms, too long for a click. Threads may share it."""
    return Transformer.from_crs(crs, other, always_xy=True)


def _to_pixel(map_xy: Floats, geobox: GeoBox) -> Floats:
    """Return pixel coordinates (N, 2); a longitude changes by full turns if that brings it nearer to the scene."""
    if geobox.crs.is_geographic:
        turn, west, east = full_turn(geobox.crs), geobox.bounds[0], geobox.bounds[2]
        turns = np.round((map_xy[:, 0] - (west + east) / 2) / turn)
        map_xy = map_xy - np.stack([turns * turn, np.zeros_like(turns)], axis=1)
    return geobox.to_pixel(map_xy)


def _inside(px_xy: Floats, geobox: GeoBox) -> BoolArray:
    return np.asarray(((px_xy >= 0) & (px_xy < (geobox.width, geobox.height))).all(axis=1))


def _clip(kind: Indexes, envelopes: Floats, polygons: Geometries, geobox: GeoBox) -> tuple[Floats, BoolArray]:
    """Clip envelopes (G, 4) to the scene, and mark the parts (G,) that share more than an edge with it."""
    size = (geobox.width, geobox.height)
    clipped = np.clip(envelopes, 0, (*size, *size))
    covers = (clipped[:, :2] < clipped[:, 2:]).all(axis=1)
    # The envelope of a polygon may meet the scene although the polygon passes by.
    covers &= (kind != _POLYGON) | (shapely.area(shapely.clip_by_rect(polygons, 0, 0, *size)) > 0)
    return clipped, np.where(kind == _POINT, _inside(envelopes[:, :2], geobox), covers)


def _assemble(
    prompts: Sequence[Prompt],
    parts: _Parts,
    rows: Indexes,
    clipped: Floats,
    polygons: Geometries,
) -> list[ScenePrompt]:
    """Make prompts of the parts with numbers `rows`, whose envelopes lie inside the scene."""
    kind, owner, low, high = parts.kind[rows], parts.owner[rows], clipped[rows, :2], clipped[rows, 2:]
    bounds = np.full((len(prompts), 4), (np.inf, np.inf, -np.inf, -np.inf))
    np.minimum.at(bounds[:, :2], owner, low)
    np.maximum.at(bounds[:, 2:], owner, high)
    points = rows[kind == _POINT]
    ends = np.cumsum(np.bincount(parts.owner[points], minlength=len(prompts)))
    slices = [slice(*pair) for pair in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
    boxes = {i: _box(clipped[row]) for i, row in zip(owner[kind == _BOX].tolist(), rows[kind == _BOX], strict=True)}
    masks = dict(zip(owner[kind == _POLYGON].tolist(), polygons[rows[kind == _POLYGON]], strict=True))
    points_xy, labels, places = clipped[points, :2], parts.labels[points], parts.places[points]
    return [
        ScenePrompt(
            i,
            points_xy[slices[i]],
            labels[slices[i]],
            boxes.get(i),
            masks.get(i),
            prompts[i].granularity,
            _box(bounds[i]),
            _steps_left(prompts[i].steps, places[slices[i]], box=i in boxes, polygon=i in masks),
        )
        for i in np.unique(owner).tolist()
    ]


def _steps_left(steps: Steps | None, places: Indexes, *, box: bool, polygon: bool) -> Steps | None:
    """Rank the steps of the parts that are left: the points at `places`, the box and the polygon."""
    if steps is None:
        return None
    return Steps.ranked(steps.points[places], steps.box if box else None, steps.polygon if polygon else None)


def _box(row: Floats) -> Box:
    xmin, ymin, xmax, ymax = row.tolist()
    return xmin, ymin, xmax, ymax


def _outside(prompts: Sequence[Prompt], owners: Indexes, envelope: Floats, geobox: GeoBox) -> PromptOutsideScene:
    """Make the error for parts of the prompts `owners`; `envelope` (4,) is that of the first part, in pixels."""
    size = np.array([geobox.width, geobox.height])
    nearest = np.clip(size / 2, envelope[:2], envelope[2:])  # point of the part nearest to the scene's centre
    here, there = geobox.to_map([nearest, np.clip(nearest, 0, size)])
    distance, unit = float(np.hypot(*(here - there))), "CRS units"
    geod = geobox.crs.get_geod() if geobox.crs.is_geographic else None
    if geod is not None:
        distance, unit = geod.inv(*here, *there)[2], "m"
    elif geobox.crs.is_projected:
        distance, unit = distance * geobox.crs.axis_info[0].unit_conversion_factor, "m"
    others = len(np.unique(owners)) - 1
    return PromptOutsideScene(
        f"a prompt lies outside the scene: {prompts[owners[0]].source}{f' and {others} more' if others else ''}: "
        f"found {distance:.6g} {unit} outside, at pixel {nearest[0]:.6g}, {nearest[1]:.6g}, "
        f"expected 0 <= x < {size[0]} and 0 <= y < {size[1]}.",
        remedy="Check the CRS of the prompts, or leave out those outside with `skip_outside`.",
        code="prompt-outside-scene",
        count=others + 1,
        distance=distance,
        unit=unit,
    )


def _mismatch(prompt: Prompt, xy: Floats, geobox: GeoBox) -> CRSMismatch:
    if beyond_degrees(prompt.crs, xy[None]).any():
        expected = "longitude in -180..180 and latitude in -90..90"
    else:
        expected = f"coordinates that {geobox.crs.name} can express to {ROUND_TRIP_PX} px"
    return CRSMismatch(
        f"coordinates do not fit their CRS: {prompt.source}: found {xy[0]:.10g}, {xy[1]:.10g} as {prompt.crs.name}, "
        f"expected {expected}.",
        remedy="Give the right CRS, `prompt_crs`.",
        code="prompt-crs-mismatch",
        crs=prompt.crs.name,
    )


def _note(prompts: Sequence[Prompt], owners: Indexes, what: str) -> list[str]:
    """Make at most one warning, which names the first prompts."""
    distinct = np.unique(owners).tolist()
    if not distinct:
        return []
    names = "; ".join(prompts[i].source for i in distinct[:NAMED])
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    return [f"{what}: {names}{more}"]


def in_region(placed: Sequence[ScenePrompt], region: Window) -> tuple[list[ScenePrompt], list[ScenePrompt]]:
    """Divide prompts by the region of a scene.

    Args:
        placed: prompts in scene pixels.
        region: a window of the scene.

    Returns:
        The prompts whose bounds meet the region, and the others.
    """
    inside: list[ScenePrompt] = []
    outside: list[ScenePrompt] = []
    for prompt in placed:
        x0, y0, x1, y1 = prompt.bounds_xyxy
        meets = x0 < region.col_end and x1 >= region.col_off and y0 < region.row_end and y1 >= region.row_off
        (inside if meets else outside).append(prompt)
    return inside, outside
