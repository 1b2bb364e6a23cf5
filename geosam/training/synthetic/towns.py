"""Towns of synthetic scenes: districts of houses along streets, from scattered huts to roofs that nearly touch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.training.synthetic import small_objects
from geosam.training.synthetic.canvas import Frame
from geosam.training.synthetic.foundations import foundation
from geosam.training.synthetic.ground import crossing, is_taken, meadow, road, spot, trodden
from geosam.training.synthetic.palette import mix, pick
from geosam.training.synthetic.plants import crown
from geosam.training.synthetic.roofs import Wing, building, draw_roof

if TYPE_CHECKING:
    from geosam._arrays import Floats
    from geosam.training.synthetic.canvas import Canvas
    from geosam.training.synthetic.palette import Land


#: Probability of rust, metal, painted sheets, tiles, shingles and concrete in different parts of the world.
_HABITS = (
    (0.55, 0.22, 0.12, 0.02, 0.01, 0.08),
    (0.16, 0.22, 0.42, 0.10, 0.06, 0.04),
    (0.08, 0.16, 0.20, 0.06, 0.02, 0.48),
    (0.02, 0.08, 0.06, 0.14, 0.60, 0.10),
    (0.02, 0.06, 0.06, 0.68, 0.10, 0.08),
    (0.05, 0.40, 0.20, 0.03, 0.07, 0.25),
)


class Style(NamedTuple):
    """Habits of building in a town; lengths in metres."""

    long_m: tuple[float, float]
    """Least and greatest length of a house."""
    slim: tuple[float, float]
    """Depth of a house as a share of its length."""
    space_m: tuple[float, float]
    """Least and greatest distance of neighbours."""
    order: float
    """Regularity: 1 for houses in rows, 0 for houses at random."""
    wings: float
    """Share of houses of more than one part."""
    tries: int
    """Attempts to fill the gaps."""
    trees: float
    """Trees per 1000 square metres."""
    litter: float
    """Pieces of litter per 1000 square metres."""


class Builders(NamedTuple):
    """Builders of a district and their materials."""

    style: Style
    habits: Floats
    """Probability (6,) of each material of a roof."""
    unfinished: float
    """Share of houses without a roof: not yet built, or decayed."""


_STYLES = (
    Style((5, 11), (0.5, 1.0), (0.1, 1.5), 0.5, 0.25, 260, 0.6, 14),  # informal settlement
    Style((8, 20), (0.45, 0.9), (3, 14), 0.8, 0.5, 40, 3.0, 4),  # suburb
    Style((6, 16), (0.5, 1.0), (0, 1.2), 0.95, 0.4, 60, 0.5, 6),  # old town
    Style((18, 70), (0.3, 0.8), (6, 25), 0.9, 0.4, 20, 1.0, 2),  # halls and blocks
    Style((4, 14), (0.5, 1.0), (8, 40), 0.1, 0.3, 12, 5.0, 3),  # hamlet
)
_OLD_TOWN = 2


def paint_town(canvas: Canvas, land: Land) -> None:
    """Paint a town over the whole canvas."""
    rng = canvas.rng
    number = int(rng.choice(len(_STYLES), p=[0.27, 0.27, 0.2, 0.12, 0.14]))
    habits = 0.75 * np.array(_HABITS[rng.integers(len(_HABITS))]) + 0.25 * rng.dirichlet(np.ones(6))
    unfinished = rng.uniform(0.05, 0.45) if rng.random() < 0.6 else 0.0
    builders = Builders(_STYLES[number], habits, float(unfinished))
    area = (canvas.size * canvas.gsd) ** 2 / 1000
    (meadow if rng.random() < 0.25 else trodden)(canvas, land)
    angle = float(rng.uniform(0, math.pi))
    _yards(canvas, land, builders.style, angle)
    _streets(canvas, land, angle)
    middles = rng.uniform(0, canvas.size, (rng.integers(1, 4), 2))
    turns = angle + rng.choice([0, math.pi / 2, rng.normal(0, 0.5)], len(middles))
    small_objects.litter(canvas, int(min(150, rng.poisson(builders.style.litter * rng.uniform(0.2, 2) * area))), land)
    if number == _OLD_TOWN:
        _blocks(canvas, land, builders, angle)
    else:
        _rows(canvas, land, builders, middles, turns)
    _fillers(canvas, land, builders, middles, turns)
    _extras(canvas, angle, area)
    _garden_trees(canvas, land, builders.style, area)


def _streets(canvas: Canvas, land: Land, angle: float) -> None:
    rng, metre = canvas.rng, 1 / canvas.gsd
    colour = land.road if rng.random() < 0.7 else mix(land.soil, land.road, 0.3)
    for number in range(rng.integers(1, 4)):
        turn = angle + (number % 2) * math.pi / 2 + rng.normal(0, 0.08)
        line = crossing(canvas, float(turn), float(rng.choice([2, 12, 40])))
        narrow = rng.random() < 0.4
        road(canvas, line, float((rng.uniform(0.8, 2.5) if narrow else rng.uniform(3, 9)) * metre), colour, land)


def _yards(canvas: Canvas, land: Land, style: Style, angle: float) -> None:
    """Paint gardens and paved yards under the houses, some of them walled."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    pitch = (sum(style.long_m) / 2 + sum(style.space_m)) * metre * rng.uniform(1, 2)
    walled = rng.uniform(0, 0.5)
    for _ in range(min(50, int(rng.uniform(0, 0.6) * (canvas.size / pitch) ** 2) + 1)):
        frame = Frame(*spot(canvas), angle)
        colours = (land.grass, land.soil, land.straw, land.road, mix(land.soil, land.grass, 0.5), land.shade * 1.3)
        half_u, half_v = pitch * rng.uniform(0.2, 0.7, 2)
        yard = frame.box(0, 0, half_u, half_v)
        canvas.fill(yard, pick(colours, rng), rough=0.09, opacity=float(rng.uniform(0.4, 1)))
        if rng.random() < walled and metre > 1.5:
            small_objects.wall(canvas, yard.exterior, land)


