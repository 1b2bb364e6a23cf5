"""Towns of synthetic scenes: districts of houses along streets, from scattered farmsteads to roofs that nearly touch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from shapely import LineString

from geosam.training.synthetic_canvas import Frame
from geosam.training.synthetic_palette import lit, mix, pick
from geosam.training.synthetic_plants import crown
from geosam.training.synthetic_roofs import Wing, building, draw_roof

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam.training.synthetic_canvas import Canvas
    from geosam.training.synthetic_palette import Land

    Floats = NDArray[np.float32]

#: How often builders use rust, metal, painted sheets, tiles, shingles and concrete, in different parts of the world.
_HABITS = (
    (0.55, 0.22, 0.12, 0.02, 0.01, 0.08),
    (0.16, 0.22, 0.42, 0.10, 0.06, 0.04),
    (0.08, 0.16, 0.20, 0.06, 0.02, 0.48),
    (0.02, 0.08, 0.06, 0.14, 0.60, 0.10),
    (0.02, 0.06, 0.06, 0.68, 0.10, 0.08),
    (0.05, 0.40, 0.20, 0.03, 0.07, 0.25),
)


class Style(NamedTuple):
    """How a town is built."""

    habits: tuple[float, ...]
    """Probability of each material of a roof."""
    long_m: tuple[float, float]
    """Length of a house, metres."""
    slim: tuple[float, float]
    """Its depth as a share of its length."""
    space_m: tuple[float, float]
    """Between neighbours, metres."""
    order: float
    """1 where houses stand in rows, 0 where they stand anyhow."""
    wings: float
    """Share of houses of more than one part."""
    tries: int
    """Attempts to fill the gaps."""
    trees: float
    """Trees per 1000 square metres."""


_STYLES = (
    Style((), (5, 11), (0.5, 1.0), (0.1, 1.5), 0.5, 0.25, 260, 0.6),  # informal settlement
    Style((), (8, 20), (0.45, 0.9), (3, 14), 0.8, 0.5, 40, 3.0),  # suburb
    Style((), (8, 18), (0.5, 1.0), (0, 1.2), 0.95, 0.4, 120, 0.5),  # old town
    Style((), (18, 70), (0.3, 0.8), (6, 25), 0.9, 0.4, 20, 1.0),  # halls and blocks
    Style((), (4, 14), (0.5, 1.0), (8, 40), 0.1, 0.3, 12, 5.0),  # hamlet
)


def paint_town(canvas: Canvas, land: Land) -> None:
    """A town over the whole canvas."""
    rng = canvas.rng
    style = _STYLES[rng.choice(len(_STYLES), p=[0.27, 0.29, 0.18, 0.12, 0.14])]
    style = style._replace(habits=_HABITS[rng.integers(len(_HABITS))])
    _ground(canvas, land)
    angle = rng.uniform(0, math.pi)
    _streets(canvas, land, angle)
    middles = rng.uniform(0, canvas.size, (rng.integers(1, 4), 2))
    turns = angle + rng.choice([0, math.pi / 2, rng.normal(0, 0.5)], len(middles))
    for _ in range(rng.choice([0, 1], p=[0.6, 0.4])):
        _yards(canvas, land, style, angle)
    _rows(canvas, land, style, middles, turns)
    _fillers(canvas, land, style, middles, turns)
    _garden_trees(canvas, land, style)


def _ground(canvas: Canvas, land: Land) -> None:
    """Trodden soil, grass where nobody walks."""
    rng, whole = canvas.rng, canvas.whole()
    green = rng.uniform(-0.9, 1.2) + 0.7 * canvas.noise(whole, 16, 400) + 0.25 * canvas.noise(whole, 3, 16)
    soil = lit(land.soil, 1 + 0.07 * canvas.noise(whole, 8, 400))
    grass = mix(land.grass, land.straw, 0.3 + 0.3 * canvas.noise(whole, 10, 400))
    light = 1 + np.float32(rng.uniform(0.02, 0.07)) * canvas.noise(whole, 2, 12)
    canvas.paint(whole, np.ones(whole.shape_hw, np.float32), lit(mix(soil, grass, green), light))


def _streets(canvas: Canvas, land: Land, angle: float) -> None:
    rng, metre, size = canvas.rng, 1 / canvas.gsd, canvas.size
    colour = land.road if rng.random() < 0.7 else mix(land.soil, land.road, 0.3)
    for number in range(rng.integers(1, 4)):
        x, y = rng.uniform(0, size, 2)
        turn = angle + (number % 2) * math.pi / 2 + rng.normal(0, 0.08)
        frame = Frame(x, y, turn)
        along = np.linspace(-1.5 * size, 1.5 * size, 40)
        sway = rng.uniform(0, 0.05) * size * np.sin(along / size * rng.uniform(1, 5) + rng.uniform(0, 6))
        line = LineString([frame.at(u, v) for u, v in zip(along, sway, strict=True)])
        width = float(rng.uniform(2.5, 9) * metre)
        canvas.fill(line.buffer(width * rng.uniform(0.5, 0.8)), mix(colour, land.soil, 0.6), rough=0.06, opacity=0.7)
        road = line.buffer(width / 2)
        canvas.fill(road, colour, rough=0.05)
        patch = canvas.patch(road.bounds)
        if patch is not None:
            canvas.taken[patch.place] |= canvas.coverage(patch, road) > 0


def _yards(canvas: Canvas, land: Land, style: Style, angle: float) -> None:
    """Gardens and paved yards under the houses."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    pitch = (sum(style.long_m) / 2 + sum(style.space_m)) * metre * rng.uniform(1, 2)
    for _ in range(min(60, int(0.5 * (canvas.size / pitch) ** 2) + 1)):
        frame = Frame(*rng.uniform(0, canvas.size, 2), angle)
        colour = pick((land.grass, land.soil, land.straw, land.road, mix(land.soil, land.grass, 0.5)), rng)
        half_u, half_v = pitch * rng.uniform(0.2, 0.7, 2)
        canvas.fill(frame.box(0, 0, half_u, half_v), colour, rough=0.07, opacity=float(rng.uniform(0.4, 1)))


