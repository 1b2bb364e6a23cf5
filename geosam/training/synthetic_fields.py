"""Farmland of synthetic scenes: parcels of many shapes, crops in rows, tracks, hedges, streams and woods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from shapely import LineString, Point, Polygon

from geosam.training.synthetic_canvas import Frame
from geosam.training.synthetic_palette import lit, mix, pick
from geosam.training.synthetic_plants import crowns_along, wood

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from geosam.training.synthetic_canvas import Canvas, Patch
    from geosam.training.synthetic_palette import Land

    Floats = NDArray[np.float32]


class Crop(NamedTuple):
    """How a field looks."""

    ground: Floats
    """(3,) colour between the rows."""
    plants: Floats
    """(3,) colour of the rows."""
    share: float
    """Of the ground that plants cover."""
    period: float
    """Distance of the rows, pixels."""
    depth: float
    """How much the rows show."""
    patchy: float
    """How uneven the growth is."""
    tramlines: float
    """Distance of the wheel tracks, pixels; 0 for none."""


class Warp:
    """A smooth displacement of the plane, which bends straight lines."""

    def __init__(self, rng: np.random.Generator, size: int, amount: float) -> None:
        waves = rng.integers(2, 5)
        lengths = size * rng.uniform(0.3, 1.5, waves)
        self._turns = rng.uniform(0, math.tau, waves)
        self._rates = math.tau / lengths
        self._phases = rng.uniform(0, math.tau, (waves, 2))
        self._amounts = amount * (lengths / size)[:, None] * rng.normal(0, 0.5, (waves, 2))

    def __call__(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) points -> (N, 2) where they go."""
        moved = xy.copy()
        for turn, rate, phases, amounts in zip(self._turns, self._rates, self._phases, self._amounts, strict=True):
            along = rate * (xy[:, 0] * math.cos(turn) + xy[:, 1] * math.sin(turn))
            moved += amounts * np.sin(along[:, None] + phases)
        return moved

    def bend(self, shape: BaseGeometry, step: float = 12.0) -> BaseGeometry:
        """A shape with all its edges bent."""
        return shapely.transform(shapely.segmentize(shape, step), self)


def paint_fields(canvas: Canvas, land: Land) -> None:
    """Farmland over the whole canvas."""
    rng, size = canvas.rng, canvas.size
    metre = 1 / canvas.gsd
    _grassland(canvas, land)
    angle = rng.uniform(0, math.pi)
    frame = Frame(size / 2, size / 2, angle)
    style = rng.choice(4, p=[0.62, 0.16, 0.12, 0.10])
    parcels = list((_mosaic, _strips, _terraces, _pivots)[style](canvas, frame))
    gap = float(rng.choice([0.4, 1.0, 2.0, 3.5]) * rng.uniform(0.6, 1.5))
    crops = [draw_crop(canvas, land) for _ in range(rng.integers(1, 5))]
    lines = []
    for parcel, rows in parcels:
        shape = parcel.buffer(-gap / 2 - 2).buffer(2)
        for part in shapely.get_parts(shape):
            if part.area < 60 or rng.random() < 0.04:
                continue
            lines.append(part.exterior)
            if rng.random() < 0.05:
                wood(canvas, part, float(np.clip(4 * metre, 1, 25)), land)
            else:
                field(canvas, part, rows, crops[rng.integers(len(crops))])
    _tracks(canvas, land, frame)
    if rng.random() < 0.4:
        radius = float(np.clip(rng.uniform(1.5, 5) * metre, 1.2, 40))
        for line in lines:
            if rng.random() < 0.3:
                crowns_along(canvas, line, radius, land, gap=radius * rng.uniform(1.2, 6), share=rng.uniform(0.2, 1))


