"""Farmland of synthetic scenes: parcels of many shapes, crops in rows, tracks, hedges, streams and woods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from scipy import ndimage
from shapely import LineString, Point, Polygon

from geosam.training.synthetic.canvas import Frame
from geosam.training.synthetic.ground import Warp, blob, crossing, is_taken, meadow, river, road, spot, water
from geosam.training.synthetic.palette import lit, mix, pick
from geosam.training.synthetic.plants import crown, crowns_along, wood
from geosam.training.synthetic.roofs import Wing, building, draw_roof

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shapely.geometry.base import BaseGeometry

    from geosam._arrays import Floats, Singles
    from geosam.training.synthetic.canvas import Canvas, Patch
    from geosam.training.synthetic.palette import Land


class Crop(NamedTuple):
    """Appearance of a field."""

    ground: Singles
    """Colour (3,) between the rows."""
    plants: Singles
    """Colour (3,) of the rows."""
    share: float
    """Share of the ground that plants cover."""
    period: float
    """Distance of the rows, pixels."""
    depth: float
    """Contrast of the rows."""
    patchy: float
    """Unevenness of the growth."""
    tramlines: float
    """Distance of the wheel tracks, pixels; 0 for none."""
    swaths: float
    """Width of two passes of a machine, pixels, which differ in light; 0 for none."""


def paint_fields(canvas: Canvas, land: Land) -> None:
    """Paint farmland over the whole canvas."""
    rng, size, metre = canvas.rng, canvas.size, 1 / canvas.gsd
    meadow(canvas, land)
    frame = Frame(size / 2, size / 2, float(rng.uniform(0, math.pi)))
    style = rng.choice(4, p=[0.62, 0.16, 0.12, 0.10])
    gap = float(rng.choice([0.3, 1.0, 2.0, 3.5]) * rng.uniform(0.6, 1.5))
    crops = [draw_crop(canvas, land) for _ in range(rng.integers(1, 5))]
    contours = Warp(rng, size, float(rng.choice([0, rng.uniform(20, 120)], p=[0.7, 0.3])))
    lines = []
    for parcel, rows in (_mosaic, _strips, _terraces, _pivots)[style](canvas, frame):
        for part in shapely.get_parts(parcel.buffer(-gap / 2 - 2).buffer(2)):  # corners are ploughed round
            if part.area < 60 or rng.random() < 0.04:
                continue
            lines.append(part.exterior)
            crowns = float(np.clip(4 * metre, 1, 25))
            if rng.random() < 0.05 and part.area > 3 * crowns * part.length:
                wood(canvas, part, crowns, land)
            else:
                field(canvas, part, rows, crops[rng.integers(len(crops))], contours)
    if rng.random() < 0.25:
        _waterways(canvas, land)
    for _ in range(rng.choice([0, 1, 2], p=[0.45, 0.35, 0.2])):
        turn = frame.angle + rng.choice([0, math.pi / 2, rng.uniform(0, 3)])
        line = crossing(canvas, turn, rng.choice([0, 0, 10, 60]))
        road(canvas, line, float(np.clip(rng.uniform(3, 9) * metre, 1.2, 40)), land.road * rng.uniform(0.85, 1.1), land)
    if rng.random() < 0.15:
        river(canvas, land)
    if rng.random() < 0.15:
        water(canvas, blob(spot(canvas), float(rng.uniform(10, 70)), rng, rough=0.15), land)
    split_pieces(canvas)  # before the trees, which hide a field and do not divide it
    _stands(canvas, land, frame, lines)


def split_pieces(canvas: Canvas) -> None:
    """Give each piece of an object that a road or stream has cut a number of its own."""
    for number, place in enumerate(ndimage.find_objects(canvas.instances), start=1):
        if place is None:
            continue
        window = canvas.instances[place]
        pieces, count = ndimage.label(window == number)
        for piece in range(2, count + 1):
            window[pieces == piece] = canvas.number()


def _waterways(canvas: Canvas, land: Land) -> None:
    """Paint winding bands of grass that lead the rain away; they are too narrow to divide a field."""
    rng, size = canvas.rng, canvas.size
    for _ in range(rng.integers(1, 5)):
        start = Frame(*spot(canvas), float(rng.uniform(0, math.tau)))
        line = LineString([start.at(0, 0), start.at(rng.uniform(0.1, 0.5) * size, 0)])
        line = Warp(rng, size, float(rng.uniform(10, 60))).bend(line)
        colour = mix(land.grass, land.straw, rng.random())
        band, opacity = line.buffer(rng.uniform(0.8, 3.5)), float(rng.uniform(0.4, 0.9))
        canvas.fill(band, colour, rough=0.1, opacity=opacity, number=None)


def _stands(canvas: Canvas, land: Land, frame: Frame, lines: list[BaseGeometry]) -> None:
    """Paint lines of trees and farmsteads."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    radius = float(np.clip(rng.uniform(1.5, 5) * metre, 1.0, 40))
    if rng.random() < 0.4:
        for line in lines:
            if rng.random() < 0.3:
                gap = max(radius * rng.uniform(1.0, 6), 5)
                crowns_along(canvas, line, radius, land, gap=gap, share=rng.uniform(0.2, 1))
    if canvas.gsd < 2.5:
        for _ in range(rng.poisson(0.7)):
            _farmstead(canvas, land, Frame(*spot(canvas), frame.angle), radius)


