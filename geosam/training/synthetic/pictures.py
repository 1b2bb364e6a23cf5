"""Synthetic scenes: pictures of towns, fields and open country as a camera in the air sees them, with exact masks.

They are there to learn from what a map of real imagery cannot give: every object of every kind, exactly outlined, at
any ground resolution. Nothing in them is taken from a picture; palettes and textures were set by eye beside real ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geosam.training.samples import LabelledPicture
from geosam.training.synthetic.canvas import Canvas
from geosam.training.synthetic.country import paint_nature, paint_site
from geosam.training.synthetic.fields import paint_fields
from geosam.training.synthetic.palette import draw_land
from geosam.training.synthetic.towns import paint_town

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Kinds of scene: how often each is drawn and its range of ground resolutions, metres per pixel.
_KINDS = {
    "town": (0.38, (0.05, 0.7)),
    "fields": (0.36, (0.15, 10.0)),
    "nature": (0.16, (0.05, 10.0)),
    "site": (0.10, (0.05, 0.5)),
}
_PAINTERS = {"town": paint_town, "fields": paint_fields, "nature": paint_nature, "site": paint_site}
#: Visible pieces of fewer pixels are no objects.
_LEAST_PIXELS = 24


def render(rng: np.random.Generator, size: int = 512) -> LabelledPicture:
    """Draw a random scene.

    Args:
        rng: What everything follows from.
        size: Side of the picture in pixels.

    Returns:
        The picture; its instances are numbered from 1 without gaps, and every object is labelled.
    """
    kind = str(rng.choice(list(_KINDS), p=[share for share, _ in _KINDS.values()]))
    finest, coarsest = _KINDS[kind][1]
    gsd = math.exp(rng.uniform(math.log(finest), math.log(coarsest)))
    land = draw_land(rng)
    canvas = Canvas(size, gsd, rng)
    _PAINTERS[kind](canvas, land)
    canvas.cast_shadows()
    valid = _imaged(size, rng)
    return LabelledPicture(
        name=f"synthetic {kind}",
        rgb=_exposed(canvas, valid),
        valid=valid,
        instances=_renumbered(np.where(valid, canvas.instances, 0)),
        complete=np.ones((size, size), np.bool_),
        gsd=gsd,
    )


def _exposed(canvas: Canvas, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(3, H, W) through haze and lens, on a sensor, perhaps sharpened; 0 where nothing was imaged."""
    rng = canvas.rng
    light = np.clip(canvas.rgb, 0, 300).transpose(2, 0, 1)
    grey = light.mean(axis=0)
    vivid, contrast = np.float32(rng.uniform(0.45, 1.05)), np.float32(rng.uniform(0.9, 1.35))
    middle = grey.mean()
    toned = middle * np.float32(rng.uniform(0.9, 1.15)) + contrast * (grey + vivid * (light - grey) - middle)
    spread = rng.uniform(0.3, 0.8)
    seen = ndimage.gaussian_filter(toned, (0, spread, spread), truncate=3)
    if rng.random() < 0.6:
        wide = rng.uniform(0.7, 1.5)
        seen += np.float32(rng.uniform(0.2, 1.3)) * (seen - ndimage.gaussian_filter(seen, (0, wide, wide), truncate=3))
    noise = rng.standard_normal((1, *valid.shape), dtype=np.float32) * np.float32(rng.uniform(0, 4))
    noise = noise + rng.standard_normal(seen.shape, dtype=np.float32) * np.float32(rng.uniform(0, 2))
    return np.where(valid, np.clip(np.rint(seen + noise), 1, 255), 0).astype(np.uint8)


def _imaged(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(H, W) all of it but, now and then, a strip along a slanted edge."""
    if rng.random() < 0.92:
        return np.ones((size, size), np.bool_)
    turn, y, x = rng.uniform(0, math.tau), *np.ogrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j]
    return np.asarray(x * math.cos(turn) + y * math.sin(turn) < rng.uniform(0.15, 0.5), np.bool_)


def _renumbered(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    """The objects that are large enough to be seen, numbered from 1 without gaps."""
    sizes = np.bincount(instances.ravel())
    kept = sizes >= _LEAST_PIXELS
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[instances]
