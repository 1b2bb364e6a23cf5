"""Open country and built sites of synthetic scenes: woods, lakes and rivers; car parks, tanks, containers, panels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geosam.training.synthetic import things
from geosam.training.synthetic.canvas import Frame
from geosam.training.synthetic.ground import blob, crossing, grove, is_taken, meadow, river, road, spot, water
from geosam.training.synthetic.palette import mix
from geosam.training.synthetic.plants import crown
from geosam.training.synthetic.roofs import Wing, building, draw_roof

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from geosam.training.synthetic.canvas import Canvas
    from geosam.training.synthetic.palette import Land

    Floats = NDArray[np.float32]


def paint_nature(canvas: Canvas, land: Land) -> None:
    """Grass, scrub, trees alone and together, water and rocks."""
    rng, size, metre = canvas.rng, canvas.size, 1 / canvas.gsd
    meadow(canvas, land)
    more = 1 if canvas.gsd > 1 else 0  # the coarser, the more is in the picture
    for _ in range(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]) + more * rng.integers(0, 8)):
        radius = float(np.exp(rng.uniform(math.log(8), math.log(0.5 * size))))
        _lake(canvas, blob(spot(canvas), radius, rng, rough=0.22), land)
    if rng.random() < 0.35:
        river(canvas, land)
    if rng.random() < 0.45:
        colour = mix(land.soil, land.road, rng.random())
        line = crossing(canvas, rng.uniform(0, math.pi), rng.uniform(5, 80))
        road(canvas, line, float(np.clip(rng.uniform(1, 6) * metre, 1, 40)), colour, land)
    if canvas.gsd > 0.25:
        for _ in range(rng.integers(0, 6) + more * rng.integers(0, 14)):
            radius = float(np.exp(rng.uniform(math.log(10), math.log(0.6 * size))))
            grove(canvas, blob(spot(canvas), radius, rng, rough=0.25), land)
    if canvas.gsd < 0.5:
        things.litter(canvas, int(rng.integers(0, 80)), land)
    typical = float(rng.uniform(1.2, 5.5) * metre)
    if typical > 1.2:
        _trees(canvas, land, typical)
    if rng.random() < 0.3:
        for _ in range(rng.integers(3, 60)):
            things.rock(canvas, spot(canvas), float(np.clip(rng.lognormal(math.log(1.2), 0.8) * metre, 1, 60)))


def paint_site(canvas: Canvas, land: Land) -> None:
    """Paved ground with what stands on it in rows: vehicles, containers, tanks, panels; halls, pools, trees."""
    rng, size, metre = canvas.rng, canvas.size, 1 / canvas.gsd
    meadow(canvas, land)
    frame = Frame(size / 2, size / 2, float(rng.uniform(0, math.pi)))
    grey = rng.normal(1, 0.12) * mix(land.road, (118, 118, 118), rng.random())
    for _ in range(rng.integers(1, 5)):
        u, v, half_u, half_v = rng.uniform((-0.5, -0.5, 0.2, 0.2), (0.5, 0.5, 0.8, 0.6)) * size
        canvas.fill(frame.box(u, v, half_u, half_v), grey * rng.normal(1, 0.06), rough=0.06)
    for _ in range(rng.integers(0, 4)):
        u, v = rng.uniform(-0.6, 0.6, 2) * size
        half_u, half_v = rng.uniform((6, 5), (40, 20)) * metre
        roof = draw_roof(canvas, land.soil, (0.03, 0.42, 0.25, 0.05, 0.05, 0.2))
        building(canvas, Frame(*frame.at(u, v), frame.angle), [Wing(0, 0, half_u, half_v)], roof)
    things.litter(canvas, int(rng.integers(0, 80)), land)
    for _ in range(rng.integers(2, 7) + min(12, int((size * canvas.gsd / 60) ** 2))):
        _grid(canvas, frame, rng.choice(5, p=[0.4, 0.15, 0.17, 0.18, 0.1]))
    for _ in range(rng.integers(0, 60)):
        x, y = spot(canvas)
        if not is_taken(canvas, x, y):
            crown(canvas, (x, y), float(rng.lognormal(math.log(2), 0.4) * metre), land)


def _grid(canvas: Canvas, frame: Frame, kind: int) -> None:
    """Things in rows from a random spot on: vehicles, containers, tanks, panels or pools, by the number `kind`."""
    rng, metre = canvas.rng, 1 / canvas.gsd
    middle_u, middle_v = rng.uniform(-0.45, 0.45, 2) * canvas.size
    radius = float(rng.lognormal(math.log(4), 0.6))
    step_u, step_v = ((5.5, 2.7), (13, 2.7), (2.4 * radius, 2.4 * radius), (42, 6), (18, 14))[kind]
    rows, columns = ((2, 18), (4, 12), (3, 4), (8, 3), (2, 2))[kind]
    rows, columns = int(rng.integers(1, rows + 1)), int(rng.integers(1, columns + 1))
    presence, turn = rng.uniform(0.4, 1), rng.choice([0, math.pi / 2])
    base = Frame(*frame.at(middle_u, middle_v), frame.angle + turn)
    if kind == 0 and rng.random() < 0.6:
        _bays(canvas, base, (step_u * metre, step_v * metre), (rows, columns))
    for row in range(rows):
        for column in range(columns):
            if rng.random() > presence:
                continue
            u, v = row * step_u + rng.normal(0, 0.12), column * step_v + rng.normal(0, 0.08)
            x, y = base.at(u * metre, v * metre)
            here = Frame(x, y, base.angle + rng.normal(0, 0.03) + math.pi * rng.integers(2))
            if kind == 2:
                things.tank(canvas, here, radius)
            else:
                (things.vehicle, things.container, None, things.solar, things.pool)[kind](canvas, here)  # type: ignore[misc]


def _bays(canvas: Canvas, base: Frame, step_uv: tuple[float, float], count_uv: tuple[int, int]) -> None:
    """Lines between parked cars."""
    (step_u, step_v), (rows, columns) = step_uv, count_uv
    ink = canvas.rng.uniform(150, 230)
    for row in range(rows):
        for column in range(columns + 1):
            line = base.box(row * step_u, (column - 0.5) * step_v, 0.45 * step_u, max(0.06 / canvas.gsd, 0.3))
            canvas.fill(line, (ink, ink, ink), opacity=0.7)


def _lake(canvas: Canvas, shape: BaseGeometry, land: Land) -> None:
    """Water, with islands and boats."""
    rng = canvas.rng
    if rng.random() < 0.3:
        middle, radius = shape.centroid, math.sqrt(shape.area / math.pi)
        shape = shape.difference(blob((middle.x, middle.y), radius * rng.uniform(0.1, 0.35), rng, rough=0.2))
    patch = canvas.patch(shape.bounds)
    if patch is None or not canvas.claim(patch, canvas.coverage(patch, shape)):
        return
    water(canvas, shape, land)
    if canvas.gsd < 1 and rng.random() < 0.4:
        for _ in range(rng.integers(1, 12)):
            x, y = spot(canvas)
            if shape.buffer(-3 / canvas.gsd).contains(shapely.Point(x, y)):
                things.boat(canvas, Frame(x, y, float(rng.uniform(0, math.tau))))


def _trees(canvas: Canvas, land: Land, typical: float) -> None:
    """Single trees, and groups in which crowns touch."""
    rng = canvas.rng
    middles = rng.uniform(0, canvas.size, (rng.integers(1, 7), 2))
    spread = rng.uniform(2, 8) * typical
    cover = rng.uniform(0.01, 0.3) if rng.random() < 0.7 else rng.uniform(0.5, 2.0)
    amount = min(280, int(cover * canvas.size**2 / (math.pi * typical**2)) + 2)
    for _ in range(amount):
        if rng.random() < 0.6 and cover < 0.5:
            x, y = middles[rng.integers(len(middles))] + rng.normal(0, spread, 2)
        else:
            x, y = spot(canvas)
        if not is_taken(canvas, x, y):
            crown(canvas, (float(x), float(y)), typical * float(rng.lognormal(0, 0.35)), land)