def _farmstead(canvas: Canvas, land: Land, frame: Frame, radius: float) -> None:
    """Paint a few buildings, their yards, and trees of about the given radius in pixels around them."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    habits = rng.dirichlet((1, 3, 2, 2, 2, 1))
    for _ in range(rng.integers(1, 7)):
        x, y = frame.at(*rng.normal(0, 14 * metre, 2))
        here = Frame(x, y, frame.angle + rng.choice([0, math.pi / 2]))
        half = float(rng.uniform(4, 14) * metre)
        if half > 3 and not is_taken(canvas, x, y):
            yard = here.box(0, 0, 1.6 * half, 1.4 * half).buffer(0.5 * half)
            canvas.fill(yard, pick((land.soil, land.grass, land.road), rng), rough=0.08, opacity=0.8)
            roof = draw_roof(canvas, land.soil, habits)
            building(canvas, here, [Wing(0, 0, half, half * rng.uniform(0.35, 0.9))], roof)
    for _ in range(rng.integers(0, 25)):
        x, y = frame.at(*rng.normal(0, 22 * metre, 2))
        if not is_taken(canvas, x, y):
            crown(canvas, (x, y), radius * float(rng.lognormal(0, 0.3)), land)


def draw_crop(canvas: Canvas, land: Land) -> Crop:
    """Draw a crop of the region."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    plants = pick((land.grass, land.leaf, land.straw, mix(land.grass, land.straw, 0.5), land.shade * 1.25), rng, 0.12)
    ground = pick((land.soil, mix(land.soil, land.straw, 0.5), land.soil * 0.85), rng, 0.1)
    share = float(rng.choice([rng.uniform(0, 0.12), rng.uniform(0.2, 0.8), rng.uniform(0.85, 1)], p=[0.25, 0.3, 0.45]))
    period = float(rng.choice([0.75, 1.5, 3, 6, 9, 18]) * rng.uniform(0.8, 1.2) * metre)
    while period < 2.4:  # pixels cannot show finer rows
        period *= 2
    depth = float(rng.choice([0.0, rng.uniform(0.02, 0.15), rng.uniform(0.15, 0.5)], p=[0.3, 0.45, 0.25]))
    tracks = float(rng.choice([0, rng.uniform(12, 36) * metre]))
    swaths = float(rng.choice([0, rng.uniform(6, 24) * metre], p=[0.6, 0.4]))
    patchy = float(rng.uniform(0.03, 0.3))
    return Crop(
        ground, plants, share, period, depth, patchy, tracks if tracks > 8 else 0.0, swaths if swaths > 4 else 0.0
    )


