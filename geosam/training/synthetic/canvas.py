"""The canvas of synthetic scenes: colour, height above the ground and object number of every pixel.

Coordinates are corner-based pixels, x right and y down. Heights are in pixels, too, so slopes have no unit. Later
strokes cover earlier ones. Shadows follow from the heights when everything is painted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy import fft
from shapely.geometry import mapping

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from shapely.geometry.base import BaseGeometry

    from geosam._arrays import Floats, Singles


#: Wavelengths of the bands of noise, pixels.
_WAVELENGTHS = tuple(2.5 * 2.0**octave for octave in range(8))
#: Subpixels along each side of a pixel, to count the coverage of a polygon.
_SUBPIXELS = 3
#: Largest number of corners of a convex polygon whose coverage is computed by formula.
_FEW_CORNERS = 12
#: The longest shadow is 2 to this power, pixels.
_SHADOW_OCTAVES = 7


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels of a window of the canvas."""

    place: tuple[slice, slice]
    """Rows and columns on the canvas."""
    x: Singles
    """Middles of the columns (1, W), pixels."""
    y: Singles
    """Middles of the rows (H, 1), pixels."""

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.y.shape[0], self.x.shape[1]


class Frame(NamedTuple):
    """Local axes: u along a direction, v a quarter turn clockwise from it in the picture."""

    x: float
    y: float
    angle: float
    """Direction of u, radians from the x axis towards the y axis."""

    def at(self, u: float, v: float) -> tuple[float, float]:
        """Turn local coordinates into canvas coordinates (x, y)."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return self.x + u * cos - v * sin, self.y + u * sin + v * cos

    def axes(self, patch: Patch) -> tuple[Singles, Singles]:
        """Return u and v (H, W) of every pixel of a patch."""
        cos, sin = np.float32(math.cos(self.angle)), np.float32(math.sin(self.angle))
        dx, dy = patch.x - np.float32(self.x), patch.y - np.float32(self.y)
        return dx * cos + dy * sin, dy * cos - dx * sin

    def box(self, u: float, v: float, half_u: float, half_v: float) -> BaseGeometry:
        """Return the rectangle around (u, v) with the given halves of its sides."""
        corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return shapely.Polygon([self.at(u + a * half_u, v + b * half_v) for a, b in corners])


class Sun(NamedTuple):
    """Direction and strength of the light."""

    x: float
    y: float
    """Direction (x, y) to the sun as seen from above, of length 1."""
    reach: float
    """Length of the shadow of an object of height 1."""
    dark: tuple[float, float, float]
    """Share of red, green and blue light that a shadow takes away."""
    ambient: float
    """Share of the light that comes from the sky on slopes."""


class Canvas:
    """A picture while it is painted.

    Attributes:
        size: side in pixels.
        gsd: metres per pixel.
        rng: source of every random choice, so a seed gives one picture.
        rgb: colours (H, W, 3) from 0 to 255.
        height: height above the ground (H, W), pixels.
        instances: numbers of objects (H, W), 0 for none.
        taken: ground (H, W) on which nothing more may be built.
        sun: the light.
        lean: pixels (x, y) by which a pixel of height leans away from the camera.
    """

    def __init__(self, size: int, gsd: float, rng: np.random.Generator) -> None:
        self.size = size
        self.gsd = gsd
        self.rng = rng
        self.rgb = np.zeros((size, size, 3), np.float32)
        self.height = np.zeros((size, size), np.float32)
        self.instances = np.zeros((size, size), np.int32)
        self.taken = np.zeros((size, size), np.bool_)
        self.sun = _sun(rng)
        self.lean = rng.normal(0, 0.12, 2) * (rng.random() < 0.5)
        self._bands = _bands(size, rng)
        self._last = 0

    @property
    def count(self) -> int:
        """Number of objects so far: the last number given."""
        return self._last

    def number(self) -> int:
        """Return a number for a new object."""
        self._last += 1
        return self._last

    def whole(self) -> Patch:
        """Return all pixels."""
        return self._pixels(0, 0, self.size, self.size)

    def patch(self, bounds: ArrayLike, margin: float = 1.0) -> Patch | None:
        """Return the pixels within `bounds` (x0, y0, x1, y1) and a margin, or None where there are none."""
        low_x, low_y, high_x, high_y = (float(edge) for edge in np.asarray(bounds, np.float64))
        x0, y0 = max(0, math.floor(low_x - margin)), max(0, math.floor(low_y - margin))
        x1, y1 = min(self.size, math.ceil(high_x + margin)), min(self.size, math.ceil(high_y + margin))
        if x0 >= x1 or y0 >= y1:
            return None
        return self._pixels(x0, y0, x1, y1)

    def _pixels(self, x0: int, y0: int, x1: int, y1: int) -> Patch:
        x = np.arange(x0, x1, dtype=np.float32)[None] + np.float32(0.5)
        y = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5)
        return Patch((slice(y0, y1), slice(x0, x1)), x, y)

    def noise(self, patch: Patch, finest: float, coarsest: float) -> Singles:
        """Return noise (H, W) of standard deviation 1, equal parts of wavelengths `finest` to `coarsest`, pixels."""
        half = math.sqrt(2)
        chosen = [band for band, length in enumerate(_WAVELENGTHS) if finest / half <= length <= coarsest * half]
        chosen = chosen or [0 if coarsest < _WAVELENGTHS[0] else len(_WAVELENGTHS) - 1]
        height, width = patch.shape_hw
        spare = self._bands.shape[1]
        total = np.zeros((height, width), np.float32)
        for band in chosen:  # a random part of each band, so that no two patches look alike
            top, left = self.rng.integers(0, spare - height + 1), self.rng.integers(0, spare - width + 1)
            total += self._bands[band, top : top + height, left : left + width]
        return total * np.float32(1 / math.sqrt(len(chosen)))

    def coverage(self, patch: Patch, shape: BaseGeometry) -> Singles:
        """Return the share (H, W) of each pixel that a polygon covers."""
        if shape.geom_type == "Polygon" and not shape.interiors:
            corners = shapely.get_coordinates(shape)[:-1]
            if len(corners) <= _FEW_CORNERS and _is_convex(corners):
                return _within(patch, corners)  # faster than subpixels, and most shapes are boxes
        (rows, columns), (height, width) = patch.place, patch.shape_hw
        place = Affine(1 / _SUBPIXELS, 0, columns.start, 0, 1 / _SUBPIXELS, rows.start)
        covered = rasterize([mapping(shape)], (height * _SUBPIXELS, width * _SUBPIXELS), transform=place, dtype="uint8")
        lines = covered.reshape(height, _SUBPIXELS, width * _SUBPIXELS).sum(axis=1, dtype=np.uint8)
        counts = lines.reshape(height, width, _SUBPIXELS).sum(axis=2, dtype=np.uint8)
        return np.asarray(counts * np.float32(1 / _SUBPIXELS**2), np.float32)

    def paint(
        self, patch: Patch, alpha: Singles, colour: ArrayLike, *, height: ArrayLike = 0.0, number: int | None = 0
    ) -> None:
        """Paint over the pixels of a patch.

        Args:
            patch: the pixels.
            alpha: share (H, W) of each pixel that is covered, 0 to 1.
            colour: colour (3,) or texture (H, W, 3).
            height: height above the ground () or (H, W), pixels.
            number: number of the object. 0 hides the objects below and makes none; None leaves heights and numbers.
        """
        below = self.rgb[patch.place]
        below += alpha[..., None] * (np.asarray(colour, np.float32) - below)
        if number is not None:
            inside = alpha >= 0.5  # a pixel belongs to what covers most of it
            np.copyto(self.height[patch.place], np.asarray(height, np.float32), where=inside)
            np.copyto(self.instances[patch.place], number, where=inside)

    def fill(
        self,
        shape: BaseGeometry,
        colour: ArrayLike,
        *,
        rough: float = 0.0,
        opacity: float = 1.0,
        height: float = 0.0,
        number: int | None = 0,
    ) -> None:
        """Paint a polygon in one colour (3,) whose brightness varies by the share `rough`. See :meth:`paint`."""
        patch = None if shape.is_empty else self.patch(shape.bounds)
        if patch is None:
            return
        texture = np.asarray(colour, np.float32)
        if rough:
            texture = texture * (1 + rough * self.noise(patch, 2, 80))[..., None]
        self.paint(patch, self.coverage(patch, shape) * np.float32(opacity), texture, height=height, number=number)

    def claim(self, patch: Patch, alpha: Singles) -> bool:
        """Take the ground that a shape covers if all of it is free. Return True if it was."""
        ground, covered = self.taken[patch.place], alpha > 0.4
        is_free = not bool(ground[covered].any())
        if is_free:
            ground |= covered
        return is_free

    def light(self, slope_x: ArrayLike, slope_y: ArrayLike) -> Singles:
        """Return the light (H, W) on slopes (rise per pixel to the right and down), 1 on level ground."""
        east, south = np.asarray(slope_x, np.float32), np.asarray(slope_y, np.float32)
        facing = 1 - (east * self.sun.x + south * self.sun.y) * self.sun.reach
        direct = np.maximum(facing, 0) / np.sqrt(1 + east**2 + south**2)
        # a sensor that is exposed for level ground does not go far beyond
        return np.asarray(np.minimum(self.sun.ambient + (1 - self.sun.ambient) * direct, 1.7), np.float32)

    def cast_shadows(self) -> None:
        """Darken the pixels that lie in the shadow of higher ones."""
        horizon, step, drop = self.height.copy(), 1.0, 1 / self.sun.reach
        for _ in range(_SHADOW_OCTAVES):
            # a pixel is shaded from as far as the pixel `step` nearer to the sun is, or by that pixel itself
            nearer = _shifted(horizon, round(step * self.sun.x), round(step * self.sun.y))
            horizon = np.maximum(horizon, nearer - np.float32(step * drop))
            step *= 2
        shade = np.clip((horizon - self.height) / np.float32(max(0.6, drop)), 0, 1)[..., None]
        self.rgb *= 1 - shade * np.asarray(self.sun.dark, np.float32)


def _is_convex(corners: Floats) -> bool:
    """Return True if a ring (N, 2) turns the same way at every corner."""
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    return bool((turns > 0).all() or (turns < 0).all())


def _within(patch: Patch, corners: Floats) -> Singles:
    """Return the coverage (H, W) of a convex ring (N, 2) from the distances to its sides, faster than by subpixels."""
    middle_x, middle_y = corners.mean(axis=0)
    depth = np.full(patch.shape_hw, np.inf, np.float32)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = math.hypot(x1 - x0, y1 - y0)
        across_x, across_y = (y0 - y1) / length, (x1 - x0) / length
        if (middle_x - x0) * across_x + (middle_y - y0) * across_y < 0:
            across_x, across_y = -across_x, -across_y
        side = np.float32(across_x) * (patch.x - np.float32(x0)) + np.float32(across_y) * (patch.y - np.float32(y0))
        np.minimum(depth, side, out=depth)
    return np.asarray(np.clip(depth + np.float32(0.5), 0, 1), np.float32)


def _shifted(field: Singles, x: int, y: int) -> Singles:
    """Return for every pixel the value `x` to the right and `y` below it, 0 beyond the edge."""
    size_y, size_x = field.shape
    moved = np.zeros_like(field)
    if abs(x) < size_x and abs(y) < size_y:
        to_y, from_y = slice(max(0, -y), size_y - max(0, y)), slice(max(0, y), size_y - max(0, -y))
        to_x, from_x = slice(max(0, -x), size_x - max(0, x)), slice(max(0, x), size_x - max(0, -x))
        moved[to_y, to_x] = field[from_y, from_x]
    return moved


def _sun(rng: np.random.Generator) -> Sun:
    turn = rng.uniform(0, math.tau)
    strength = rng.uniform(0.4, 0.68) if rng.random() < 0.75 else rng.uniform(0.1, 0.4)  # one in four days is hazy
    blue = rng.uniform(0, 0.12)  # the sky lights shadows
    dark = (float(strength + blue / 2), float(strength), float(strength - blue))
    return Sun(
        math.cos(turn), math.sin(turn), float(0.3 + 1.4 * rng.random() ** 1.7), dark, float(rng.uniform(0.45, 0.8))
    )


def _bands(size: int, rng: np.random.Generator) -> Singles:
    """Return noise (B, S, S) of each wavelength, of mean 0 and standard deviation 1; S is 1.5 times the canvas."""
    white = fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    frequency = np.hypot(fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None]).astype(np.float32)
    frequency[0, 0] = 1e-6  # its logarithm is taken
    octave = -np.log2(frequency)
    more = size // 2  # room to cut patches at random places; the noise is periodic, so it goes on without a seam
    bands = np.empty((len(_WAVELENGTHS), size + more, size + more), np.float32)
    for band, length in zip(bands, _WAVELENGTHS, strict=True):
        away = octave - np.float32(math.log2(length))
        if length == _WAVELENGTHS[0]:  # the finest band takes all finer grain, too
            away = np.maximum(away, 0)
        field = fft.irfft2(white * np.exp(-(away**2)), s=(size, size))
        field *= 1 / max(float(field.std()), 1e-6)
        band[:size, :size] = field
        band[size:, :size] = field[:more]
        band[:, size:] = band[:, :more]
    return bands
