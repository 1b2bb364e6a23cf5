"""What stands in the demo scene and where: a village between fields and a river, as a list of things.

Metres throughout, x to the right and y down from the picture's upper left corner, so that positions are pixels but
for a factor. Everything follows from the size and the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely import LineString, Point, Polygon
from shapely.affinity import rotate, translate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shapely.geometry.base import BaseGeometry

#: Kinds in the order in which they are drawn, and the class each has in the truth; None for what is only scenery.
KINDS: dict[str, str | None] = {
    "field": "field",
    "bank": None,
    "water": "water",
    "lawn": None,
    "yard": None,
    "terrace": None,
    "bed": None,
    "pool": "water",
    "kerb": None,
    "road": "road",
    "drive": None,
    "hedge": None,
    "car": None,
    "hall": "building",
    "house": "building",
    "tree": "tree",
}
MAIN_WIDTH, SIDE_WIDTH = 7.0, 5.0
_PLOT = (23.0, 37.0)
_FARM = (70.0, 52.0)


@dataclass(frozen=True)
class Thing:
    """One thing seen from above."""

    kind: str
    """A key of KINDS: how it is drawn, and what it is called in the truth."""
    shape: BaseGeometry
    """Its outline, metres."""
    height: float = 0.0
    """Metres above the ground; what is raised casts a shadow."""
    angle: float = 0.0
    """Direction of its rows or long side, radians from the x axis."""
    tone: float = 0.0
    """Which of the colours of its kind it has, in [0, 1)."""
    parts: tuple[Polygon, ...] = ()
    """The rectangles a building is made of, each with a roof of its own; the markings of a road."""


@dataclass(frozen=True)
class Frame:
    """Coordinates of a plot: u along the street, v away from it, metres from a point on the kerb."""

    x: float
    y: float
    angle: float
    """Direction of u, radians from the x axis."""
    side: int
    """1 where v points right of u in the picture, -1 where it points left."""

    def at(self, u: float, v: float) -> tuple[float, float]:
        """Plot coordinates to scene coordinates."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return self.x + u * cos - v * self.side * sin, self.y + u * sin + v * self.side * cos

    def box(self, u: float, v: float, width: float, depth: float) -> Polygon:
        """The rectangle of `width` along u and `depth` along v around (u, v)."""
        upright = shapely.box(-width / 2, -depth / 2, width / 2, depth / 2)
        return translate(rotate(upright, self.angle, use_radians=True), *self.at(u, v))


@dataclass
class Layout:
    """A scene that is being furnished: things are added as long as there is room for them."""

    width: float
    height: float
    rng: np.random.Generator
    things: list[Thing] = field(default_factory=list)
    taken: BaseGeometry = field(default_factory=Polygon)
    """The ground that nothing more may be put on, metres."""

    def add(self, kind: str, shape: BaseGeometry, **details: object) -> None:
        """Put a thing down, whatever is there."""
        self.things.append(Thing(kind, shape, tone=float(self.rng.random()), **details))  # type: ignore[arg-type]

    def claim(self, ground: BaseGeometry) -> bool:
        """Take the ground if it is free; whether it was."""
        free = not shapely.intersects(self.taken, ground.buffer(-0.5))
        if free:
            self.taken = self.taken.union(ground)
        return free

    def chance(self, share: float) -> bool:
        """True in `share` of the calls."""
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """A number between the two."""
        return float(self.rng.uniform(low, high))


def compose(width: float, height: float, seed: int) -> list[Thing]:
    """All things of a scene of `width` x `height` metres, in drawing order."""
    layout = Layout(width, height, np.random.default_rng(seed))
    river = _wave(width, height, (0.90, 0.0, 0.045, 1.25, 0.8))
    main = _wave(width, height, (0.62, -0.10, 0.025, 1.0, 0.5))
    junction = main.interpolate(0.56, normalized=True)
    side = LineString([junction, (junction.x + 0.03 * width, 0.36 * height), (junction.x - 0.01 * width, -9)])
    side = shapely.segmentize(_rounded(side), 2)
    _water(layout, river)
    _streets(layout, main, side)
    _plots(layout, main, side)
    _fields(layout)
    _trees(layout, river)
    order = list(KINDS)
    return sorted(layout.things, key=lambda thing: order.index(thing.kind))


