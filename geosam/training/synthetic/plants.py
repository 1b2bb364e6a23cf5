"""Trees of synthetic scenes: single crowns, rows of crowns, and woods in which crowns cannot be told apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely
from scipy import ndimage

from geosam.training.synthetic.palette import lit, mix

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from geosam._arrays import Singles
    from geosam.training.synthetic.canvas import Canvas
    from geosam.training.synthetic.palette import Land


#: Least radius of a crown that is an object, pixels.
_LEAST_RADIUS = 4.0
_TURNS = 128


def crown(canvas: Canvas, xy: tuple[float, float], radius: float, land: Land, *, number: int | None = None) -> None:
    """Paint a tree: a bumpy dome of leaves.

    Args:
        canvas: the canvas.
        xy: middle of the crown, pixels.
        radius: radius in pixels.
        land: colours of the scene.
        number: number of the object that the crown is a part of; by default the crown is an object of its own.
    """
    rng = canvas.rng
    reach = _outline(rng, radius)
    widest = float(reach.max())
    x, y = xy
    patch = canvas.patch((x - widest, y - widest, x + widest, y + widest))
    if patch is None:
        return
    dx, dy = patch.x - np.float32(x), patch.y - np.float32(y)
    away = np.hypot(dx, dy)
    around = reach[(np.arctan2(dy, dx) * np.float32(_TURNS / math.tau)).astype(np.int32) % _TURNS]
    # leaves fray the rim by pixels, however large the crown is
    ragged = canvas.noise(patch, 2, max(2.5, radius / 2)) * np.float32(min(0.12 * radius, 1.5))
    alpha = _without_specks(np.clip(around + ragged - away + 0.5, 0, 1))
    dome = np.sqrt(np.clip(1.02 - (away / np.maximum(around, 1)) ** 2, 0, 1))
    clumps = canvas.noise(patch, max(2.5, radius / 6), max(3.0, radius / 1.6))
    top = np.float32(radius * rng.uniform(0.5, 1.1)) * dome + np.float32(radius * rng.uniform(0.04, 0.13)) * clumps
    colour = _foliage(canvas, land)
    light = _lit_leaves(canvas, top) * (1 + np.float32(0.14) * canvas.noise(patch, 2, max(5, radius / 3)))
    texture = lit(mix(*colour, 0.55 + 0.28 * clumps + 0.2 * (dome - 0.6)), light)
    label = number if number is not None else (canvas.number() if radius >= _LEAST_RADIUS else 0)
    trunk = np.float32(radius * rng.uniform(0.2, 1.2))
    canvas.paint(patch, alpha, texture, height=trunk + np.maximum(top, 0), number=label)


def _outline(rng: np.random.Generator, radius: float) -> Singles:
    """Draw the radius by direction (_TURNS,) of a rough disc, or of the star of a palm."""
    turn = np.arange(_TURNS) * (math.tau / _TURNS)
    reach = np.ones(_TURNS)
    for waves in (2, 3, 4, 6, 9):
        reach += rng.normal(0, 0.11) / waves**0.5 * np.cos(waves * turn + rng.uniform(0, math.tau))
    if rng.random() < 0.08 and radius > 6:
        reach *= 0.45 + 0.6 * np.abs(np.cos(rng.integers(3, 6) * turn + rng.uniform(0, math.pi)))
    return (radius * np.maximum(reach, 0.35)).astype(np.float32)


def _without_specks(alpha: Singles) -> Singles:
    """Return a coverage (H, W) without the crumbs that a ragged rim leaves around the object."""
    pieces, count = ndimage.label(alpha >= 0.5)
    if count < 2:
        return alpha
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    crumbs = sizes < sizes.max() / 10
    crumbs[0] = False
    return np.asarray(np.where(crumbs[pieces], 0, alpha), np.float32)


def _foliage(canvas: Canvas, land: Land) -> tuple[Singles, Singles]:
    rng = canvas.rng
    own = rng.normal(1, 0.12) * rng.normal(1, 0.06, 3)
    if rng.random() < 0.06:  # in flower, or nearly bare
        own = own * rng.uniform(1.1, 1.7, 3)
    return (land.shade * own).astype(np.float32), (land.leaf * own).astype(np.float32)


def _lit_leaves(canvas: Canvas, top: Singles) -> Singles:
    if min(top.shape) < 2:
        return np.ones_like(top)
    slope_y, slope_x = np.gradient(top)
    return 0.45 + 0.6 * canvas.light(np.clip(slope_x, -2, 2), np.clip(slope_y, -2, 2))


def wood(canvas: Canvas, shape: BaseGeometry, crown_radius: float, land: Land) -> None:
    """Paint a closed stand of crowns as one object; shape and radius in pixels."""
    patch = canvas.patch(shape.bounds, 2 * crown_radius)
    if shape.is_empty or patch is None:
        return
    rng = canvas.rng
    bumps = np.abs(canvas.noise(patch, max(2.5, 1.4 * crown_radius), max(3, 3.5 * crown_radius)))
    clumps = canvas.noise(patch, 2.5, max(3, 1.5 * crown_radius))
    top = np.float32(crown_radius) * (2.6 - 0.9 * bumps + 0.22 * clumps)
    ragged = canvas.noise(patch, max(2.5, crown_radius), max(5, 6 * crown_radius))
    inside = canvas.coverage(patch, shape)
    soft = np.asarray(ndimage.gaussian_filter(inside, max(0.6, 0.8 * crown_radius), truncate=2.5), np.float32)
    rim = np.clip(ragged, -1.5, 1.5) * np.float32(0.2 if crown_radius > 1 else 0) * (4 * soft * (1 - soft))
    alpha = _without_specks(np.clip((soft + rim - 0.5) * np.float32(max(1.5, 2.2 * crown_radius)) + 0.5, 0, 1))
    broad = canvas.noise(patch, 12 * crown_radius, 400)  # stands of different trees
    share = 0.35 - 0.35 * (bumps - 0.8) + 0.15 * clumps + 0.12 * broad
    light = _lit_leaves(canvas, top) * (1 + np.float32(0.1) * canvas.noise(patch, 2, 6) + np.float32(0.05) * broad)
    texture = lit(mix(*_foliage(canvas, land), share), light)
    canvas.paint(patch, alpha, texture, height=np.maximum(top, 0) * rng.uniform(1, 2.5), number=canvas.number())
    canvas.taken[patch.place] |= alpha > 0.1


def crowns_along(
    canvas: Canvas, line: BaseGeometry, radius: float, land: Land, *, gap: float, share: float = 1.0
) -> None:
    """Paint trees along a line, `gap` pixels apart, of which the given share stands."""
    rng = canvas.rng
    for at in np.arange(rng.uniform(0, gap), line.length, max(gap, 1.0)):
        if rng.random() < share:
            spot = shapely.line_interpolate_point(line, at)
            x, y = spot.x + rng.normal(0, radius / 4), spot.y + rng.normal(0, radius / 4)
            # crowns beside the canvas cost time and show nothing
            if -radius < x < canvas.size + radius and -radius < y < canvas.size + radius:
                crown(canvas, (x, y), radius * float(rng.lognormal(0, 0.25)), land)
