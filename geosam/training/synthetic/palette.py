"""Colours of synthetic scenes: what ground, plants, roads and water look like in one part of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float32]

#: Soil, grass, dry grass, leaves in the shade and in the sun, road, water: read off aerial pictures of such places.
_REGIONS = (
    ((182, 118, 84), (96, 122, 62), (168, 152, 98), (44, 66, 36), (112, 134, 70), (196, 152, 118), (96, 104, 80)),
    ((166, 146, 122), (92, 108, 66), (150, 138, 100), (48, 62, 40), (104, 122, 74), (160, 152, 142), (84, 96, 92)),
    ((152, 138, 122), (86, 118, 82), (142, 144, 108), (30, 66, 48), (74, 122, 74), (186, 182, 176), (62, 84, 84)),
    ((206, 186, 150), (126, 128, 84), (190, 174, 128), (66, 76, 52), (118, 122, 82), (198, 186, 164), (112, 132, 124)),
    ((134, 112, 90), (84, 112, 54), (162, 154, 92), (38, 58, 32), (92, 118, 56), (128, 128, 130), (54, 74, 74)),
    ((112, 92, 74), (74, 98, 50), (136, 126, 80), (32, 50, 30), (80, 104, 52), (146, 138, 128), (58, 62, 56)),
    ((196, 180, 160), (112, 120, 84), (178, 166, 134), (58, 70, 48), (124, 132, 92), (210, 204, 194), (70, 108, 122)),
)


class Land(NamedTuple):
    """The colours of one scene, each (3,) from 0 to 255."""

    soil: Floats
    grass: Floats
    straw: Floats
    shade: Floats
    leaf: Floats
    road: Floats
    water: Floats


def draw_land(rng: np.random.Generator) -> Land:
    """The colours of a region, off by as much as regions of a kind differ; once in a while no known region at all."""
    if rng.random() < 0.07:
        colours = rng.uniform(50, 200, (7, 1)) + rng.normal(0, 16, (7, 3))
        colours[4] = colours[3] + rng.uniform(10, 60)
    else:
        colours = np.array(_REGIONS[rng.integers(len(_REGIONS))], np.float64)
    tint = rng.normal(1, 0.04, 3) * rng.uniform(0.8, 1.15)
    own = rng.normal(1, 0.09, (7, 1)) * rng.normal(1, 0.03, (7, 3))
    return Land(*np.clip(colours * tint * own, 18, 245).astype(np.float32))


def mix(first: ArrayLike, second: ArrayLike, share: ArrayLike) -> Floats:
    """Two colours (3,) or textures (H, W, 3) and the share () or (H, W) of the second -> colour or texture."""
    weight = np.clip(np.asarray(share, np.float32), 0, 1)[..., None]
    near = np.asarray(first, np.float32)
    return np.asarray(near + weight * (np.asarray(second, np.float32) - near), np.float32)


def lit(texture: ArrayLike, light: ArrayLike) -> Floats:
    """A colour or texture under light () or (H, W)."""
    return np.asarray(texture, np.float32) * np.asarray(light, np.float32)[..., None]


def pick(colours: Sequence[ArrayLike], rng: np.random.Generator, jitter: float = 0.08) -> Floats:
    """One of the colours, off by about the share `jitter` in brightness and a third of it in hue."""
    colour = np.asarray(colours[int(rng.integers(len(colours)))], np.float64)
    return np.clip(colour * rng.normal(1, jitter) * rng.normal(1, jitter / 3, 3), 8, 250).astype(np.float32)