def _blocks(canvas: Canvas, land: Land, builders: Builders, angle: float) -> None:
    """Paint blocks between lanes, full of houses that share their walls."""
    rng, metre, reach = canvas.rng, 1 / canvas.gsd, 0.75 * canvas.size
    block_u, block_v = rng.uniform(20, 60) * metre, rng.uniform(14, 40) * metre
    lane = float(rng.uniform(1, 5) * metre)
    frame = Frame(canvas.size / 2, canvas.size / 2, angle)
    for u in np.arange(-reach, reach, block_u + lane):
        shift = rng.uniform(0, block_v)
        for v in np.arange(-reach - shift, reach, block_v + lane):
            todo = [Wing(u, v, block_u / 2, block_v / 2)]
            while todo:
                cell = todo.pop()
                house = rng.uniform(*builders.style.long_m) * metre / 2
                x, y = frame.at(cell.u, cell.v)
                seen = -house < min(x, y) and max(x, y) < canvas.size + house
                # blocks reach beyond the canvas; their houses would cost time and show nothing
                if not seen and max(cell.half_u, cell.half_v) < 2 * house:
                    continue
                if max(cell.half_u, cell.half_v) < 1.2 * house:
                    _fitted(canvas, land, builders, Frame(x, y, angle), cell)
                else:
                    todo += cell.cut(rng)


