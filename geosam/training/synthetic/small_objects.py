"""Small objects of synthetic scenes: vehicles, pools, tanks, containers, solar panels, boats, rocks, walls and litter.

Sizes are in metres, because such objects have the same size everywhere. An object of few pixels gets no number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely import LineString, Point, Polygon

from geosam.training.synthetic.ground import blob, is_taken
from geosam.training.synthetic.palette import lit, mix, pick

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from geosam.training.synthetic.canvas import Canvas, Frame
    from geosam.training.synthetic.palette import Land


_CARS = (
    (228, 228, 230), (210, 212, 214), (40, 42, 46), (28, 28, 32), (150, 154, 160), (120, 122, 126), (150, 40, 40),
    (44, 66, 112), (176, 172, 160), (84, 88, 92), (196, 170, 60), (60, 84, 66),
)  # fmt: skip
_BOXES = ((150, 62, 48), (44, 84, 130), (60, 110, 84), (190, 120, 50), (200, 200, 198), (120, 122, 124), (96, 60, 50))
_TANKS = ((226, 226, 222), (190, 190, 186), (150, 150, 148), (52, 52, 56), (120, 92, 74), (210, 206, 190))
_LITTER = ((206, 204, 200), (60, 56, 54), (60, 96, 150), (150, 80, 60), (128, 116, 100), (90, 84, 76), (176, 160, 130))
_ROCKS = ((150, 146, 138), (122, 118, 112), (172, 164, 150), (96, 92, 90))
#: Least area of an object that gets a number, square pixels.
_LEAST_AREA = 36.0


def _number(canvas: Canvas, shape: BaseGeometry) -> int:
    return canvas.number() if shape.area >= _LEAST_AREA else 0


def vehicle(canvas: Canvas, frame: Frame) -> None:
    """Paint a car, van or truck in the direction u if the ground is free."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    large = rng.random() < 0.15
    half_u = metre * (rng.uniform(3, 8) if large else rng.uniform(1.9, 2.5))
    half_v = metre * (1.25 if large else rng.uniform(0.8, 1.0))
    corner = min(0.35 * metre, 0.6 * half_v)
    body = frame.box(0, 0, half_u - corner, half_v - corner).buffer(corner, quad_segs=2)
    patch = canvas.patch(body.bounds)
    if patch is None or half_v < 1 or not canvas.claim(patch, canvas.coverage(patch, body)):
        return
    colour = pick(_CARS, rng)
    number = _number(canvas, body)  # once for body, load and glass: one object
    height = (2.8 if large else 1.5) / canvas.gsd
    canvas.fill(body, colour * 0.92, rough=0.02, height=height, number=number)
    if large:
        canvas.fill(frame.box(-0.12 * half_u, 0, 0.8 * half_u, 0.9 * half_v), pick(_BOXES, rng), number=None)
    elif half_v > 2:
        glass = pick(((36, 40, 46), (70, 78, 86), (24, 26, 30)), rng)
        canvas.fill(frame.box(-0.15 * half_u, 0, 0.62 * half_u, 0.82 * half_v), glass, number=None)
        canvas.fill(frame.box(-0.22 * half_u, 0, 0.36 * half_u, 0.72 * half_v), colour, number=None)


def pool(canvas: Canvas, frame: Frame) -> None:
    """Paint a swimming pool with a paved rim if the ground is free."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    half_u, half_v = metre * rng.uniform(2, 7), metre * rng.uniform(1.5, 3.5)
    if rng.random() < 0.35:
        ring = shapely.get_coordinates(Point(0, 0).buffer(1)) * (half_u, half_v)
        shape = Polygon([frame.at(u, v) for u, v in ring])
    else:
        corner = half_v * rng.uniform(0, 0.7)
        shape = frame.box(0, 0, half_u - corner, half_v - corner).buffer(corner)
    rim = shape.buffer(metre * rng.uniform(0.4, 2))
    patch = canvas.patch(rim.bounds)
    if patch is None or not canvas.claim(patch, canvas.coverage(patch, rim)):
        return
    canvas.fill(rim, pick(((206, 200, 188), (180, 172, 160), (170, 140, 120)), rng), rough=0.04)
    water = pick(((92, 176, 196), (70, 140, 170), (120, 190, 196), (64, 108, 104), (150, 200, 206)), rng)
    canvas.fill(shape, water, rough=0.05, number=_number(canvas, shape))


def tank(canvas: Canvas, frame: Frame, radius_m: float) -> None:
    """Paint a round tank or silo with a cone or a lid if the ground is free."""
    rng = canvas.rng
    radius = radius_m / canvas.gsd
    patch = canvas.patch((frame.x - radius, frame.y - radius, frame.x + radius, frame.y + radius))
    if patch is None or radius < 2:
        return
    dx, dy = patch.x - np.float32(frame.x), patch.y - np.float32(frame.y)
    away = np.maximum(np.hypot(dx, dy), 0.5)  # the slope at the tip has no direction
    alpha = np.clip(radius - away + 0.5, 0, 1).astype(np.float32)
    if not canvas.claim(patch, alpha):
        return
    steep = rng.choice([0.0, rng.uniform(0.1, 0.5)])
    light = canvas.light(-steep * dx / away, -steep * dy / away)
    light = light * (1 - 0.25 * np.clip(2.0 - (radius - away), 0, 1) * rng.random()) + 0.03 * canvas.noise(patch, 2, 60)
    top = radius_m * rng.uniform(0.4, 2.5) / canvas.gsd + steep * (radius - away)
    number = canvas.number() if math.pi * radius**2 >= _LEAST_AREA else 0
    canvas.paint(patch, alpha, lit(pick(_TANKS, rng), light), height=top, number=number)


def container(canvas: Canvas, frame: Frame) -> None:
    """Paint a steel container of 20 or 40 feet if the ground is free."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    shape = frame.box(0, 0, metre * (3.05 if rng.random() < 0.5 else 6.1), metre * 1.22)
    patch = canvas.patch(shape.bounds)
    if patch is None or metre < 1.5:
        return
    alpha = canvas.coverage(patch, shape)
    if canvas.claim(patch, alpha):
        u, _ = frame.axes(patch)
        ribs = np.cos(u * np.float32(math.tau / max(0.5 * metre, 2.5)))
        light = 1 + 0.05 * ribs + 0.06 * canvas.noise(patch, 3, 60)
        top = 2.6 * rng.integers(1, 4) * metre
        canvas.paint(patch, alpha, lit(pick(_BOXES, rng), light), height=top, number=_number(canvas, shape))


