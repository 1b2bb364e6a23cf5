"""Radiometric augmentation: change the colours of a picture as sensors, seasons and processing chains change them.

The steps follow the way from the ground to the file: light, haze, optics, colours, tone, noise, sharpening,
compression. Each step is applied to a share of the pictures, so that most get a few steps and some get none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam._arrays import BoolArray

Picture: TypeAlias = NDArray[np.float32]
Step: TypeAlias = Callable[[Picture, np.random.Generator], Picture]

#: Weights of red, green and blue in brightness (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])
#: (8, 8) quantisation of each frequency of a block, relative to the lowest, in the shape of the tables of JPEG.
_COARSENESS = (1 + np.add.outer(np.arange(8), np.arange(8)) / 2).astype(np.float32)
_BLOCK = 8


def augment(rgb: NDArray[np.uint8], valid: BoolArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change the colours of a picture at random; no object moves.

    Args:
        rgb: (3, H, W) colours; not changed.
        valid: (H, W) pixels that were imaged; the others are 0 in the result.
        rng: Source of every random choice.

    Returns:
        (3, H, W) new colours.
    """
    picture = rgb.astype(np.float32)
    if not valid.all():
        # Steps that mix neighbours would draw a dark rim around invalid pixels: show them as the mean colour.
        picture[:, ~valid] = rgb[:, valid].mean(axis=1, keepdims=True) if valid.any() else 0
    for share, step in _STEPS:
        if rng.random() < share:
            picture = step(picture, rng)
    np.clip(picture, 0, 255, out=picture)
    picture += 0.5
    return np.asarray(picture.astype(np.uint8) * valid)


def _illuminated(picture: Picture, rng: np.random.Generator) -> Picture:
    """Change the light slowly over the picture: vignetting, relief, seams of mosaics."""
    light: Picture = np.exp(rng.uniform(0.05, 0.3) * _field(picture.shape[1:], rng))
    return picture * light


def _shaded(picture: Picture, rng: np.random.Generator) -> Picture:
    """Add the shadow of a cloud with a soft edge; the light of the sky that is left there is bluish."""
    field = _field(picture.shape[1:], rng)
    softness, edge = rng.uniform(0.08, 0.4), rng.uniform(-0.5, 1.0)
    shade: Picture = np.clip((field - edge) / softness, 0, 1)
    loss = rng.uniform(0.3, 0.65) + np.array([0.05, 0.0, -0.08])
    return picture * np.asarray(1 - loss.astype(np.float32)[:, None, None] * shade)