def long_axis(shape: BaseGeometry) -> float:
    """Direction of the long side of the smallest rectangle around a shape, radians from the x axis."""
    ring = shapely.get_coordinates(shape.minimum_rotated_rectangle)
    x, y = max(ring[1] - ring[0], ring[2] - ring[1], key=lambda step: math.hypot(*step))
    return math.atan2(y, x)


def _wave(width: float, height: float, shape: tuple[float, float, float, float, float]) -> LineString:
    """A line across the scene: start, drop and amplitude as shares of the height, waves and phase."""
    start, drop, amplitude, waves, phase = shape
    t = np.linspace(-0.05, 1.05, 160)
    y = height * (start + drop * t + amplitude * np.sin(math.tau * (waves * t + phase)))
    return LineString(np.stack([width * t, y], axis=1))


def _rounded(line: LineString) -> LineString:
    """The line with its corners cut off again and again (Chaikin)."""
    xy = shapely.get_coordinates(line)
    for _ in range(4):
        near, far = 0.75 * xy[:-1] + 0.25 * xy[1:], 0.25 * xy[:-1] + 0.75 * xy[1:]
        xy = np.concatenate([xy[:1], np.stack([near, far], axis=1).reshape(-1, 2), xy[-1:]])
    return LineString(xy)


def _blob(x: float, y: float, radius: float, rng: np.random.Generator, rough: float = 0.12) -> Polygon:
    """A disc with an uneven outline."""
    turn = np.linspace(0, math.tau, 48, endpoint=False)
    waves = sum(rng.uniform(0, rough) / k**0.5 * np.sin(k * turn + rng.uniform(0, math.tau)) for k in (2, 3, 5, 8))
    reach = radius * (1 + waves)
    return Polygon(np.stack([x + reach * np.cos(turn), y + reach * np.sin(turn)], axis=1))


def _water(layout: Layout, river: LineString) -> None:
    pond = _blob(0.87 * layout.width, 0.24 * layout.height, 0.045 * layout.width, layout.rng)
    for shape in (river.buffer(6.5), pond):
        layout.add("water", shape)
        layout.add("bank", shape.buffer(2.6))
        layout.claim(shape.buffer(8))


def _streets(layout: Layout, main: LineString, side: LineString) -> None:
    road = main.buffer(MAIN_WIDTH / 2).union(side.buffer(SIDE_WIDTH / 2))
    layout.add("road", road.buffer(4).buffer(-4), parts=tuple(_markings(main, side)))
    layout.add("kerb", road.buffer(5.8).buffer(-4))
    layout.taken = layout.taken.union(road.buffer(1.8))
    for lane, direction in ((1.75, 1), (-1.75, -1)):
        at = layout.between(15, 40)
        while at < main.length - 10:
            frame = _frame(main, at, lane, direction)
            layout.add("car", _rounded_box(frame, 0, 0, 4.5, 1.9), height=1.5, angle=frame.angle)
            at += layout.between(30, 130)


def _markings(main: LineString, side: LineString) -> Iterator[Polygon]:
    """Dashes in the middle of the main street, its edges but for the junction, and a crossing in the side street."""
    for at in np.arange(3, main.length - 3, 9.0):
        yield _frame(main, at, 0, 1).box(0, 0, 4.0, 0.2)
    for edge in (-1, 1):
        line = main.parallel_offset(edge * (MAIN_WIDTH / 2 - 0.4)).difference(side.buffer(SIDE_WIDTH / 2 + 2))
        yield from shapely.get_parts(line.buffer(0.09))
    for u in np.arange(-1.75, 2, 1.1):
        yield _frame(side, 9.0, u, 1).box(0, 0, 3.2, 0.5)


def _frame(line: LineString, at: float, away: float, side: int) -> Frame:
    """The frame at `at` metres along the line, its origin `away` metres to the right."""
    here, there = line.interpolate(at - 0.5), line.interpolate(at + 0.5)
    angle = math.atan2(there.y - here.y, there.x - here.x)
    middle = line.interpolate(at)
    return Frame(middle.x - away * math.sin(angle), middle.y + away * math.cos(angle), angle, side)


