"""Random synthetic scenes as labelled pictures: towns, fields, open country and built sites with exact masks.

They teach what maps of real imagery lack: every object of every kind, exactly outlined, at any ground resolution.
Palettes and textures were set by eye beside real pictures.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geosam.training.samples import LabelledPicture
from geosam.training.synthetic.canvas import Canvas
from geosam.training.synthetic.fields import paint_fields
from geosam.training.synthetic.nature import paint_nature
from geosam.training.synthetic.palette import draw_land
from geosam.training.synthetic.sites import paint_site
from geosam.training.synthetic.towns import paint_town

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Bytes, Labels

#: Kinds of scene: probability and range of ground resolutions, metres per pixel.
_KINDS = {
    "town": (0.38, (0.05, 0.7)),
    "fields": (0.36, (0.15, 10.0)),
    "nature": (0.16, (0.05, 10.0)),
    "site": (0.10, (0.05, 0.5)),
}
_PAINTERS = {"town": paint_town, "fields": paint_fields, "nature": paint_nature, "site": paint_site}
#: Least number of visible pixels of an object.
LEAST_PIXELS = 24


def render(rng: np.random.Generator, size: int = 512) -> LabelledPicture:
    """Draw a random scene.

    Args:
        rng: source of every random choice.
        size: side of the picture in pixels.

    Returns:
        The picture. Its instances are numbered from 1 without gaps, and every object is labelled.
    """
    kind = str(rng.choice(list(_KINDS), p=[share for share, _ in _KINDS.values()]))
    finest, coarsest = _KINDS[kind][1]
    # evenly over the logarithm: a factor of two matters as much at 0.1 m as at 5 m
    gsd = math.exp(rng.uniform(math.log(finest), math.log(coarsest)))
    land = draw_land(rng)
    canvas = Canvas(size, gsd, rng)
    _PAINTERS[kind](canvas, land)
    canvas.cast_shadows()
    valid = _imaged(size, rng)
    return LabelledPicture(
        name=f"synthetic {kind}",
        rgb=expose(canvas, valid),
        valid=valid,
        instances=_renumbered(np.where(valid, canvas.instances, 0)),
        complete=np.ones((size, size), np.bool_),
        gsd=gsd,
    )


def expose(canvas: Canvas, valid: BoolArray) -> Bytes:
    """Take a picture of the canvas through haze and a lens, perhaps sharpened, with the noise of a sensor.

    Args:
        canvas: a finished canvas, with its shadows.
        valid: pixels (H, W) that were imaged.

    Returns:
        The picture (3, H, W): at least 1 in valid pixels, 0 elsewhere.
    """
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
    # noise of the light is grey, noise of the sensor has a colour
    noise = rng.standard_normal((1, *valid.shape), dtype=np.float32) * np.float32(rng.uniform(0, 4))
    noise = noise + rng.standard_normal(seen.shape, dtype=np.float32) * np.float32(rng.uniform(0, 2))
    return np.where(valid, np.clip(np.rint(seen + noise), 1, 255), 0).astype(np.uint8)


def _imaged(size: int, rng: np.random.Generator) -> BoolArray:
    """Draw the imaged pixels (H, W): all, or now and then those on one side of a slanted edge."""
    if rng.random() < 0.92:
        return np.ones((size, size), np.bool_)
    turn, y, x = rng.uniform(0, math.tau), *np.ogrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j]
    return np.asarray(x * math.cos(turn) + y * math.sin(turn) < rng.uniform(0.15, 0.5), np.bool_)


def _renumbered(instances: Labels) -> Labels:
    """Number the objects that are large enough to be seen from 1 without gaps; the others become 0."""
    sizes = np.bincount(instances.ravel())
    kept = sizes >= LEAST_PIXELS
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[instances]