def _hazed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Add haze or thin cloud: contrast is lost towards a bright, slightly blue colour."""
    light = rng.uniform(150, 255) * np.array([rng.uniform(0.85, 1), rng.uniform(0.93, 1), 1])
    density = rng.uniform(0.05, 0.45)
    if rng.random() < 0.5:
        density = np.clip(density * (1 + 0.5 * _field(picture.shape[1:], rng)), 0, 0.8)
    return picture + density * (light.astype(np.float32)[:, None, None] - picture)


def _coarsened(picture: Picture, rng: np.random.Generator) -> Picture:
    """Reduce the picture to larger pixels and enlarge it again."""
    shape_hw = picture.shape[1:]
    factor = math.exp(rng.uniform(math.log(1.2), math.log(3.5)))
    small = [max(1, round(side / factor)) for side in shape_hw]
    mode = str(rng.choice(["nearest", "bilinear", "bicubic"], p=[0.15, 0.45, 0.4]))
    coarse = functional.interpolate(torch.from_numpy(picture)[None], size=small, mode="area")
    smooth = {} if mode == "nearest" else {"align_corners": False}
    return np.asarray(functional.interpolate(coarse, size=shape_hw, mode=mode, **smooth)[0].numpy())


def _blurred(picture: Picture, rng: np.random.Generator) -> Picture:
    """Blur the picture, as bad focus and resampling do."""
    return _smoothed(picture, rng.uniform(0.4, 1.6))


def _recoloured(picture: Picture, rng: np.random.Generator) -> Picture:
    """Change colour balance, saturation and hue; sometimes swap the bands or leave a single one."""
    kind = rng.random()
    if kind < 0.12:  # panchromatic
        matrix = np.tile(rng.dirichlet((2, 2, 2)), (3, 1))
    elif kind < 0.18:  # other order of bands, as in false colour composites
        matrix = np.eye(3)[rng.permutation(3)]
    else:
        grey = np.tile(_LUMA, (3, 1))
        matrix = grey + math.exp(rng.normal(0, 0.35)) * (_hue(rng.normal(0, 0.12)) - grey)
    gains = np.exp(rng.normal(0, 0.08, 3))
    return _mixed(gains[:, None] * matrix, picture)


def _toned(picture: Picture, rng: np.random.Generator) -> Picture:
    """Change exposure, contrast and gamma; sometimes stretch the values until both ends clip."""
    values = np.arange(256) / 255
    if rng.random() < 0.15:
        low, high = np.percentile(picture[:, ::4, ::4], (rng.uniform(0, 5), rng.uniform(95, 100))) / 255
        values = np.clip((values - low) / max(high - low, 0.1), 0, 1)
    middle = float(picture[:, ::8, ::8].mean()) / 255
    curves = []
    gamma, contrast, shift = rng.normal(0, 0.22), rng.normal(0, 0.2), rng.normal(0, 0.07)
    for _ in range(3):  # nearly the same curve for each band
        bent = values ** math.exp(gamma + rng.normal(0, 0.06))
        curves.append(middle + (bent - middle) * math.exp(contrast + rng.normal(0, 0.05)) + shift + rng.normal(0, 0.02))
    tables = (255 * np.array(curves)).astype(np.float32)  # a table of 256 values is faster than powers of all pixels
    levels = np.clip(picture, 0, 255).astype(np.uint8)
    return np.stack([np.take(table, band) for table, band in zip(tables, levels, strict=True)])


def _noisy(picture: Picture, rng: np.random.Generator) -> Picture:
    """Add noise of the sensor."""
    bands = 1 if rng.random() < 0.5 else 3  # the same noise in all bands, or noise of its own in each
    noise = rng.standard_normal((bands, *picture.shape[1:]), np.float32)
    return picture + noise * np.float32(rng.uniform(1, 12))


def _sharpened(picture: Picture, rng: np.random.Generator) -> Picture:
    """Sharpen with an unsharp mask, which leaves bright rims."""
    return picture + np.float32(rng.uniform(0.3, 1.5)) * (picture - _smoothed(picture, rng.uniform(0.6, 1.5)))


def _compressed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Compress as JPEG does: round the frequencies of 8 x 8 blocks, those of colour more than those of brightness."""
    height, width = picture.shape[1:]
    step = math.exp(rng.uniform(math.log(2), math.log(24)))
    dy, dx = rng.integers(_BLOCK, size=2)  # a crop rarely begins at the border of a block
    sides = ((dy, -(height + dy) % _BLOCK), (dx, -(width + dx) % _BLOCK))
    luma = _mixed(_LUMA[None], picture)[0]
    planes = np.stack([luma, picture[0] - luma, picture[2] - luma])
    blocks = np.pad(planes, ((0, 0), *sides), mode="edge")
    rows, cols = blocks.shape[1] // _BLOCK, blocks.shape[2] // _BLOCK
    blocks = blocks.reshape(3, rows, _BLOCK, cols, _BLOCK)
    waves = fft.dctn(blocks, axes=(2, 4), norm="ortho")
    steps = step * _COARSENESS[:, None, :] * np.array([1, 1.5, 1.5], np.float32)[:, None, None, None, None]
    blocks = fft.idctn(np.rint(waves / steps) * steps, axes=(2, 4), norm="ortho")
    planes = blocks.reshape(3, rows * _BLOCK, cols * _BLOCK)[:, dy : dy + height, dx : dx + width]
    luma, red, blue = planes[0], planes[1] + planes[0], planes[2] + planes[0]
    green = (luma - np.float32(_LUMA[0]) * red - np.float32(_LUMA[2]) * blue) / np.float32(_LUMA[1])
    return np.stack([red, green, blue])


#: Steps in their order, each with the share of pictures that it is applied to.
_STEPS: Sequence[tuple[float, Step]] = (
    (0.15, _illuminated),
    (0.08, _shaded),
    (0.15, _hazed),
    (0.12, _coarsened),
    (0.15, _blurred),
    (0.6, _recoloured),
    (0.8, _toned),
    (0.2, _noisy),
    (0.12, _sharpened),
    (0.2, _compressed),
)


def _field(shape_hw: Sequence[int], rng: np.random.Generator) -> Picture:
    """Draw a smooth random field (H, W) with a mean of about 0 and a variance of about 1."""
    knots = rng.standard_normal((1, 1, *rng.integers(2, 6, 2)), np.float32)
    field = functional.interpolate(torch.from_numpy(knots), size=tuple(shape_hw), mode="bicubic", align_corners=True)
    return np.asarray(field[0, 0].numpy())


def _mixed(matrix: NDArray[np.float64], picture: Picture) -> Picture:
    """Multiply a matrix (N, 3) with bands (3, H, W) -> (N, H, W)."""
    # NumPy's threads would take the cores that the network is trained on; the number of PyTorch's can be limited.
    mixed = torch.from_numpy(matrix.astype(np.float32)) @ torch.from_numpy(picture.reshape(3, -1))
    return np.asarray(mixed.numpy().reshape(-1, *picture.shape[1:]))


def _smoothed(picture: Picture, sigma: float) -> Picture:
    """Smooth a picture with a Gaussian of `sigma` pixels."""
    smooth = ndimage.gaussian_filter(picture, (0, sigma, sigma), truncate=2.5, mode="nearest")
    return np.asarray(smooth)


def _hue(angle: float) -> NDArray[np.float64]:
    """Matrix (3, 3) that turns colours by `angle` radians around the grey axis (Rodrigues' formula)."""
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return np.asarray(math.cos(angle) * (np.eye(3) - axis) + axis + math.sin(angle) * cross)
