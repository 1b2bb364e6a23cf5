"""Placement: prompts in any CRS onto the pixel grid of a scene.

Coordinates are transformed in one call for each CRS, never prompt by prompt, and have to survive the way back. Pixels
are half-open: a point on the right or lower edge of the scene is outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import Transformer
from pyproj.exceptions import ProjError

from geosam.errors import CRSMismatch, PromptOutsideScene
from geosam.prompts import Box, Prompt, ScenePrompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from pyproj import CRS

    from geosam.geobox import GeoBox
    from geosam.masks import BoolArray
    from geosam.prompts import Floats

#: Pieces an edge of a box or polygon is cut into before it goes to another CRS, where it is a curve.
EDGE_PIECES = 20
#: Prompts whose coordinates come back from the scene's CRS further off than this are not trusted (pixels).
ROUND_TRIP_PX = 0.5
#: How many prompts a message names before it only counts.
NAMED = 5


def to_scene(
    prompts: Sequence[Prompt], geobox: GeoBox, *, skip_outside: bool = False
) -> tuple[list[ScenePrompt], list[str]]:
    """Place prompts on the scene's pixel grid, in the given order; also returns warnings.

    Points, boxes and polygons that lie wholly outside the scene are refused. With `skip_outside` they are left out
    with a warning, and so is a prompt in which nothing that includes is left. What reaches over the edge is clipped,
    with a warning.

    Raises:
        PromptOutsideScene: a point, or a whole box or polygon, lies outside the scene.
        CRSMismatch: coordinates that cannot be in the CRS they claim, or that the scene's CRS cannot express.
    """
    if not prompts:
        return [], []
    parts = _Parts.of(prompts, geobox.crs)
    pixels = _place(parts, prompts, geobox, skip_outside=skip_outside)
    starts = np.searchsorted(parts.part_of, np.arange(len(parts.owner)))
    envelopes = np.hstack([np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)])
    polygons = _pixel_polygons(parts, pixels, envelopes)
    clipped, kept = _clip(parts.kind, envelopes, polygons, geobox)

    out = parts.owner[~kept]
    if len(out) and not skip_outside:
        raise _outside(prompts, out, envelopes[~kept][0], geobox)
    cut = kept & (clipped != envelopes).any(axis=1)
    selecting = np.bincount(parts.owner[kept & (parts.labels == 1)], minlength=len(prompts)) > 0
    useless = np.setdiff1d(parts.owner[kept], np.flatnonzero(selecting))
    warnings = _note(prompts, out, "outside the scene, left out")
    warnings += _note(prompts, useless, "nothing that includes is left inside the scene, left out")
    warnings += _note(prompts, parts.owner[cut], "reaches over the edge of the scene, clipped")
    return _assemble(prompts, parts, np.flatnonzero(kept & selecting[parts.owner]), clipped, polygons), warnings


_POINT, _BOX, _POLYGON = range(3)


@dataclass(frozen=True, eq=False, slots=True)
class _Parts:
    """The points, boxes and polygons of many prompts as one column, so that a CRS costs one call, not one a prompt."""

    kind: NDArray[np.intp]
    """(G,) all points in the order of the prompts, then all boxes, then all polygons."""
    owner: NDArray[np.intp]
    """(G,) the prompt each belongs to."""
    labels: NDArray[np.int8]
    """(G,) 1 includes (boxes and polygons do), 0 excludes."""
    shapes: NDArray[np.object_]
    """(G,) shapely geometries in map coordinates."""
    xy: Floats
    """(C, 2) the coordinates of all geometries."""
    part_of: NDArray[np.intp]
    """(C,) the geometry each coordinate belongs to, increasing."""

    @classmethod
    def of(cls, prompts: Sequence[Prompt], crs: CRS) -> _Parts:
        """Collect the parts; edges that become curves in `crs` are cut into short pieces."""
        boxed = [i for i, prompt in enumerate(prompts) if prompt.box_xyxy is not None]
        masked = [i for i, prompt in enumerate(prompts) if prompt.polygon is not None]
        counts = [len(prompt.labels) for prompt in prompts]
        points = shapely.points(np.concatenate([prompt.points_xy for prompt in prompts]))
        boxes = shapely.box(*np.array([prompts[i].box_xyxy for i in boxed], np.float64).reshape(-1, 4).T)
        shapes = np.array([*points, *boxes, *(prompts[i].polygon for i in masked)], object)
        owner = np.concatenate([np.repeat(np.arange(len(prompts)), counts), np.array(boxed + masked, np.intp)])
        kind = np.repeat([_POINT, _BOX, _POLYGON], [len(points), len(boxed), len(masked)])
        labels = np.concatenate([*(prompt.labels for prompt in prompts), np.ones(len(boxed + masked), np.int8)])

        curved = np.zeros(len(owner), bool)
        for source, members in _by_crs(prompts):
            curved |= (kind != _POINT) & members[owner] & (not _same(source, crs))
        bounds = shapely.bounds(shapes[curved])
        longest = (bounds[:, 2:] - bounds[:, :2]).max(axis=1, initial=0) / EDGE_PIECES
        shapes[curved] = shapely.segmentize(shapes[curved], longest)
        xy, part_of = shapely.get_coordinates(shapes, return_index=True)
        return cls(kind, owner, labels, shapes, xy, part_of)


def _by_crs(prompts: Sequence[Prompt]) -> Iterator[tuple[CRS, BoolArray]]:
    """Every CRS in use, and which of the prompts are in it (N,)."""
    objects = {id(prompt.crs): prompt.crs for prompt in prompts}
    numbers = {crs: number for number, crs in enumerate(dict.fromkeys(objects.values()))}
    number_of = {key: numbers[crs] for key, crs in objects.items()}
    used = np.array([number_of[id(prompt.crs)] for prompt in prompts])
    return ((crs, used == number) for crs, number in numbers.items())


def _same(one: CRS, other: CRS) -> bool:
    return bool(one.equals(other, ignore_axis_order=True))


def _place(parts: _Parts, prompts: Sequence[Prompt], geobox: GeoBox, *, skip_outside: bool) -> Floats:
    """Pixel coordinates (C, 2); NaN where the scene's CRS cannot express a coordinate that may be skipped."""
    pixels = np.empty_like(parts.xy)
    owner = parts.owner[parts.part_of]
    for crs, members in _by_crs(prompts):
        rows = np.flatnonzero(members[owner])
        wild = beyond_degrees(crs, parts.xy[rows])
        if wild.any():
            raise _mismatch(prompts, owner[rows[wild]], parts.xy[rows[wild]], "longitudes and latitudes wanted")
        pixels[rows], trusted = _project(parts.xy[rows], crs, geobox)
        lost = ~trusted & (_inside(pixels[rows], geobox) | (not skip_outside))
        if lost.any():
            wanted = f"what survives the way to {geobox.crs.name} and back within {ROUND_TRIP_PX} px wanted"
            raise _mismatch(prompts, owner[rows[lost]], parts.xy[rows[lost]], wanted)
        pixels[rows[~trusted]] = np.nan
    return pixels


