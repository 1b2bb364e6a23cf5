"""Built sites of synthetic scenes: car parks, tanks, containers, solar panels and halls on paved ground."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geosam.training.synthetic import small_objects
from geosam.training.synthetic.canvas import Frame
from geosam.training.synthetic.ground import is_taken, meadow, spot
from geosam.training.synthetic.palette import mix
from geosam.training.synthetic.plants import crown
from geosam.training.synthetic.roofs import Wing, building, draw_roof

if TYPE_CHECKING:
    from collections.abc import Callable

    from geosam.training.synthetic.canvas import Canvas
    from geosam.training.synthetic.palette import Land

_TANKS = 2
#: Painters of what stands in rows, by the number of its kind; tanks, which need a radius, have a painter of their own.
_IN_ROWS: dict[int, Callable[[Canvas, Frame], None]] = {
    0: small_objects.vehicle,
    1: small_objects.container,
    3: small_objects.solar,
    4: small_objects.pool,
}


def paint_site(canvas: Canvas, land: Land) -> None:
    """Paint paved ground with rows of vehicles, containers, tanks, panels and pools, with halls and trees."""
    rng, size, metre = canvas.rng, canvas.size, 1 / canvas.gsd
    meadow(canvas, land)
    frame = Frame(size / 2, size / 2, float(rng.uniform(0, math.pi)))
    # paved with something between the local road and plain concrete
    grey = rng.normal(1, 0.12) * mix(land.road, (118, 118, 118), rng.random())
    for _ in range(rng.integers(1, 5)):
        u, v, half_u, half_v = rng.uniform((-0.5, -0.5, 0.2, 0.2), (0.5, 0.5, 0.8, 0.6)) * size
        canvas.fill(frame.box(u, v, half_u, half_v), grey * rng.normal(1, 0.06), rough=0.06)
    for _ in range(rng.integers(0, 4)):
        u, v = rng.uniform(-0.6, 0.6, 2) * size
        half_u, half_v = rng.uniform((6, 5), (40, 20)) * metre
        roof = draw_roof(canvas, land.soil, (0.03, 0.42, 0.25, 0.05, 0.05, 0.2))
        building(canvas, Frame(*frame.at(u, v), frame.angle), [Wing(0, 0, half_u, half_v)], roof)
    small_objects.litter(canvas, int(rng.integers(0, 80)), land)
    for _ in range(rng.integers(2, 7) + min(12, int((size * canvas.gsd / 60) ** 2))):
        _grid(canvas, frame, rng.choice(5, p=[0.4, 0.15, 0.17, 0.18, 0.1]))
    for _ in range(rng.integers(0, 60)):
        x, y = spot(canvas)
        if not is_taken(canvas, x, y):
            crown(canvas, (x, y), float(rng.lognormal(math.log(2), 0.4) * metre), land)


def _grid(canvas: Canvas, frame: Frame, kind: int) -> None:
    """Paint rows of vehicles, containers, tanks, panels or pools (by the number `kind`) at a random place."""
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
            if kind == _TANKS:
                small_objects.tank(canvas, here, radius)
            else:
                (small_objects.vehicle, small_objects.container, None, small_objects.solar, small_objects.pool)[kind](
                    canvas, here
                )  # type: ignore[misc]


def _bays(canvas: Canvas, base: Frame, step_uv: tuple[float, float], count_uv: tuple[int, int]) -> None:
    """Paint the lines between parked cars."""
    (step_u, step_v), (rows, columns) = step_uv, count_uv
    ink = canvas.rng.uniform(150, 230)
    for row in range(rows):
        for column in range(columns + 1):
            line = base.box(row * step_u, (column - 0.5) * step_v, 0.45 * step_u, max(0.06 / canvas.gsd, 0.3))
            canvas.fill(line, (ink, ink, ink), opacity=0.7)
