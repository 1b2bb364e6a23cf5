"""Ground of synthetic scenes: surfaces, roads, water and woods, and the smooth curves that bend them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy import ndimage
from shapely import LineString, Polygon

from geosam.training.synthetic.canvas import Frame
from geosam.training.synthetic.palette import lit, mix, pick
from geosam.training.synthetic.plants import crowns_along, wood

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from geosam._arrays import Floats, Singles
    from geosam.training.synthetic.canvas import Canvas
    from geosam.training.synthetic.palette import Land


class Warp:
    """Smooth displacement of the plane, which bends straight lines."""

    def __init__(self, rng: np.random.Generator, size: int, amount: float) -> None:
        waves = rng.integers(2, 5)
        lengths = size * rng.uniform(0.3, 1.5, waves)
        self._turns = rng.uniform(0, math.tau, waves)
        self._rates = math.tau / lengths
        self._phases = rng.uniform(0, math.tau, (waves, 2))
        self._amounts = amount * (lengths / size)[:, None] * rng.normal(0, 0.5, (waves, 2))

    def __call__(self, xy: Floats) -> Floats:
        """Move points (N, 2), pixels."""
        moved = xy.copy()
        for turn, rate, phases, amounts in zip(self._turns, self._rates, self._phases, self._amounts, strict=True):
            along = rate * (xy[:, 0] * math.cos(turn) + xy[:, 1] * math.sin(turn))
            moved += amounts * np.sin(along[:, None] + phases)
        return moved

    def bend(self, shape: BaseGeometry, step: float = 12.0) -> BaseGeometry:
        """Return a shape with all its edges bent, after cutting them into steps of `step` pixels."""
        return shapely.transform(shapely.segmentize(shape, step), self)


def blob(xy: tuple[float, float], radius: float, rng: np.random.Generator, rough: float) -> Polygon:
    """Return a disc with an uneven outline, stretched along a random direction; lengths in pixels."""
    turn = np.linspace(0, math.tau, 72, endpoint=False)
    reach = np.ones_like(turn)
    for waves in (2, 3, 4, 5, 7, 11):
        reach += rng.normal(0, rough) / waves**0.8 * np.cos(waves * turn + rng.uniform(0, math.tau))
    reach = radius * np.maximum(reach, 0.25)  # never through the middle
    axis, stretch = rng.uniform(0, math.pi), rng.uniform(0.5, 1.0)
    frame = Frame(*xy, float(axis))
    return Polygon([frame.at(u, v) for u, v in zip(reach * np.cos(turn), stretch * reach * np.sin(turn), strict=True)])


def spot(canvas: Canvas) -> tuple[float, float]:
    """Draw a place (x, y) on the canvas or just beside it."""
    x, y = canvas.rng.uniform(-0.05, 1.05, 2) * canvas.size
    return float(x), float(y)


def is_taken(canvas: Canvas, x: float, y: float) -> bool:
    """Return True if the ground at a place is taken; beside the canvas the nearest pixel counts."""
    row, column = (int(np.clip(at, 0, canvas.size - 1)) for at in (y, x))
    return bool(canvas.taken[row, column])


def crossing(canvas: Canvas, angle: float, bend: float) -> LineString:
    """Draw a line across the whole canvas in about the given direction (radians), bent by about `bend` pixels."""
    size = canvas.size
    x, y = canvas.rng.uniform(0.05, 0.95, 2) * size
    frame = Frame(float(x), float(y), angle)
    return Warp(canvas.rng, size, bend).bend(LineString([frame.at(-1.6 * size, 0), frame.at(1.6 * size, 0)]))


def meadow(canvas: Canvas, land: Land) -> None:
    """Paint green and dry grass with bare patches over the whole canvas."""
    rng, whole = canvas.rng, canvas.whole()
    dry = rng.uniform(-0.2, 1.1) + 0.35 * canvas.noise(whole, 10, 400)
    bare = rng.uniform(-1.5, 0.7) + 0.5 * canvas.noise(whole, 20, 400) + 0.25 * canvas.noise(whole, 2.5, 20)
    _cover(canvas, mix(mix(land.grass, land.straw, dry), land.soil, bare))


def trodden(canvas: Canvas, land: Land) -> None:
    """Paint bare soil over the whole canvas, with grass and weeds where nobody walks."""
    rng, whole = canvas.rng, canvas.whole()
    green = rng.uniform(-0.9, 1.2) + 0.6 * canvas.noise(whole, 16, 400) + 0.35 * canvas.noise(whole, 2.5, 16)
    soil = lit(land.soil, 1 + 0.09 * canvas.noise(whole, 8, 400))
    _cover(canvas, mix(soil, mix(land.grass, land.straw, 0.3 + 0.3 * canvas.noise(whole, 10, 400)), green))


def _cover(canvas: Canvas, texture: Singles) -> None:
    rng, whole = canvas.rng, canvas.whole()
    light = 1 + np.float32(rng.uniform(0.03, 0.13)) * canvas.noise(whole, 2, 8)
    light += 0.05 * canvas.noise(whole, 10, 400)
    canvas.paint(whole, np.ones(whole.shape_hw, np.float32), lit(texture, light))


def road(canvas: Canvas, line: LineString, width: float, colour: Singles, land: Land) -> None:
    """Paint a road, `width` pixels wide, with worn verges and, if it is wide, wheel tracks; it takes its ground."""
    rng = canvas.rng
    verge = mix(colour, mix(land.soil, land.grass, rng.random()), rng.uniform(0.4, 1))
    canvas.fill(line.buffer(width * rng.uniform(0.5, 1.1)), verge, rough=0.09, opacity=float(rng.uniform(0.3, 1)))
    surface = line.buffer(width / 2)
    patch = canvas.patch(surface.bounds)
    if patch is None:
        return
    alpha = canvas.coverage(patch, surface)
    texture = lit(colour, 1 + 0.05 * canvas.noise(patch, 8, 400) + 0.04 * canvas.noise(patch, 2, 6))
    canvas.paint(patch, alpha, texture)
    canvas.taken[patch.place] |= alpha > 0  # not by `claim`: roads cross each other
    if width > 8 and rng.random() < 0.6:
        side = width * rng.uniform(0.12, 0.25)
        for edge in (-side, side):
            track = line.offset_curve(edge).buffer(width * 0.05)
            canvas.fill(track, colour * rng.normal(1, 0.12), opacity=0.5, rough=0.08, number=None)


def water(canvas: Canvas, shape: BaseGeometry, land: Land) -> None:
    """Paint a lake, pond or river as one object, darker where it is deep, with a shore and perhaps weeds."""
    rng = canvas.rng
    patch = None if shape.is_empty else canvas.patch(shape.bounds, 8)
    if patch is None:
        return
    inside = canvas.coverage(patch, shape)
    # the shore is blurred outward, so that the outline of the water itself stays exact
    bank = np.clip(1.6 * _blurred(inside, rng.uniform(0.5, 5)), 0, 1) * np.float32(rng.uniform(0, 0.8))
    canvas.paint(patch, bank, pick((land.soil, land.straw, land.shade), rng), number=None)
    deep = np.clip(2 * _blurred(inside, rng.uniform(1, 10)) - 1, 0, 1)
    body = pick((land.water, land.water, land.water * 0.6, mix(land.water, land.soil, 0.5)), rng, 0.15)
    shallow = mix(body, mix(land.soil, land.grass, rng.random()), rng.uniform(0, 0.5))
    ripples = 1 + np.float32(rng.uniform(0, 0.05)) * canvas.noise(patch, 2.5, 20)
    ripples += np.float32(rng.uniform(0, 0.08)) * canvas.noise(patch, 30, 400)
    weeds = np.clip(canvas.noise(patch, 4, 160) - rng.uniform(1.0, 4.0), 0, 1)
    texture = lit(mix(mix(shallow, body, deep), land.grass, weeds), ripples)
    canvas.paint(patch, inside, texture, number=canvas.number())
    canvas.taken[patch.place] |= inside > 0.5


def _blurred(field: Singles, sigma: float) -> Singles:
    return np.asarray(ndimage.gaussian_filter(field, sigma, truncate=2.5), np.float32)


def river(canvas: Canvas, land: Land) -> None:
    """Paint a winding river across the canvas, often with trees on its banks."""
    rng, size = canvas.rng, canvas.size
    line = crossing(canvas, rng.uniform(0, math.pi), rng.uniform(20, 150))
    width = float(np.exp(rng.uniform(math.log(3), math.log(0.3 * size))))
    water(canvas, line.buffer(width / 2), land)
    radius = float(rng.uniform(2, 6) / canvas.gsd)
    if rng.random() < 0.6 and radius > 1.2:
        for side in (-1, 1):
            bank = line.offset_curve(side * (width / 2 + radius * rng.uniform(0.6, 2)))
            gap, share = radius * rng.uniform(0.8, 4), rng.uniform(0.3, 1)
            crowns_along(canvas, bank, radius, land, gap=max(gap, 6), share=share)


def grove(canvas: Canvas, shape: BaseGeometry, land: Land) -> None:
    """Paint a wood, with clearings if it is large."""
    rng = canvas.rng
    radius = math.sqrt(shape.area / math.pi)
    for _ in range(rng.integers(0, 4) if radius > 60 else 0):
        middle = shape.centroid.x + rng.normal(0, radius / 2), shape.centroid.y + rng.normal(0, radius / 2)
        shape = shape.difference(blob(middle, radius * rng.uniform(0.08, 0.3), rng, rough=0.2))
    for part in shapely.get_parts(shape):
        if part.area > 100:
            wood(canvas, part, float(np.clip(rng.uniform(2, 6) / canvas.gsd, 0.8, 20)), land)