def draw_crop(canvas: Canvas, land: Land) -> Crop:
    """One of the crops of a region."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    plants = pick((land.grass, land.leaf, land.straw, mix(land.grass, land.straw, 0.5), land.shade * 1.25), rng, 0.12)
    ground = pick((land.soil, mix(land.soil, land.straw, 0.5), land.soil * 0.85), rng, 0.1)
    share = float(rng.choice([rng.uniform(0, 0.12), rng.uniform(0.2, 0.8), rng.uniform(0.85, 1)], p=[0.25, 0.3, 0.45]))
    period = float(rng.choice([0.75, 1.5, 3, 6, 9, 18]) * rng.uniform(0.8, 1.2) * metre)
    while period < 2.4:
        period *= 2
    depth = float(rng.choice([0.0, rng.uniform(0.02, 0.15), rng.uniform(0.15, 0.5)], p=[0.3, 0.45, 0.25]))
    tracks = float(rng.choice([0, rng.uniform(12, 36) * metre]))
    return Crop(ground, plants, share, period, depth, float(rng.uniform(0.03, 0.25)), tracks if tracks > 8 else 0.0)


def field(canvas: Canvas, shape: Polygon, rows: float, crop: Crop) -> None:
    """One field, its rows in the direction `rows` (radians)."""
    patch = canvas.patch(shape.bounds)
    if patch is None:
        return
    rng = canvas.rng
    rows = rows + rng.choice([0, math.pi / 2], p=[0.7, 0.3])
    _, across = Frame(patch.x[0, 0], patch.y[0, 0], rows).axes(patch)
    wobble = canvas.noise(patch, 40, 400)
    share = crop.share + rng.normal(0, 0.04) + np.float32(crop.patchy) * canvas.noise(patch, 6, 400)
    if rng.random() < 0.4:  # what is wet or poor stands out
        spots = canvas.noise(patch, 20, 160)
        share = share + np.float32(rng.normal(0, 0.5)) * np.clip(spots - 1.3, 0, 1)
    if crop.depth:
        wave = np.cos((across + np.float32(rng.uniform(0, 2)) * wobble) * np.float32(math.tau / crop.period))
        share = share + np.float32(crop.depth) * wave * (1 + 0.4 * canvas.noise(patch, 6, 60))
    light = rng.normal(1, 0.04) + np.float32(rng.uniform(0.01, 0.04)) * wobble
    light = light + np.float32(rng.uniform(0.01, 0.06)) * canvas.noise(patch, 2, 10)
    if crop.tramlines:
        track = np.abs((across / np.float32(crop.tramlines)) % 1 - 0.5) * np.float32(crop.tramlines)
        light = light + np.float32(rng.normal(0, 0.08)) * np.clip(1.3 - track, 0, 1)
    alpha = canvas.coverage(patch, shape)
    canvas.paint(patch, alpha, lit(mix(crop.ground, crop.plants, share), light), number=canvas.number())
    if rng.random() < 0.35:
        _margin(canvas, patch, alpha, shape, crop)


def _margin(canvas: Canvas, patch: Patch, alpha: Floats, shape: Polygon, crop: Crop) -> None:
    """The rim of a field is thinner, or turned the other way."""
    rng = canvas.rng
    width = float(rng.uniform(1.5, 8))
    inner = shape.buffer(-width)
    rim = alpha - (canvas.coverage(patch, inner) if not inner.is_empty else 0)
    colour = mix(crop.ground, crop.plants, rng.uniform(0, 1)) * rng.normal(1, 0.1)
    canvas.paint(patch, np.clip(rim, 0, 1) * np.float32(rng.uniform(0.15, 0.6)), colour, number=None)


def _grassland(canvas: Canvas, land: Land) -> None:
    rng, whole = canvas.rng, canvas.whole()
    share = rng.uniform(0, 0.9) + 0.22 * canvas.noise(whole, 10, 400)
    light = 1 + 0.05 * canvas.noise(whole, 2, 12) + 0.04 * canvas.noise(whole, 10, 400)
    canvas.paint(whole, np.ones(whole.shape_hw, np.float32), lit(mix(land.grass, land.straw, share), light))


def _mosaic(canvas: Canvas, frame: Frame) -> Iterator[tuple[BaseGeometry, float]]:
    """The plane halved again and again."""
    rng, reach = canvas.rng, 0.8 * canvas.size
    area = float(np.exp(rng.uniform(math.log(24), math.log(1.1 * canvas.size)))) ** 2
    warp = Warp(rng, canvas.size, float(rng.choice([0, 4, 15, 40])))
    skew = float(rng.choice([0, 0.06, 0.2]))
    todo: list[Polygon] = [frame.box(0, 0, reach, reach)]
    view = shapely.box(-40, -40, canvas.size + 40, canvas.size + 40)
    while todo:
        piece = todo.pop()
        if not piece.intersects(view):
            continue
        if piece.area < area * rng.uniform(0.7, 2.5):
            yield warp.bend(piece), frame.angle
        else:
            todo += _halves(piece, rng, skew)


def _halves(piece: Polygon, rng: np.random.Generator, skew: float) -> list[Polygon]:
    ring = shapely.get_coordinates(piece.minimum_rotated_rectangle)[:4]
    if math.dist(ring[0], ring[1]) < math.dist(ring[1], ring[2]):
        ring = np.roll(ring, -1, axis=0)
    share = rng.uniform(0.25, 0.75)
    near, far = np.clip(share + rng.normal(0, skew, 2), 0.1, 0.9)
    start = ring[0] + (ring[1] - ring[0]) * near
    end = ring[3] + (ring[2] - ring[3]) * far
    along = end - start
    parts = shapely.get_parts(shapely.polygonize([piece.boundary.union(LineString([start - along, end + along]))]))
    return [part for part in parts if piece.contains(part.representative_point())]


def _strips(canvas: Canvas, frame: Frame) -> Iterator[tuple[BaseGeometry, float]]:
    """Long narrow parcels side by side."""
    rng, reach = canvas.rng, 0.8 * canvas.size
    width = float(np.exp(rng.uniform(math.log(14), math.log(120))))
    warp = Warp(rng, canvas.size, float(rng.choice([0, 8, 30, 70])))
    v = -reach
    while v < reach:
        depth, u = width * rng.uniform(0.6, 1.5), -reach
        while u < reach:
            length = canvas.size * rng.uniform(0.25, 1.6)
            yield warp.bend(frame.box(u + length / 2, v + depth / 2, length / 2, depth / 2)), frame.angle
            u += length
        v += depth


def _terraces(canvas: Canvas, frame: Frame) -> Iterator[tuple[BaseGeometry, float]]:
    """Strongly bent strips of very different width, cut into short pieces."""
    rng, reach = canvas.rng, 0.9 * canvas.size
    width = float(np.exp(rng.uniform(math.log(16), math.log(70))))
    warp = Warp(rng, canvas.size, float(rng.uniform(60, 160)))
    v = -reach
    while v < reach:
        depth, u = width * float(rng.lognormal(0, 0.35)), -reach
        while u < reach:
            length = width * rng.uniform(2, 9)
            yield warp.bend(frame.box(u + length / 2, v + depth / 2, length / 2, depth / 2)), frame.angle
            u += length
        v += depth


def _pivots(canvas: Canvas, frame: Frame) -> Iterator[tuple[BaseGeometry, float]]:
    """Circles watered by turning arms, some cut into sectors, with the corners left over."""
    rng = canvas.rng
    radius = float(canvas.size * np.exp(rng.uniform(math.log(0.06), math.log(0.5))))
    pitch, count = 2 * radius * rng.uniform(1.01, 1.08), math.ceil(0.8 * canvas.size / radius / 2) + 1
    for row in range(-count, count + 1):
        for column in range(-count, count + 1):
            if rng.random() < 0.15:
                continue
            x, y = frame.at(column * pitch, row * pitch)
            disc = Point(x, y).buffer(radius, quad_segs=24)
            turn = rng.uniform(0, math.tau)
            if rng.random() < 0.3:
                half = Frame(x, y, turn).box(radius, 0, radius, 2 * radius)
                yield disc.intersection(half), turn
                yield disc.difference(half), turn
            else:
                yield disc, turn


def _tracks(canvas: Canvas, land: Land, frame: Frame) -> None:
    """Roads and tracks through the land."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    for _ in range(rng.choice([0, 1, 2], p=[0.45, 0.35, 0.2])):
        turned = Frame(*rng.uniform(0, canvas.size, 2), frame.angle + rng.choice([0, math.pi / 2, rng.uniform(0, 3)]))
        width = float(np.clip(rng.uniform(3, 9) * metre, 1.2, 40))
        line = LineString([turned.at(-1.6 * canvas.size, 0), turned.at(1.6 * canvas.size, 0)])
        line = Warp(rng, canvas.size, float(rng.choice([0, 0, 10, 60]))).bend(line)
        verge = width * rng.uniform(0.6, 1.6)
        canvas.fill(line.buffer(verge), mix(land.grass, land.straw, rng.uniform(0, 1)), rough=0.07)
        canvas.fill(line.buffer(width / 2), land.road * rng.uniform(0.85, 1.1), rough=0.05)
