"""Prompts in pixels of one window, in the form that a segmenter takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from geosam.segmenters.pixel_prompts import Logits, PixelPrompts

if TYPE_CHECKING:
    from geosam._arrays import BoolArray
    from geosam.geometry.geobox import Window
    from geosam.prompts.prompt import ScenePrompt

#: Grid (pixels) for the vertices of mask polygons: GDAL's arithmetic is exact for short binary fractions, so a pixel's
#: centre on an edge falls on the same side in every window.
BURN_PX = 2.0**-8


def burn(polygon: Any, window: Window) -> BoolArray:
    """Mark the pixels (H, W) of a window whose centres lie in a polygon; if there are none, all that it touches.

    Args:
        polygon: shapely polygon in pixels of the scene.
        window: the window.
    """
    shift = Affine.translation(window.col_off, window.row_off)
    snapped = shapely.transform(polygon, lambda xy: np.round(xy / BURN_PX) * BURN_PX)
    burn = partial(rasterize, [snapped], out_shape=window.shape_hw, transform=shift, dtype=np.uint8)
    mask: BoolArray = burn().astype(bool)
    if not mask.any():  # a polygon thinner than a pixel still marks something
        mask = burn(all_touched=True).astype(bool)
    return mask


def in_window(prompts: Sequence[ScenePrompt], window: Window, logits: Sequence[Logits | None] = ()) -> PixelPrompts:
    """Shift prompts to the pixels of a window, in the given order; coordinates outside the window stay.

    Args:
        prompts: N prompts in pixels of the scene.
        window: the window.
        logits: logits of the earlier answer to each prompt, or None; empty if no prompt has any. They replace the
            polygon of their prompt.
    """
    earlier = tuple(logits) or (None,) * len(prompts)
    polygons = [p.polygon if former is None else None for p, former in zip(prompts, earlier, strict=True)]
    shift = np.array([window.col_off, window.row_off], np.float64)
    missing = (np.nan,) * 4
    boxes = np.array([missing if p.box_xyxy is None else p.box_xyxy for p in prompts], np.float64).reshape(-1, 4)
    return PixelPrompts(
        tuple(p.points_xy - shift for p in prompts),
        tuple(p.labels for p in prompts),
        boxes - np.tile(shift, 2),
        tuple(None if polygon is None else burn(polygon, window) for polygon in polygons),
        earlier if any(former is not None for former in earlier) else (),  # no logits at all: an empty tuple
    )