def beyond_degrees(crs: CRS, xy: Floats) -> BoolArray:
    """Which of the coordinates (N, 2) cannot be longitude and latitude although `crs` is geographic (N,).

    Longitudes up to two half turns are fine: scenes across the antimeridian go on beyond 180.
    """
    if not crs.is_geographic:
        return np.zeros(len(xy), bool)
    turn = _turn(crs)
    return np.asarray((np.abs(xy) > (turn, turn / 4 + 1e-9)).any(axis=1))


def _turn(crs: CRS) -> float:
    """A full turn in the units of a geographic CRS: 360 degrees, 400 grads."""
    return float(2 * np.pi / crs.axis_info[0].unit_conversion_factor)


def _project(xy: Floats, crs: CRS, geobox: GeoBox) -> tuple[Floats, BoolArray]:
    """Pixel coordinates (N, 2), and which of them are the same after the way to `crs` and back (N,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        if _same(crs, geobox.crs):
            pixels = again = _to_pixel(xy, geobox)
        else:
            try:
                transformer = Transformer.from_crs(crs, geobox.crs, always_xy=True)
            except ProjError as error:
                raise CRSMismatch(
                    f"No way between two CRSs: {crs.name} of the prompts, {geobox.crs.name} of the scene. "
                    "Pass the CRS of the prompts with --prompt-crs, or of the scene with --crs."
                ) from error
            map_xy = np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=1)
            source_xy = transformer.transform(map_xy[:, 0], map_xy[:, 1], direction="INVERSE")
            pixels = _to_pixel(map_xy, geobox)
            again = _to_pixel(np.stack(transformer.transform(*source_xy), axis=1), geobox)
        trusted = np.abs(pixels - again).max(axis=1, initial=0) < ROUND_TRIP_PX
    return pixels, trusted


def _to_pixel(map_xy: Floats, geobox: GeoBox) -> Floats:
    """Pixel coordinates of (N, 2); longitudes are taken a full turn on when that is nearer to the scene."""
    if geobox.crs.is_geographic:
        turn, west, east = _turn(geobox.crs), geobox.bounds[0], geobox.bounds[2]
        turns = np.round((map_xy[:, 0] - (west + east) / 2) / turn)
        map_xy = map_xy - np.stack([turns * turn, np.zeros_like(turns)], axis=1)
    return geobox.to_pixel(map_xy)


def _inside(px_xy: Floats, geobox: GeoBox) -> BoolArray:
    return np.asarray(((px_xy >= 0) & (px_xy < (geobox.width, geobox.height))).all(axis=1))


def _pixel_polygons(parts: _Parts, pixels: Floats, envelopes: Floats) -> NDArray[np.object_]:
    """(G,) the polygons in pixels; None for points and boxes, and for what could not be placed."""
    polygons = np.full(len(parts.kind), None, object)
    placed = (parts.kind == _POLYGON) & np.isfinite(envelopes).all(axis=1)
    polygons[placed] = shapely.set_coordinates(parts.shapes[placed], pixels[placed[parts.part_of]])
    return polygons


def _clip(
    kind: NDArray[np.intp], envelopes: Floats, polygons: NDArray[np.object_], geobox: GeoBox
) -> tuple[Floats, BoolArray]:
    """Envelopes inside the scene (G, 4), and which parts share more than an edge with it (G,)."""
    size = (geobox.width, geobox.height)
    clipped = np.clip(envelopes, 0, (*size, *size))
    covers = (clipped[:, :2] < clipped[:, 2:]).all(axis=1)
    covers &= (kind != _POLYGON) | (shapely.area(shapely.clip_by_rect(polygons, 0, 0, *size)) > 0)
    return clipped, np.where(kind == _POINT, _inside(envelopes[:, :2], geobox), covers)


def _assemble(
    prompts: Sequence[Prompt],
    parts: _Parts,
    rows: NDArray[np.intp],
    clipped: Floats,
    polygons: NDArray[np.object_],
) -> list[ScenePrompt]:
    """Prompts of the parts `rows`, whose envelopes lie inside the scene."""
    kind, owner, low, high = parts.kind[rows], parts.owner[rows], clipped[rows, :2], clipped[rows, 2:]
    bounds = np.full((len(prompts), 4), (np.inf, np.inf, -np.inf, -np.inf))
    np.minimum.at(bounds[:, :2], owner, low)
    np.maximum.at(bounds[:, 2:], owner, high)
    points = rows[kind == _POINT]
    ends = np.cumsum(np.bincount(parts.owner[points], minlength=len(prompts)))
    slices = [slice(*pair) for pair in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
    boxes = {i: _box(clipped[row]) for i, row in zip(owner[kind == _BOX].tolist(), rows[kind == _BOX], strict=True)}
    masks = dict(zip(owner[kind == _POLYGON].tolist(), polygons[rows[kind == _POLYGON]], strict=True))
    points_xy, labels = clipped[points, :2], parts.labels[points]
    return [
        ScenePrompt(
            i,
            points_xy[slices[i]],
            labels[slices[i]],
            boxes.get(i),
            masks.get(i),
            prompts[i].granularity,
            _box(bounds[i]),
        )
        for i in np.unique(owner).tolist()
    ]


def _box(row: Floats) -> Box:
    xmin, ymin, xmax, ymax = row.tolist()
    return xmin, ymin, xmax, ymax


def _outside(
    prompts: Sequence[Prompt], owners: NDArray[np.intp], envelope: Floats, geobox: GeoBox
) -> PromptOutsideScene:
    """The error for parts of the prompts `owners`; `envelope` (4,) is where the first of them lies, in pixels."""
    size = np.array([geobox.width, geobox.height])
    nearest = np.clip(size / 2, envelope[:2], envelope[2:])
    here, there = geobox.to_map([nearest, np.clip(nearest, 0, size)])
    distance, unit = float(np.hypot(*(here - there))), "CRS units"
    geod = geobox.crs.get_geod() if geobox.crs.is_geographic else None
    if geod is not None:
        distance, unit = geod.inv(*here, *there)[2], "m"
    elif geobox.crs.is_projected:
        distance, unit = distance * geobox.crs.axis_info[0].unit_conversion_factor, "m"
    others = len(np.unique(owners)) - 1
    return PromptOutsideScene(
        f"Prompt outside the scene: {prompts[owners[0]].source}{f' and {others} more' if others else ''}: "
        f"{distance:.1f} {unit} outside, at pixel {nearest[0]:.1f}, {nearest[1]:.1f}, "
        f"less than {size[0]}, {size[1]} and not negative wanted. "
        "Check the CRS of the prompts, or leave them out with --skip-outside."
    )


def _mismatch(prompts: Sequence[Prompt], owners: NDArray[np.intp], xy: Floats, wanted: str) -> CRSMismatch:
    first, others = prompts[owners[0]], len(np.unique(owners)) - 1
    return CRSMismatch(
        f"Coordinates do not fit their CRS: {first.source}{f' and {others} more' if others else ''}: "
        f"{xy[0, 0]:.10g}, {xy[0, 1]:.10g} in {first.crs.name}, {wanted}. Pass the right CRS with --prompt-crs."
    )


def _note(prompts: Sequence[Prompt], owners: NDArray[np.intp], what: str) -> list[str]:
    """At most one warning, naming the first prompts it is about."""
    distinct = np.unique(owners)
    if not len(distinct):
        return []
    names = "; ".join(prompts[i].source for i in distinct[:NAMED].tolist())
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    return [f"{len(distinct)} prompts {what}: {names}{more}"]
