"""Pixels: one level of a raster as values and valid mask, in the orientation of the scene."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geosam.geometry.geobox import Window
from geosam.scene.raster import is_unwritten, unwritten_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.scene.bands import BandPlan
    from geosam.scene.raster import Raster

#: Side of the patches of a lattice in pixels, and their number along an axis: a scene of at most 16 * 64 = 1024 px a
#: side is sampled completely.
_PATCH, _LATTICES = 64, (16, 48, 144)
#: If a lattice meets fewer valid pixels than this, the next one is used.
_ENOUGH = 1000
#: Parallel requests to a server.
_CONNECTIONS = 8


@dataclass(frozen=True, eq=False)
class PixelReader:
    """Reader of windows of one level of a raster; pixels are counted as in the scene, which is north-up."""

    raster: Raster
    """The level's file."""
    plan: BandPlan
    """Bands of the picture, and the rule for valid pixels."""
    width: int
    """Columns of the level."""
    height: int
    """Rows of the level."""
    flip_x: bool
    """True if columns are counted from the right of the file."""
    flip_y: bool
    """True if rows are counted from the bottom of the file."""

    def read(self, window: Window) -> tuple[NDArray[Any], BoolArray]:
        """Read the values (B, H, W) of three bands or one, and the valid pixels (H, W).

        A pixel is invalid if its mask or alpha value is 0, if every band is nodata or not finite, or if it lies in a
        block that a sparse file never wrote.

        Raises:
            UnreadableScene: the file is damaged there.
        """
        plan, place = self.plan, self._in_file(window)
        indexes = plan.indexes if plan.alpha is None else (*plan.indexes, plan.alpha)
        values = self.raster.read(indexes, place)
        bands = values[: len(plan.indexes)]
        valid = _valid_values(bands, plan.nodata)
        if plan.alpha is not None:
            valid &= values[-1] > 0
        if plan.mask_bands:
            valid &= self.raster.read_masks(plan.mask_bands, place).any(axis=0)
        unwritten = self._unwritten(place, bands)
        if unwritten is not None:
            valid &= ~unwritten
        if plan.palette is not None:
            # The bits of a value as an unsigned number, because an int8 of -1 is entry 255.
            colours = plan.palette[:, bands[0].view(f"u{bands.itemsize}")]
            bands, valid = colours[:3], valid & (colours[3] > 0)
        return self._oriented(bands), self._oriented(valid)

    def is_unwritten(self, window: Window) -> bool:
        """Return True if a sparse file has no block at all in the window; no pixel is read for it."""
        if self.raster.overview is not None:
            return False
        with self.raster.handle() as ds:
            return is_unwritten(ds, self.plan.indexes, self._in_file(window))

    def sample(self) -> list[NDArray[Any]]:
        """Read the valid values on a lattice of patches of this level.

        The lattice is symmetric along both axes, so a flipped copy of the file gives the same values.

        Returns:
            One 1-D array for each band of the picture.
        """
        samples: list[NDArray[Any]] = []
        for count in _LATTICES:
            written = [window for window in self._lattice(count) if not self.is_unwritten(window)]
            # A server answers many requests at once, a disk or a decoder gains little from it.
            with ThreadPoolExecutor(_CONNECTIONS if self.raster.source.remote else 1) as pool:
                samples = [np.concatenate(columns) for columns in zip(*pool.map(self._patch, written), strict=True)]
            if max(map(len, samples), default=0) >= _ENOUGH or max(self.width, self.height) <= count * _PATCH:
                break
        return samples or [np.zeros(0)] * (3 if self.plan.palette is not None else len(self.plan.indexes))

    def _patch(self, window: Window) -> list[NDArray[Any]]:
        bands, valid = self.read(window)
        return [
            band[valid if nodata is None else valid & (band != nodata)]
            for band, nodata in zip(bands, self.plan.nodata * (len(bands) // len(self.plan.nodata)), strict=True)
        ]

    def _lattice(self, count: int) -> Iterator[Window]:
        for row, height in _patches(self.height, count):
            for col, width in _patches(self.width, count):
                yield Window(col, row, width, height)

    def _unwritten(self, place: Window, bands: NDArray[Any]) -> BoolArray | None:
        if self.raster.overview is not None:
            return None
        with self.raster.handle() as ds:
            return unwritten_pixels(ds, self.plan.indexes, place, bands)

    def _in_file(self, window: Window) -> Window:
        col = self.width - window.col_end if self.flip_x else window.col_off
        row = self.height - window.row_end if self.flip_y else window.row_off
        return Window(col, row, window.width, window.height)

    def _oriented(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.flip_x or self.flip_y:
            step_y, step_x = (-1 if self.flip_y else 1), (-1 if self.flip_x else 1)
            return np.ascontiguousarray(array[..., ::step_y, ::step_x])
        return array


def _patches(size: int, count: int) -> list[tuple[int, int]]:
    """Return (start, length) of the patches along one axis: the whole axis if `count` patches cover it.

    Else they are patches with gaps; the second half mirrors the first.
    """
    if size <= count * _PATCH:
        step = _LATTICES[0] * _PATCH
        return [(start, min(step, size - start)) for start in range(0, size, step)]
    first = [round(i * (size - _PATCH) / (count - 1)) for i in range(count // 2)]
    return [(start, _PATCH) for start in (*first, *(size - _PATCH - start for start in reversed(first)))]


def _valid_values(bands: NDArray[Any], nodata: Sequence[float | None]) -> BoolArray:
    """Return the pixels (H, W) where at least one band has a finite value other than its nodata value."""
    integer = bands.dtype.kind in "iu"
    if integer and None in nodata:  # every value of that band is valid
        return np.ones(bands.shape[1:], bool)
    valid = np.zeros(bands.shape[1:], bool)
    for band, missing in zip(bands, nodata, strict=True):
        finite = np.ones(band.shape, bool) if integer else np.isfinite(band)
        valid |= finite if missing is None else finite & (band != missing)
    return valid