def _rounded_box(frame: Frame, u: float, v: float, width: float, depth: float) -> Polygon:
    return frame.box(u, v, width - 1, depth - 1).buffer(0.5, quad_segs=3)


def _plots(layout: Layout, main: LineString, side: LineString) -> None:
    farm_at = 0.2 * main.length
    for line, half in ((main, MAIN_WIDTH / 2), (side, SIDE_WIDTH / 2)):
        for hand in (-1, 1):
            at = 2.0 if line is main else 12.0
            while at < line.length - 8:
                is_farm = line is main and hand == -1 and at <= farm_at < at + _FARM[0]
                width, depth = _FARM if is_farm else _PLOT
                frame = _frame(line, at + width / 2, hand * (half + 1.9), hand)
                if layout.claim(frame.box(0, depth / 2, width, depth)):
                    if is_farm or layout.chance(0.94):  # some plots are still meadows
                        (_farm if is_farm else _plot)(layout, frame)
                    at += width + 0.6
                else:
                    at += 3.0


def _plot(layout: Layout, frame: Frame) -> None:
    """A house with its garden."""
    width, depth = _PLOT
    layout.add("lawn", frame.box(0, depth / 2, width - 0.8, depth - 0.6), angle=frame.angle)
    hand = 1 if layout.chance(0.5) else -1
    u, v = -hand * layout.between(1.2, 2.2), layout.between(11.5, 14)
    length, breadth = layout.between(10.5, 13.5), layout.between(8, 9.5)
    along = frame.box(u, v, length, breadth) if layout.chance(0.65) else frame.box(u, v, breadth, length)
    wings = [along]
    if layout.chance(0.4):
        wings.insert(0, frame.box(u + layout.between(-1.5, 1.5), v + 7.5, layout.between(5.2, 6.2), 6.5))
    else:
        layout.add("terrace", frame.box(u, v + 6.8, 6.5, 5.5), angle=frame.angle)
    layout.add(
        "house", shapely.union_all(wings), height=layout.between(5.5, 7.5), angle=frame.angle, parts=tuple(wings)
    )
    layout.add("drive", frame.box(hand * 9, 5.6, 3.4, 12), angle=frame.angle)
    if layout.chance(0.75):
        garage = frame.box(hand * 9, 15.2, 4.0, 7.0)
        layout.add("hall", garage, height=2.8, angle=frame.angle, parts=(garage,))
    if layout.chance(0.55):
        layout.add(
            "car", _rounded_box(frame, hand * 9, layout.between(4.5, 8), 1.9, 4.4), height=1.5, angle=frame.angle
        )
    if layout.chance(0.3):
        layout.add("pool", _rounded_box(frame, -hand * 5.5, 29, 4.5, 8.5))
    elif layout.chance(0.5):
        layout.add("bed", frame.box(-hand * 6, 30, 6, 8), angle=frame.angle)
    for edge in (-1, 1):
        if layout.chance(0.5):
            layout.add("hedge", frame.box(edge * (width / 2 - 0.7), depth / 2 + 1, 1.1, depth - 5), height=1.6)
    layout.add("hedge", frame.box(0, depth - 0.8, width - 1, 1.2), height=1.8)
    for u, v in ((hand * 6, 27), (hand * 7, 33), (-hand * 8.5, 22)):
        if layout.chance(0.55):
            x, y = frame.at(u + layout.between(-1, 1), v + layout.between(-1, 1))
            layout.add("tree", _blob(x, y, layout.between(1.7, 3.1), layout.rng), height=layout.between(4, 8))


