"""The village of the demo: houses along two streets, fields, a stream, a pond and trees.

Every stroke is made by the painter of the training pictures; this module decides only what stands where.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely import LineString, Polygon

from geosam.training.synthetic import fields
from geosam.training.synthetic.canvas import Frame
from geosam.training.synthetic.ground import Warp, blob, is_taken, meadow, road, water
from geosam.training.synthetic.palette import mix
from geosam.training.synthetic.plants import crown, crowns_along
from geosam.training.synthetic.roofs import Wing, building, draw_roof
from geosam.training.synthetic.small_objects import pool, tank, vehicle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shapely.geometry.base import BaseGeometry

    from geosam.training.synthetic.canvas import Canvas
    from geosam.training.synthetic.palette import Land

#: Classes of the truth.
CLASSES = ("building", "field", "water", "tree", "car")
#: Probability of each material of a roof, in the order of `roofs.MATERIALS`: mostly tiles.
_HOUSES = (0.0, 0.06, 0.04, 0.66, 0.18, 0.06)
_HALLS = (0.04, 0.5, 0.2, 0.06, 0.0, 0.2)
#: Widths of the streets, size of a plot and of the farm's yard, metres.
_MAIN, _SIDE = 7.0, 5.0
_PLOT = (24.0, 38.0)
_FARM = (70.0, 52.0)

#: Limit of the uneven growth in fields, which looks like a border within the field.
_MOST_PATCHY = 0.08


@dataclass(eq=False)
class Village:
    """A village in the making on a canvas; lengths are metres, places are pixels."""

    canvas: Canvas
    land: Land
    classes: list[str] = field(default_factory=list)
    """Class of each object, in the order of their numbers."""
    ground: BaseGeometry = field(default_factory=Polygon)
    """Ground that plots, streets and water have taken, pixels."""

    @property
    def metre(self) -> float:
        """Pixels per metre."""
        return 1 / self.canvas.gsd

    def close(self, name: str) -> None:
        """Give the class `name` to all objects painted since the last call."""
        self.classes += [name] * (self.canvas.count - len(self.classes))

    def claim(self, plot: BaseGeometry) -> bool:
        """Take the ground of a plot if it is free. Return True if it was."""
        is_free = not self.ground.intersects(plot.buffer(-0.5 * self.metre))
        if is_free:
            self.ground = self.ground.union(plot)
        return is_free

    def frame(self, line: LineString, at: float, away: float) -> Frame:
        """Return axes at `at` pixels along a line, u along it, the origin `away` pixels to the right of it."""
        here, there = line.interpolate(at - 1), line.interpolate(at + 1)
        angle = math.atan2(there.y - here.y, there.x - here.x)
        middle = line.interpolate(at)
        return Frame(*Frame(middle.x, middle.y, angle).at(0, away), angle)

    def chance(self, share: float) -> bool:
        """Return True in the given share of the calls."""
        return bool(self.canvas.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """Return a random number of metres between two numbers, in pixels."""
        return float(self.canvas.rng.uniform(low, high)) * self.metre


def paint_village(canvas: Canvas, land: Land) -> list[str]:
    """Paint the village over the whole canvas.

    Args:
        canvas: an empty canvas; its random numbers decide the details.
        land: the colours of the region.

    Returns:
        The class of each object, one of `CLASSES`, in the order of the objects' numbers.
    """
    village = Village(canvas, land)
    size, metre = canvas.size, village.metre
    stream = _wave(size, (0.90, 0.02, 0.035, 1.2, 0.75))
    main = _wave(size, (0.60, -0.08, 0.025, 1.0, 0.5))
    junction = main.interpolate(0.55, normalized=True)
    side = _rounded([(junction.x, junction.y), (junction.x + 0.04 * size, 0.3 * size), (junction.x - 0.02 * size, -9)])
    pond = blob((0.17 * size, 0.2 * size), 0.075 * size, canvas.rng, rough=0.14)
    streets = main.buffer(_MAIN / 2 * metre).union(side.buffer(_SIDE / 2 * metre))
    wet = stream.buffer(5 * metre).union(pond)
    village.ground = streets.buffer(1.8 * metre).union(wet.buffer(6 * metre))
    meadow(canvas, land)
    # the plots claim their ground before the fields divide the rest
    plots = [*_plots(village, main, _MAIN / 2), *_plots(village, side, _SIDE / 2)]
    shapes = _paint_fields(village)
    _paint_water(village, stream, pond)
    _paint_streets(village, main, side)
    for frame, is_farm in plots:
        (_paint_farm if is_farm else _paint_plot)(village, frame)  # after the fields, whose rims they may cover
    _paint_trees(village, stream, shapes)
    village.close("tree")
    return village.classes


def _wave(size: int, shape: tuple[float, float, float, float, float]) -> LineString:
    """Return a line across the canvas: start, rise and amplitude as shares of the size, waves, phase in turns."""
    start, rise, amplitude, waves, phase = shape
    t = np.linspace(-0.05, 1.05, 160)
    y = start + rise * t + amplitude * np.sin(math.tau * (waves * t + phase))
    return LineString(size * np.stack([t, y], axis=1))


def _rounded(xy: list[tuple[float, float]]) -> LineString:
    """Return the line through the points with its corners cut off four times (Chaikin)."""
    points = np.array(xy, np.float64)
    for _ in range(4):
        near, far = 0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]
        points = np.concatenate([points[:1], np.stack([near, far], axis=1).reshape(-1, 2), points[-1:]])
    return LineString(points)


def _plots(village: Village, line: LineString, half_width: float) -> Iterator[tuple[Frame, bool]]:
    """Claim plots on both sides of a street. Yield their axes, v away from the street, and True for the farm."""
    metre = village.metre
    farm_at = 0.2 * line.length if half_width == _MAIN / 2 else -1.0
    for hand in (-1, 1):
        at = 4 * metre
        while at < line.length - 8 * metre:
            is_farm = hand == -1 and at <= farm_at < at + _FARM[0] * metre
            width, depth = (metre * side for side in (_FARM if is_farm else _PLOT))
            edge = village.frame(line, at + width / 2, hand * (half_width + 1.9) * metre)
            frame = edge if hand == 1 else edge._replace(angle=edge.angle + math.pi)
            if village.claim(frame.box(0, depth / 2, width / 2, depth / 2)):
                if is_farm or village.chance(0.94):  # the other plots stay meadows
                    yield frame, is_farm
                at += width + 0.6 * metre
            else:
                at += 3 * metre


def _paint_fields(village: Village) -> list[Polygon]:
    """Cut the free ground into fields and paint them. Return their outlines."""
    canvas, metre = village.canvas, village.metre
    size, rng = canvas.size, canvas.rng
    # beyond the canvas, so that no field ends at its edge
    free = shapely.box(-9, -9, size + 9, size + 9).difference(village.ground.buffer(3 * metre))
    todo = list(shapely.get_parts(free.buffer(-8 * metre).buffer(8 * metre)))
    crops = [fields.draw_crop(canvas, village.land) for _ in range(9)]
    shapes: list[Polygon] = []
    while todo:
        piece = todo.pop()
        if piece.area > village.between(60, 110) ** 2:
            todo += fields.halves(piece, rng, 0.05)
            continue
        shape = piece.buffer(-4 * metre).buffer(2.8 * metre)  # rounded, with a strip of grass to the next one
        if shape.geom_type == "Polygon" and shape.area > (18 * metre) ** 2:
            shapes.append(shape)
            crop = crops[len(shapes) % len(crops)]
            crop = crop._replace(patchy=min(crop.patchy, _MOST_PATCHY))
            fields.field(canvas, shape, _long_axis(shape), crop, Warp(rng, size, 0.0))
    village.close("field")
    return shapes


def _long_axis(shape: Polygon) -> float:
    """Return the direction of the long side of the smallest rectangle around a shape, radians from the x axis."""
    ring = shapely.get_coordinates(shape.minimum_rotated_rectangle)
    x, y = max(ring[1] - ring[0], ring[2] - ring[1], key=lambda step: math.hypot(*step))
    return math.atan2(y, x)


def _paint_water(village: Village, stream: LineString, pond: Polygon) -> None:
    for shape in (stream.buffer(5 * village.metre), pond):
        water(village.canvas, shape, village.land)
    village.close("water")


def _paint_streets(village: Village, main: LineString, side: LineString) -> None:
    """Paint the streets, and dashes in the middle of the main street; they are no objects."""
    canvas, metre = village.canvas, village.metre
    colour = village.land.road  # one colour, or the junction would show a seam
    for line, width in ((side, _SIDE), (main, _MAIN)):
        road(canvas, line, width * metre, colour, village.land)
    for at in np.arange(3 * metre, main.length, 9 * metre):
        dash = village.frame(main, at, 0).box(0, 0, 2 * metre, 0.1 * metre)
        canvas.fill(dash, (228, 226, 218), opacity=0.8, number=None)


def _paint_plot(village: Village, frame: Frame) -> None:
    """Paint a house with its drive, garage, car and garden."""
    canvas, land, metre, rng = village.canvas, village.land, village.metre, village.canvas.rng
    width, depth = (metre * side for side in _PLOT)
    lawn = mix(land.grass, land.straw, rng.uniform(0, 0.35)) * np.float32(rng.uniform(0.95, 1.15))
    canvas.fill(frame.box(0, depth / 2, width / 2 - 0.4 * metre, depth / 2 - 0.3 * metre), lawn, rough=0.05)
    hand = 1 if village.chance(0.5) else -1
    drive = frame.box(hand * 9 * metre, 6.5 * metre, 1.8 * metre, 6.5 * metre)
    canvas.fill(drive, mix(land.road, (150, 146, 140), rng.random()), rough=0.04)
    _hedges(village, frame)
    length, breadth = village.between(10.5, 13.5) / 2, village.between(8, 9.5) / 2
    if village.chance(0.35):
        length, breadth = breadth, length
    wings = [Wing(0, 0, length, breadth)]  # the origin is the middle of the main wing
    if village.chance(0.35):
        wings.append(Wing(village.between(-1.5, 1.5), breadth + 2 * metre, 2.8 * metre, 3.2 * metre))
    house = Frame(*frame.at(-hand * village.between(1.6, 2.6), village.between(11.5, 14)), frame.angle)
    building(canvas, house, wings, draw_roof(canvas, land.soil, _HOUSES))
    if village.chance(0.7):
        garage = draw_roof(canvas, land.soil, _HALLS)._replace(form="flat", eaves=2.6 * metre)
        building(canvas, Frame(*frame.at(hand * 9 * metre, 17 * metre), frame.angle), [_wing(2, 3.2, metre)], garage)
    village.close("building")
    if village.chance(0.55):
        x, y = frame.at(hand * 9 * metre, village.between(4.5, 9))
        vehicle(canvas, Frame(x, y, frame.angle + math.pi / 2))
    village.close("car")
    if village.chance(0.25):
        pool(canvas, Frame(*frame.at(-hand * 5 * metre, 29 * metre), frame.angle))
    village.close("water")
    for u, v in ((hand * 6, 28), (hand * 8, 33), (-hand * 8.5, 24)):
        if village.chance(0.5):
            _tree(village, frame.at((u + rng.uniform(-1, 1)) * metre, (v + rng.uniform(-1, 1)) * metre), 2.0, 3.4)
    village.close("tree")


def _wing(half_u_m: float, half_v_m: float, metre: float) -> Wing:
    return Wing(0, 0, half_u_m * metre, half_v_m * metre)


def _hedges(village: Village, frame: Frame) -> None:
    """Paint hedges behind a plot and on some of its sides; they are no objects."""
    canvas, metre = village.canvas, village.metre
    width, depth = (metre * side for side in _PLOT)
    sides = (
        frame.box(edge * (width / 2 - 0.7 * metre), depth / 2, 0.55 * metre, depth / 2 - 2 * metre)
        for edge in (-1, 1)
        if village.chance(0.5)
    )
    rows = [frame.box(0, depth - 0.8 * metre, width / 2 - 0.5 * metre, 0.6 * metre), *sides]
    colour = mix(village.land.shade, village.land.leaf, 0.35)
    for row in rows:
        canvas.fill(row, colour, rough=0.15, height=1.6 * metre)


def _paint_farm(village: Village, frame: Frame) -> None:
    """Paint a farm: house, two halls and two silos around a yard with vehicles."""
    canvas, land, metre = village.canvas, village.land, village.metre
    yard = mix(land.road, land.soil, 0.4)
    canvas.fill(frame.box(0, 25 * metre, 32 * metre, 22 * metre).buffer(2 * metre), yard, rough=0.05)
    for u, v, half_u, half_v, habits, form in (
        (-20, 12, 8, 5, _HOUSES, "hip"),
        (-3, 40, 20, 6.5, _HALLS, "gable"),
        (25, 22, 7, 14, _HALLS, "gable"),
    ):
        roof = draw_roof(canvas, land.soil, habits)._replace(form=form, eaves=4 * metre)
        building(canvas, Frame(*frame.at(u * metre, v * metre), frame.angle), [_wing(half_u, half_v, metre)], roof)
    for v in (30, 39):
        tank(canvas, Frame(*frame.at(-29 * metre, v * metre), 0.0), 3.4)
    village.close("building")
    for u, v in ((-4, 12), (3, 13), (10, 22), (-12, 25)):
        vehicle(canvas, Frame(*frame.at(u * metre, v * metre), frame.angle + village.canvas.rng.uniform(-0.2, 0.2)))
    village.close("car")


def _tree(village: Village, xy: tuple[float, float], least_m: float, most_m: float) -> None:
    """Paint a crown of a radius between two numbers of metres where nothing is built."""
    if not is_taken(village.canvas, *xy):
        crown(village.canvas, xy, village.between(least_m, most_m), village.land)


def _paint_trees(village: Village, stream: LineString, shapes: list[Polygon]) -> None:
    """Paint trees along the stream and between fields, an orchard and a small wood."""
    canvas, land, metre = village.canvas, village.land, village.metre
    for hand in (-1, 1):
        bank = stream.offset_curve(hand * 9 * metre)
        crowns_along(canvas, bank, 3.2 * metre, land, gap=9 * metre, share=0.6)
    for shape in shapes[::3]:
        line = shape.exterior
        for at in np.arange(0, line.length, 11 * metre):
            if village.chance(0.3):
                spot = line.interpolate(at)
                _tree(village, (spot.x, spot.y), 2.2, 4.0)
    orchard = Frame(0.25 * canvas.size, 0.36 * canvas.size, 0.1)
    for u in range(-3, 4):
        for v in range(-1, 2):
            _tree(village, orchard.at(8 * u * metre, 8 * v * metre), 2.2, 2.8)