def _rows(canvas: Canvas, land: Land, style: Style, middles: Floats, turns: Floats) -> None:
    """Houses in rows, each district in a direction of its own."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    length, space = np.mean(style.long_m) * metre, np.mean(style.space_m) * metre
    depth = length * np.mean(style.slim)
    reach = 0.75 * canvas.size
    for number, turn in enumerate(turns):
        frame = Frame(canvas.size / 2, canvas.size / 2, float(turn))
        v, row = -reach, 0
        while v < reach:
            u = -reach + rng.uniform(0, length)
            while u < reach:
                x, y = frame.at(u, v)
                nearest = int(np.argmin(np.hypot(*(middles - (x, y)).T)))
                if nearest == number and -length < min(x, y) and max(x, y) < canvas.size + length:
                    _house(canvas, land, style, Frame(x, y, frame.angle))
                u += (length + space) * rng.uniform(0.85, 1.2)
            row += 1
            v += (depth + space) * rng.uniform(0.9, 1.15) + (row % 2) * space * rng.uniform(0.5, 2)


def _fillers(canvas: Canvas, land: Land, style: Style, middles: Floats, turns: Floats) -> None:
    rng = canvas.rng
    for _ in range(style.tries):
        x, y = rng.uniform(0, canvas.size, 2)
        nearest = int(np.argmin(np.hypot(*(middles - (x, y)).T)))
        _house(canvas, land, style, Frame(x, y, float(turns[nearest])))


def _house(canvas: Canvas, land: Land, style: Style, frame: Frame) -> None:
    rng, metre = canvas.rng, 1 / canvas.gsd
    spread = 1 - style.order
    length = rng.uniform(*style.long_m) * metre
    half_u, half_v = length / 2, length * rng.uniform(*style.slim) / 2
    if rng.random() < 0.3:
        half_u, half_v = half_v, half_u
    turn = frame.angle + rng.normal(0, 0.02 + 0.12 * spread) + (rng.uniform(0, 3) if rng.random() < spread / 3 else 0)
    x, y = frame.x + rng.normal(0, 0.06 * length), frame.y + rng.normal(0, 0.06 * length)
    if min(half_u, half_v) < 2.5 or canvas.taken[int(np.clip(y, 0, canvas.size - 1)), int(np.clip(x, 0, canvas.size - 1))]:
        return
    roof = draw_roof(canvas, land.soil, style.habits)
    wings, court = [Wing(0, 0, half_u, half_v)], None
    if rng.random() < style.wings:
        wings, court = _shape(half_u, half_v, rng)
    building(canvas, Frame(float(x), float(y), float(turn)), wings, roof, court)


def _shape(half_u: float, half_v: float, rng: np.random.Generator) -> tuple[list[Wing], Wing | None]:
    """An L, T, U or court within the given rectangle."""
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


def _garden_trees(canvas: Canvas, land: Land, style: Style) -> None:
    rng, metre = canvas.rng, 1 / canvas.gsd
    area = (canvas.size * canvas.gsd) ** 2
    amount = min(250, rng.poisson(style.trees * rng.lognormal(0, 0.6) * area / 1000))
    for _ in range(amount):
        radius = float(rng.lognormal(math.log(1.8), 0.5) * metre)
        if radius < 1:
            continue
        x, y = rng.uniform(-radius, canvas.size + radius, 2)
        place = int(np.clip(y, 0, canvas.size - 1)), int(np.clip(x, 0, canvas.size - 1))
        if canvas.taken[place] and rng.random() < 0.85:
            continue
        crown(canvas, (float(x), float(y)), radius, land)
