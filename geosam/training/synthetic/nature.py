"""Open country of synthetic scenes: woods, lakes and rivers, scrub and single trees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geosam.training.synthetic import small_objects
from geosam.training.synthetic.canvas import Frame
from geosam.training.synthetic.ground import blob, crossing, grove, is_taken, meadow, river, road, spot, water
from geosam.training.synthetic.palette import mix
from geosam.training.synthetic.plants import crown

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from geosam.training.synthetic.canvas import Canvas
    from geosam.training.synthetic.palette import Land


def paint_nature(canvas: Canvas, land: Land) -> None:
    """Paint grass, scrub, single trees and woods, water and rocks over the whole canvas."""
    rng, size, metre = canvas.rng, canvas.size, 1 / canvas.gsd
    meadow(canvas, land)
    more = 1 if canvas.gsd > 1 else 0  # a coarse picture shows a larger area
    for _ in range(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]) + more * rng.integers(0, 8)):
        radius = float(np.exp(rng.uniform(math.log(8), math.log(0.5 * size))))
        _lake(canvas, blob(spot(canvas), radius, rng, rough=0.22), land)
    if rng.random() < 0.35:
        river(canvas, land)
    if rng.random() < 0.45:
        colour = mix(land.soil, land.road, rng.random())
        line = crossing(canvas, rng.uniform(0, math.pi), rng.uniform(5, 80))
        road(canvas, line, float(np.clip(rng.uniform(1, 6) * metre, 1, 40)), colour, land)
    if canvas.gsd > 0.25:  # a wood at a finer resolution would fill the picture
        for _ in range(rng.integers(0, 6) + more * rng.integers(0, 14)):
            radius = float(np.exp(rng.uniform(math.log(10), math.log(0.6 * size))))
            grove(canvas, blob(spot(canvas), radius, rng, rough=0.25), land)
    if canvas.gsd < 0.5:  # a coarser picture does not show litter
        small_objects.litter(canvas, int(rng.integers(0, 80)), land)
    typical = float(rng.uniform(1.2, 5.5) * metre)
    if typical > 1.2:
        _trees(canvas, land, typical)
    if rng.random() < 0.3:
        for _ in range(rng.integers(3, 60)):
            small_objects.rock(canvas, spot(canvas), float(np.clip(rng.lognormal(math.log(1.2), 0.8) * metre, 1, 60)))


def _lake(canvas: Canvas, shape: BaseGeometry, land: Land) -> None:
    """Paint a lake with an island and boats if the ground is free."""
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
                small_objects.boat(canvas, Frame(x, y, float(rng.uniform(0, math.tau))))


def _trees(canvas: Canvas, land: Land, typical: float) -> None:
    """Paint single trees, and groups in which crowns touch; `typical` is their radius in pixels."""
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
