"""Colours of synthetic scenes: ground, plants, roads and water of one part of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from geosam._arrays import Singles


#: Soil, grass, dry grass, leaves in the shade and in the sun, road, water of each region, set beside aerial pictures.
_REGIONS = (
    ((182, 118, 84), (96, 122, 62), (168, 152, 98), (44, 66, 36), (112, 134, 70), (196, 152, 118), (96, 104, 80)),
    ((166, 146, 122), (92, 108, 66), (150, 138, 100), (48, 62, 40), (104, 122, 74), (160, 152, 142), (84, 96, 92)),
    ((152, 138, 122), (86, 118, 82), (142, 144, 108), (30, 66, 48), (74, 122, 74), (186, 182, 176), (62, 84, 84)),
    ((206, 186, 150), (126, 128, 84), (190, 174, 128), (66, 76, 52), (118, 122, 82), (198, 186, 164), (112, 132, 124)),
    ((134, 112, 90), (84, 112, 54), (162, 154, 92), (38, 58, 32), (92, 118, 56), (128, 128, 130), (54, 74, 74)),
    ((112, 92, 74), (74, 98, 50), (136, 126, 80), (32, 50, 30), (80, 104, 52), (146, 138, 128), (58, 62, 56)),
    ((196, 180, 160), (112, 120, 84), (178, 166, 134), (58, 70, 48), (124, 132, 92), (210, 204, 194), (70, 108, 122)),
)


#: Row of `_REGIONS`: green, brown and grey, as in Central Europe.
TEMPERATE = 4


class Land(NamedTuple):
    """Colours of one scene, each (3,) from 0 to 255."""

    soil: Singles
    grass: Singles
    straw: Singles
    shade: Singles
    leaf: Singles
    road: Singles
    water: Singles


def land_of(region: int) -> Land:
    """Return the colours of a region by its row, without variation."""
    return Land(*np.array(_REGIONS[region], np.float32))


def draw_land(rng: np.random.Generator) -> Land:
    """Draw the colours of a region with the variation between places of the region; now and then an invented region."""
    if rng.random() < 0.07:  # an invented region keeps the model from learning the colours of the others
        colours = rng.uniform(50, 200, (7, 1)) + rng.normal(0, 16, (7, 3))
        colours[4] = colours[3] + rng.uniform(10, 60)
    else:
        colours = np.array(_REGIONS[rng.integers(len(_REGIONS))], np.float64)
    tint = rng.normal(1, 0.04, 3) * rng.uniform(0.8, 1.15)
    own = rng.normal(1, 0.09, (7, 1)) * rng.normal(1, 0.03, (7, 3))
    return Land(*np.clip(colours * tint * own, 18, 245).astype(np.float32))


def mix(first: ArrayLike, second: ArrayLike, share: ArrayLike) -> Singles:
    """Mix two colours (3,) or textures (H, W, 3) by the share () or (H, W) of the second one."""
    weight = np.clip(np.asarray(share, np.float32), 0, 1)[..., None]
    near = np.asarray(first, np.float32)
    return np.asarray(near + weight * (np.asarray(second, np.float32) - near), np.float32)


def lit(texture: ArrayLike, light: ArrayLike) -> Singles:
    """Return a colour or texture under light () or (H, W), 1 for full sun."""
    return np.asarray(texture, np.float32) * np.asarray(light, np.float32)[..., None]


def pick(colours: Sequence[ArrayLike], rng: np.random.Generator, jitter: float = 0.08) -> Singles:
    """Draw one of the colours, its brightness varied by about the share `jitter` and its hue by a third of it."""
    colour = np.asarray(colours[int(rng.integers(len(colours)))], np.float64)
    return np.clip(colour * rng.normal(1, jitter) * rng.normal(1, jitter / 3, 3), 8, 250).astype(np.float32)
