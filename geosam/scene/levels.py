"""Levels: the choice of the overview of a file that serves a coarser resolution."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geosam.geometry.geobox import Window
from geosam.scene.raster import Raster, has_unwritten_blocks
from geosam.scene.resample import AxisScale

if TYPE_CHECKING:
    from geosam.scene.pixels import PixelReader

#: Share of sampled overview values that must lie within the range of the pixels they stand for.
_MIN_AGREEMENT = 0.95
#: Number of places along each axis where an overview is compared with the base, and their side in base pixels.
_PLACES, _SIDE = 6, 256
#: Resampling filters and lossy compression overshoot by this share of the range of values.
_OVERSHOOT = 0.1
#: They also round integers by this much.
_ROUNDING = 2


def choose_level(
    base: PixelReader, scale_xy: tuple[float, float]
) -> tuple[PixelReader, tuple[AxisScale, AxisScale], list[str]]:
    """Choose the level to read for a coarser grid.

    The coarsest overview is used that is at least as fine as the grid, if it agrees with the base.

    Args:
        base: reader of the base level.
        scale_xy: width and height of the grid's pixels, in base pixels.

    Returns:
        The reader of the level, the resampling from it along x and y, and warnings.
    """
    scale_x, scale_y = scale_xy
    with base.raster.handle() as ds:
        factors = [] if base.raster.gcps or base.plan.palette is not None else ds.overviews(base.plan.indexes[0])
        usable = [level for level, factor in enumerate(factors) if factor <= min(scale_xy) * (1 + 1e-9)]
        # An overview shows blocks that were never written as black, and its mask does not exclude them.
        usable = [] if usable and has_unwritten_blocks(ds, base.plan.indexes) else usable
    warnings: list[str] = []
    level = _at_level(base, usable[-1]) if usable else base
    # Programs that rewrite the pixels of a file often leave its overviews as they were.
    if level is not base and not _agrees(base, level):
        level = base
        warnings.append(f"the overviews of {base.raster.source.name} do not match its pixels: they are not used")
    fine_x, fine_y = base.width / level.width, base.height / level.height
    return level, (AxisScale(scale_x / fine_x, level.width), AxisScale(scale_y / fine_y, level.height)), warnings


def _at_level(base: PixelReader, level: int) -> PixelReader:
    raster = Raster(base.raster.source, overview=level)
    with raster.handle() as ds:
        return replace(base, raster=raster, width=ds.width, height=ds.height)


def _agrees(base: PixelReader, overview: PixelReader) -> bool:
    """Return True if nearly all sampled overview pixels lie within the range of the base pixels around them."""
    fine_x, fine_y = base.width / overview.width, base.height / overview.height
    inside = total = 0
    for x in np.linspace(0, 1, _PLACES):
        for y in np.linspace(0, 1, _PLACES):
            width, height = (
                max(1, min(int(_SIDE / f), n)) for f, n in ((fine_x, overview.width), (fine_y, overview.height))
            )
            window = Window(round(x * (overview.width - width)), round(y * (overview.height - height)), width, height)
            agreeing, compared = _compare(base, overview, window, (fine_x, fine_y))
            inside, total = inside + agreeing, total + compared
    return total == 0 or inside >= _MIN_AGREEMENT * total


def _compare(base: PixelReader, overview: PixelReader, window: Window, fine_xy: tuple[float, float]) -> tuple[int, int]:
    """Count the values in range and all values of the overview in a window of overview pixels."""
    fine_x, fine_y = fine_xy
    coarse, coarse_valid = overview.read(window)
    col, row = max(0, int((window.col_off - 1) * fine_x)), max(0, int((window.row_off - 1) * fine_y))
    col_end = min(base.width, int(np.ceil((window.col_end + 1) * fine_x)))
    row_end = min(base.height, int(np.ceil((window.row_end + 1) * fine_y)))
    fine, fine_valid = base.read(Window(col, row, col_end - col, row_end - row))
    centres = np.ix_(
        ((np.arange(window.row_off, window.row_end) + 0.5) * fine_y).astype(int) - row,
        ((np.arange(window.col_off, window.col_end) + 0.5) * fine_x).astype(int) - col,
    )
    compared = coarse_valid & fine_valid[centres]
    # Cubic and Lanczos filters reach about a pixel of the overview to either side.
    reach = (int(np.ceil(3 * fine_y)), int(np.ceil(3 * fine_x)))
    inside = 0
    for coarse_band, fine_band in zip(coarse, fine, strict=True):
        usable = fine_valid & np.isfinite(fine_band)
        highest = ndimage.maximum_filter(np.where(usable, fine_band, -np.inf), reach)[centres]
        lowest = ndimage.minimum_filter(np.where(usable, fine_band, np.inf), reach)[centres]
        slack = (
            _OVERSHOOT * np.ptp(fine_band[usable]) + _ROUNDING * (fine_band.dtype.kind in "iu") if usable.any() else 0.0
        )
        inside += int((compared & (coarse_band >= lowest - slack) & (coarse_band <= highest + slack)).sum())
    return inside, int(compared.sum()) * len(coarse)
