"""Canvas: a picture that shapes are painted on, antialiased, with noise to make textures of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from PIL import Image
from rasterio.features import rasterize
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from shapely.geometry.base import BaseGeometry

    Floats = NDArray[np.float32]

#: Subpixels along each side of a pixel when a shape's coverage is counted.
_SUBPIXELS = 4
#: Sizes of the grains of each noise, metres.
_GRAINS = {"grain": (0.3,), "clump": (0.9, 0.5), "patch": (9.0, 4.0, 2.0), "cloud": (70.0, 30.0)}


@dataclass(frozen=True, eq=False)
class Patch:
    """The pixels around a shape."""

    place: tuple[slice, slice]
    """(rows, columns) of the picture."""
    alpha: Floats
    """(H, W) share of each pixel that the shape covers."""
    x: Floats
    """(1, W) metres from the picture's left edge to the middle of each column."""
    y: Floats
    """(H, 1) metres from the picture's upper edge to the middle of each row."""
    noise: dict[str, Floats]
    """(H, W) noise of mean 0 and standard deviation 1, by the size of its grains: grain, clump, patch, cloud."""

    def across(self, angle: float) -> Floats:
        """(H, W) metres across the direction `angle`: constant along it."""
        return np.asarray(-self.x * np.sin(angle) + self.y * np.cos(angle), np.float32)


class Canvas:
    """A picture in the making, (H, W, 3) floats from 0 to 255."""

    def __init__(self, width: int, height: int, pixel_m: float, rng: np.random.Generator) -> None:
        self.pixel_m = pixel_m
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.shadow = np.zeros((height, width), np.float32)
        self._noise = {
            name: _noise((height, width), [size / pixel_m for size in sizes], rng) for name, sizes in _GRAINS.items()
        }

    def patch(self, shape: BaseGeometry) -> Patch | None:
        """The pixels around a shape; None where the picture does not show it."""
        height, width = self.shadow.shape
        if shape.is_empty:
            return None
        bounds = np.array(shape.bounds) / self.pixel_m
        x0, y0 = np.clip(np.floor(bounds[:2]).astype(int) - 2, 0, (width, height))
        x1, y1 = np.clip(np.ceil(bounds[2:]).astype(int) + 2, 0, (width, height))
        if x0 >= x1 or y0 >= y1:
            return None
        place = slice(y0, y1), slice(x0, x1)
        x = np.asarray((np.arange(x0, x1)[None] + 0.5) * self.pixel_m, np.float32)
        y = np.asarray((np.arange(y0, y1)[:, None] + 0.5) * self.pixel_m, np.float32)
        noise = {name: field[place] for name, field in self._noise.items()}
        return Patch(place, self._coverage(shape, (x0, y0), (y1 - y0, x1 - x0)), x, y, noise)

    def paint(self, patch: Patch, colour: ArrayLike, opacity: ArrayLike = 1.0) -> None:
        """Lay a colour (3,) or a texture (H, W, 3) over what a patch's shape covers."""
        alpha = (patch.alpha * np.asarray(opacity, np.float32))[..., None]
        below = self.rgb[patch.place]
        below += alpha * (np.asarray(colour, np.float32) - below)

    def fill(self, shape: BaseGeometry, colour: ArrayLike, opacity: float = 1.0) -> None:
        """Paint a shape in one colour (3,)."""
        patch = self.patch(shape)
        if patch is not None:
            self.paint(patch, colour, opacity)

    def cast(self, shape: BaseGeometry) -> None:
        """Note a shape that lies in shadow."""
        patch = self.patch(shape)
        if patch is not None:
            np.maximum(self.shadow[patch.place], patch.alpha, out=self.shadow[patch.place])

    def _coverage(self, shape: BaseGeometry, origin_xy: tuple[int, int], shape_hw: tuple[int, int]) -> Floats:
        (height, width), fine = shape_hw, self.pixel_m / _SUBPIXELS
        place = Affine(fine, 0, origin_xy[0] * self.pixel_m, 0, fine, origin_xy[1] * self.pixel_m)
        covered = rasterize([shape], (height * _SUBPIXELS, width * _SUBPIXELS), transform=place, dtype="uint8")
        blocks = covered.reshape(height, _SUBPIXELS, width, _SUBPIXELS)
        return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def _noise(shape_hw: tuple[int, int], sizes_px: list[float], rng: np.random.Generator) -> Floats:
    """(H, W) smooth noise of mean 0 and standard deviation 1 with grains of the given sizes."""
    height, width = shape_hw
    total = np.zeros(shape_hw, np.float32)
    for size in sizes_px:
        coarse = rng.standard_normal((int(height / size) + 3, int(width / size) + 3)).astype(np.float32)
        box = (1.0, 1.0, 1 + width / size, 1 + height / size)
        total += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC, box))
    total -= total.mean()
    return np.asarray(total / total.std(), np.float32)


def soften(alpha: Floats, pixels: float) -> Floats:
    """A coverage (H, W) with its edges blurred."""
    return np.asarray(ndimage.gaussian_filter(alpha, pixels), np.float32)