def solar(canvas: Canvas, frame: Frame) -> None:
    """Paint a table of solar panels if the ground is free."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    shape = frame.box(0, 0, metre * rng.uniform(3, 20), metre * rng.uniform(0.9, 2.2))
    patch = canvas.patch(shape.bounds)
    if patch is None:
        return
    alpha = canvas.coverage(patch, shape)
    if not canvas.claim(patch, alpha):
        return
    u, v = frame.axes(patch)
    cell = max(1.0 * metre, 3.0)
    lines = ((u / cell) % 1 < 1 / cell) | ((v / cell) % 1 < 1 / cell)
    base = pick(((38, 48, 78), (48, 56, 74), (30, 34, 50), (70, 84, 112)), rng)
    texture = mix(base, (150, 156, 164), 0.45 * lines + 0.05 * canvas.noise(patch, 2, 40))
    canvas.paint(patch, alpha, texture, height=1.2 * metre, number=_number(canvas, shape))


def boat(canvas: Canvas, frame: Frame) -> None:
    """Paint a boat whose bow points in the direction u."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    half_u = metre * float(rng.lognormal(math.log(3.5), 0.5))
    half_v = half_u * rng.uniform(0.2, 0.36)
    hull = ((-1, -0.8), (0.3, -1), (1, 0), (0.3, 1), (-1, 0.8))
    shape = Polygon([frame.at(half_u * u, half_v * v) for u, v in hull])
    if canvas.patch(shape.bounds) is None:
        return
    canvas.fill(shape, pick(_CARS, rng), height=metre, number=_number(canvas, shape), rough=0.03)
    inner = frame.box(-0.2 * half_u, 0, 0.5 * half_u, 0.5 * half_v)
    canvas.fill(inner, pick(_LITTER, rng), number=None)


def rock(canvas: Canvas, xy: tuple[float, float], radius: float) -> None:
    """Paint a boulder with a radius in pixels."""
    rng = canvas.rng
    shape = blob(xy, radius, rng, rough=0.2)
    patch = canvas.patch(shape.bounds)
    if patch is None:
        return
    away = np.hypot(patch.x - np.float32(xy[0]), patch.y - np.float32(xy[1])) / np.float32(radius)
    top = radius * (0.5 * np.sqrt(np.clip(1.3 - away**2, 0, 1)) + 0.12 * canvas.noise(patch, 3, max(4, radius)))
    light = canvas.light(*np.gradient(top)[::-1]) if min(top.shape) > 1 else np.ones_like(top)
    texture = lit(pick(_ROCKS, rng, 0.12), light * (1 + 0.06 * canvas.noise(patch, 2, 10)))
    number = _number(canvas, shape)
    canvas.paint(patch, canvas.coverage(patch, shape), texture, height=np.maximum(top, 0), number=number)


def wall(canvas: Canvas, line: LineString, land: Land) -> None:
    """Paint a wall, a fence or a hedge along a line; it is no object."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    if rng.random() < 0.25:
        shape = line.buffer(0.5 * metre, cap_style="flat")
        canvas.fill(shape, mix(land.shade, land.leaf, 0.5), rough=0.15, height=1.5 * metre)
    else:
        shape = line.buffer(max(0.12 * metre, 0.4), cap_style="flat")
        canvas.fill(shape, pick((land.road, land.soil, (190, 184, 172)), rng, 0.15), rough=0.06, height=1.8 * metre)


def litter(canvas: Canvas, amount: int, land: Land) -> None:
    """Paint heaps, litter and bushes on the free ground; they are no objects."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    for _ in range(amount):
        x, y = rng.uniform(0, canvas.size, 2)
        if is_taken(canvas, x, y):
            continue
        size = float(np.clip(rng.lognormal(math.log(0.5), 0.6) * metre, 0.7, 14))
        turn = rng.uniform(0, math.tau, 1) + np.sort(rng.uniform(0, math.tau, rng.integers(4, 8)))
        shape = Polygon(np.stack([x + size * np.cos(turn), y + size * rng.uniform(0.4, 1) * np.sin(turn)], axis=1))
        bush, earth = mix(land.shade, land.leaf, rng.random()), land.soil * rng.uniform(0.6, 1.4)
        tone = (pick(_LITTER, rng, 0.15), bush, earth)[rng.choice(3, p=[0.4, 0.35, 0.25])]
        height = float(rng.uniform(0, 0.8) * metre)
        canvas.fill(shape, tone, opacity=float(rng.uniform(0.4, 1)), height=height, rough=0.08)