def _farm(layout: Layout, frame: Frame) -> None:
    """Two barns, two silos and the farmhouse around a yard."""
    width, depth = _FARM
    layout.add("lawn", frame.box(0, depth / 2, width - 1, depth - 1), angle=frame.angle)
    layout.add("yard", frame.box(2, 21, 54, 38).buffer(2), angle=frame.angle)
    for kind, box, height in (
        ("house", frame.box(-18, 12, 15, 10), 8.0),
        ("house", frame.box(-2, 40, 40, 14), 9.0),
        ("hall", frame.box(25, 21, 15, 30), 7.0),
    ):
        layout.add(kind, box, height=height, angle=frame.angle, parts=(box,))
    for v in (30.0, 39.5):
        silo = Point(frame.at(-29, v)).buffer(3.6)
        layout.add("hall", silo, height=10.0, parts=(silo,))
    for u, v in ((0, 18), (6, 27)):
        layout.add("car", _rounded_box(frame, u, v, 5.5, 2.6), height=2.8, angle=frame.angle)


def _fields(layout: Layout) -> None:
    """The free ground cut into fields, with a strip of grass between them."""
    whole = shapely.box(-9, -9, layout.width + 9, layout.height + 9)
    rest = whole.difference(layout.taken.buffer(2.5)).buffer(-8).buffer(8)
    tones = layout.rng.permutation(8)
    parcels = [parcel for part in shapely.get_parts(rest) for parcel in _parcels(layout, part)]
    for number, parcel in enumerate(parcels):
        shape = parcel.buffer(-4.2).buffer(3)
        if shape.geom_type == "Polygon" and shape.area > 500:
            tone = (tones[number % 8] + 0.5) / 8
            layout.things.append(Thing("field", shape, angle=long_axis(shape), tone=tone))


def _parcels(layout: Layout, ground: Polygon) -> Iterator[Polygon]:
    """The ground halved across its long side until the pieces are as large as fields."""
    if ground.area < layout.between(5_000, 13_000):
        yield ground
        return
    corners = shapely.get_coordinates(ground.minimum_rotated_rectangle)[:4]
    a, b, c, d = (
        corners if math.dist(corners[0], corners[1]) > math.dist(corners[1], corners[2]) else np.roll(corners, 1, 0)
    )
    near, far = layout.between(0.42, 0.58), layout.between(0.42, 0.58)
    cut = LineString([a + (b - a) * near, d + (c - d) * far])
    for half in shapely.get_parts(shapely.polygonize([ground.boundary.union(_longer(cut))])):
        if ground.contains(half.representative_point()):
            yield from _parcels(layout, half)


def _longer(cut: LineString) -> LineString:
    (x0, y0), (x1, y1) = shapely.get_coordinates(cut)
    return LineString([(2 * x0 - x1, 2 * y0 - y1), (2 * x1 - x0, 2 * y1 - y0)])


def _trees(layout: Layout, river: LineString) -> None:
    """Trees along the river, an orchard, and some along the fields."""
    standing = [thing.shape for thing in layout.things if thing.kind in {"house", "hall", "tree", "road", "pool"}]
    fields = sorted((thing for thing in layout.things if thing.kind == "field"), key=lambda thing: thing.shape.area)
    spots = [
        _frame(river, at, side * layout.between(9.5, 12), 1)
        for at in np.arange(4, river.length, 7.0)
        for side in (-1, 1)
    ]
    places = [(spot.x, spot.y, layout.between(2.2, 4.6)) for spot in spots if layout.chance(0.6)]
    for orchard in fields[len(fields) // 2 :][:1]:
        frame = Frame(orchard.shape.centroid.x, orchard.shape.centroid.y, orchard.angle, 1)
        grid = [frame.at(u, v) for u in np.arange(-119, 120, 8.5) for v in np.arange(-119, 120, 8.5)]
        places += [(x, y, layout.between(1.9, 2.6)) for x, y in grid if orchard.shape.buffer(-3).contains(Point(x, y))]
    for thing in fields[::3]:
        line = thing.shape.exterior
        for at in np.arange(0, line.length, 9.0):
            if layout.chance(0.3):
                spot = line.interpolate(at)
                places.append((spot.x, spot.y, layout.between(1.6, 3.6)))
    for x, y, radius in places:
        crown = _blob(x, y, radius, layout.rng)
        if not any(shapely.dwithin(other, crown, 0.4) for other in standing):
            standing.append(crown)
            layout.add("tree", crown, height=radius * layout.between(2.0, 2.8))