def field(canvas: Canvas, shape: Polygon, rows: float, crop: Crop, contours: Warp) -> None:
    """Paint one field with rows in the direction `rows` (radians), bent by `contours`."""
    patch = canvas.patch(shape.bounds)
    if patch is None:
        return
    rng = canvas.rng
    across = _across(patch, rows + rng.choice([0, math.pi / 2], p=[0.75, 0.25]), contours)
    broad = canvas.noise(patch, 40, 400)
    share = crop.share + rng.normal(0, 0.05) + np.float32(crop.patchy) * canvas.noise(patch, 5, 400)
    if rng.random() < 0.4:  # wet and poor ground stands out
        share = share + np.float32(rng.normal(0, 0.6)) * np.clip(canvas.noise(patch, 16, 160) - 1.2, 0, 1)
    if crop.depth:
        wave = np.cos((across + np.float32(rng.uniform(0, 1.5)) * broad) * np.float32(math.tau / crop.period))
        share = share + np.float32(crop.depth) * wave * (1 + 0.5 * canvas.noise(patch, 5, 60))
    light = rng.normal(1, 0.05) + np.float32(rng.uniform(0.01, 0.05)) * broad
    light = light + np.float32(rng.uniform(0.02, 0.1)) * canvas.noise(patch, 2, 6)
    if crop.swaths:
        bands = np.tanh(3 * np.cos(across * np.float32(math.tau / crop.swaths)))
        light = light + np.float32(rng.normal(0, 0.05)) * bands * (1 + 0.4 * canvas.noise(patch, 8, 200))
    if crop.tramlines:
        track = np.abs((across / np.float32(crop.tramlines)) % 1 - 0.5) * np.float32(crop.tramlines)
        light = light + np.float32(rng.normal(0, 0.1)) * np.clip(1.3 - track, 0, 1)
    alpha = canvas.coverage(patch, shape)
    # the number hides what lies below: fields do not share pixels
    canvas.paint(patch, alpha, lit(mix(crop.ground, crop.plants, share), light), number=canvas.number())
    if rng.random() < 0.35:
        _margin(canvas, patch, alpha, shape, crop)


def _across(patch: Patch, rows: float, contours: Warp) -> Singles:
    """Return the distance across the rows (H, W), pixels, from a coarse lattice because the bends are smooth."""
    height, width = patch.shape_hw
    x = np.linspace(patch.x[0, 0], patch.x[0, -1], width // 16 + 2)
    y = np.linspace(patch.y[0, 0], patch.y[-1, 0], height // 16 + 2)
    lattice = np.stack(np.meshgrid(x, y), axis=-1)
    moved = contours(lattice.reshape(-1, 2)) @ np.array((-math.sin(rows), math.cos(rows)))
    coarse = moved.reshape(lattice.shape[:2])
    by_row = np.linspace(0, len(y) - 1, height)
    by_column = np.linspace(0, len(x) - 1, width)
    return _stretched(_stretched(coarse, by_row).T, by_column).T.astype(np.float32)


def _stretched(values: Floats, rows: Floats) -> Floats:
    """Interpolate values (N, M) at fractional rows (R,) to (R, M)."""
    above = np.minimum(rows.astype(np.intp), len(values) - 2)
    share = (rows - above)[:, None]
    return np.asarray(values[above] * (1 - share) + values[above + 1] * share)


def _margin(canvas: Canvas, patch: Patch, alpha: Singles, shape: Polygon, crop: Crop) -> None:
    """Paint the rim of a field, where plants stand thinner or in other rows."""
    rng = canvas.rng
    width = float(rng.uniform(1.5, 8))
    inner = shape.buffer(-width)
    rim = alpha - (canvas.coverage(patch, inner) if not inner.is_empty else 0)
    colour = mix(crop.ground, crop.plants, rng.uniform(0, 1)) * rng.normal(1, 0.1)
    canvas.paint(patch, np.clip(rim, 0, 1) * np.float32(rng.uniform(0.15, 0.6)), colour, number=None)


def _mosaic(canvas: Canvas, frame: Frame) -> Iterator[tuple[BaseGeometry, float]]:
    """Yield parcels and directions of rows: the plane halved again and again."""
    rng, reach = canvas.rng, 0.8 * canvas.size
    area = float(np.exp(rng.uniform(math.log(24), math.log(1.1 * canvas.size)))) ** 2
    warp = Warp(rng, canvas.size, float(rng.choice([0, 4, 15, 40])))
    skew = float(rng.choice([0, 0.06, 0.2]))
    todo: list[Polygon] = [frame.box(0, 0, reach, reach)]
    view = shapely.box(-40, -40, canvas.size + 40, canvas.size + 40)
    while todo:
        piece = todo.pop()
        if not piece.intersects(view):  # `view` has a margin, because bends move parcels
            continue
        if piece.area < area * rng.uniform(0.7, 2.5):
            yield warp.bend(piece), frame.angle
        else:
            todo += halves(piece, rng, skew)


def halves(piece: Polygon, rng: np.random.Generator, skew: float) -> list[Polygon]:
    """Cut a polygon across its long side.

    Args:
        piece: the polygon.
        rng: decides the place of the cut.
        skew: standard deviation of both ends of the cut, as a share of the long side.

    Returns:
        The parts: two, or more where the polygon is not convex.
    """
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
    """Yield parcels and directions of rows: long narrow parcels side by side."""
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
    """Yield parcels and directions of rows: strongly bent strips of different widths in short pieces."""
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
    """Yield parcels and directions of rows: circles watered by turning arms, some of them in two halves."""
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