def _fitted(canvas: Canvas, land: Land, builders: Builders, frame: Frame, cell: Wing) -> None:
    """Paint a house that fills its plot, sometimes beside a yard."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    if rng.random() < 0.08 or min(cell.half_u, cell.half_v) < 3:
        return
    left = rng.choice([0, 0.4 * metre, rng.uniform(0, 0.5) * cell.half_v], p=[0.6, 0.2, 0.2])
    half_u, half_v = cell.half_u - 0.3, cell.half_v - 0.3 - left / 2
    v = float(left / 2 * rng.choice([-1, 1]))
    roof = draw_roof(canvas, land.soil, builders.habits)
    wings, court = [Wing(0, v, half_u, half_v)], None
    if rng.random() < 0.15:
        wings, court = _shape(half_u, half_v, rng)
    building(canvas, frame, wings, roof, court)


def _extras(canvas: Canvas, angle: float, area: float) -> None:
    """Paint vehicles, pools and tanks where the ground is free."""
    rng = canvas.rng
    for _ in range(min(60, rng.poisson(rng.uniform(0, 1.5) * area))):
        frame = Frame(*spot(canvas), angle + rng.choice([0, math.pi / 2]) + rng.normal(0, 0.1))
        small_objects.vehicle(canvas, frame)
    for _ in range(min(25, rng.poisson(rng.choice([0, 0.4]) * area))):
        small_objects.pool(canvas, Frame(*spot(canvas), angle))
    for _ in range(min(25, rng.poisson(rng.choice([0, 0.3]) * area))):
        small_objects.tank(canvas, Frame(*spot(canvas), 0.0), float(rng.uniform(0.6, 4)))


def _rows(canvas: Canvas, land: Land, builders: Builders, middles: Floats, turns: Floats) -> None:
    """Paint houses in rows, each district in a direction of its own."""
    rng, metre, style = canvas.rng, 1 / canvas.gsd, builders.style
    length, space = np.mean(style.long_m) * metre, np.mean(style.space_m) * metre
    depth = length * np.mean(style.slim)
    reach = 0.75 * canvas.size
    for number, turn in enumerate(turns):
        frame = Frame(canvas.size / 2, canvas.size / 2, float(turn))
        v, row = float(-reach), 0
        while v < reach:
            u = -reach + rng.uniform(0, length)
            while u < reach:
                x, y = frame.at(u, v)
                nearest = int(np.argmin(np.hypot(*(middles - (x, y)).T)))
                if nearest == number and -length < min(x, y) and max(x, y) < canvas.size + length:
                    _house(canvas, land, builders, Frame(x, y, frame.angle))
                u += (length + space) * rng.uniform(0.85, 1.2)
            row += 1
            v += float((depth + space) * rng.uniform(0.9, 1.15) + (row % 2) * space * rng.uniform(0.5, 2))


def _fillers(canvas: Canvas, land: Land, builders: Builders, middles: Floats, turns: Floats) -> None:
    rng = canvas.rng
    for _ in range(builders.style.tries):
        x, y = rng.uniform(0, canvas.size, 2)
        nearest = int(np.argmin(np.hypot(*(middles - (x, y)).T)))
        _house(canvas, land, builders, Frame(x, y, float(turns[nearest])))


def _house(canvas: Canvas, land: Land, builders: Builders, frame: Frame) -> None:
    rng, metre, style = canvas.rng, 1 / canvas.gsd, builders.style
    spread = 1 - style.order
    length = rng.uniform(*style.long_m) * metre
    half_u, half_v = length / 2, length * rng.uniform(*style.slim) / 2
    if rng.random() < 0.3:
        half_u, half_v = half_v, half_u
    turn = frame.angle + rng.normal(0, 0.02 + 0.12 * spread) + (rng.uniform(0, 3) if rng.random() < spread / 3 else 0)
    x, y = frame.x + rng.normal(0, 0.06 * length), frame.y + rng.normal(0, 0.06 * length)
    if min(half_u, half_v) < 2.5 or is_taken(canvas, x, y):  # spares the work of a building that `claim` would refuse
        return
    roof = draw_roof(canvas, land.soil, builders.habits)
    wings, court = [Wing(0, 0, half_u, half_v)], None
    if rng.random() < style.wings:
        wings, court = _shape(half_u, half_v, rng)
    here = Frame(float(x), float(y), float(turn))
    if court is None and rng.random() < builders.unfinished:
        foundation(canvas, land, here, wings)
        return
    if building(canvas, here, wings, roof, court) and rng.random() < 0.3:
        _shed(canvas, land, builders, here, wings[0])


def _shed(canvas: Canvas, land: Land, builders: Builders, frame: Frame, house: Wing) -> None:
    """Paint a lower building against a wall of a house."""
    rng = canvas.rng
    side = rng.choice([-1, 1])
    half_u, half_v = house.half_u * rng.uniform(0.25, 0.8), house.half_v * rng.uniform(0.2, 0.5)
    if min(half_u, half_v) < 2.5:  # too few pixels to be seen as a building
        return
    u = house.u + rng.uniform(-1, 1) * (house.half_u - half_u)
    v = house.v + side * (house.half_v + half_v + rng.choice([0.5, 1.5]))
    roof = draw_roof(canvas, land.soil, builders.habits)
    building(canvas, frame, [Wing(u, v, half_u, half_v)], roof._replace(form="shed", eaves=0.7 * roof.eaves))


def _shape(half_u: float, half_v: float, rng: np.random.Generator) -> tuple[list[Wing], Wing | None]:
    """Draw an L, T, U or court within the given rectangle. Return its wings and the open court."""
    thick_u, thick_v = half_u * rng.uniform(0.3, 0.55), half_v * rng.uniform(0.3, 0.55)
    base = Wing(0, half_v - thick_v, half_u, thick_v)
    kind = rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])
    if kind == 3 and min(half_u, half_v) > 12:
        hole = Wing(0, 0, half_u * rng.uniform(0.2, 0.5), half_v * rng.uniform(0.2, 0.5))
        return [Wing(0, 0, half_u, half_v)], hole
    side = rng.choice([-1, 1]) * (half_u - thick_u)
    if kind == 0:
        return [base, Wing(side, 0, thick_u, half_v)], None
    if kind == 1:
        return [base, Wing(side * rng.uniform(-0.5, 0.5), 0, thick_u, half_v)], None
    return [base, Wing(side, 0, thick_u * 0.7, half_v), Wing(-side, 0, thick_u * 0.7, half_v)], None


def _garden_trees(canvas: Canvas, land: Land, style: Style, area: float) -> None:
    rng, metre = canvas.rng, 1 / canvas.gsd
    for _ in range(min(220, rng.poisson(style.trees * rng.lognormal(0, 0.7) * area))):
        radius = float(rng.lognormal(math.log(2.1), 0.55) * metre)
        x, y = spot(canvas)
        # some crowns hang over roofs
        if radius > 1 and (not is_taken(canvas, x, y) or rng.random() < 0.1):
            crown(canvas, (x, y), radius, land)
