"""Random crops of a labelled picture at any place, scale, rotation and reflection; labels move with the pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from geosam.training.samples import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats
    from geosam.training.samples import LabelledPicture

#: Range of scales in crop pixels per picture pixel: objects appear 0.4 to 2 times as large as in the picture.
SCALE_RANGE = (0.4, 2.0)
#: Objects with fewer pixels in a crop lose their label there, and their pixels are unknown.
MIN_OBJECT_PX = 12
#: Greatest side of a crop as a multiple of the picture's size; a larger crop would be mostly empty.
_MAX_SPAN = 1.2
#: Share of crops that are placed around a label.
_LABELLED_SHARE = 0.9
#: Number of random places among which one with a label is searched.
_TRIES = 64
#: Greatest share of its side by which a crop reaches over the edge of the picture; half of the crops do.
_OVERHANG = 0.1
#: Crop pixels larger than this many picture pixels get the average of the picture pixels.
_MAX_STEP = 1.3


class _Placing(NamedTuple):
    """Position of a crop in its picture: picture_xy = centre_xy + matrix @ (crop_xy - size / 2)."""

    centre_xy: Floats
    """(2,) centre of the crop in picture pixels."""
    matrix: Floats
    """(2, 2) picture pixels per crop pixel, a turn or reflection times a scale."""

    @property
    def step(self) -> float:
        """Side of a crop pixel in picture pixels."""
        return math.hypot(*self.matrix[:, 0])


def random_sample(
    picture: LabelledPicture,
    size: int,
    rng: np.random.Generator,
    *,
    scale_range: tuple[float, float] = SCALE_RANGE,
) -> Sample:
    """Cut a random square crop of `size` pixels.

    The scale is drawn log-uniformly. Half of the crops are turned by any angle, the others by a multiple of 90
    degrees. Most crops show a label, at any place of the crop. Colours are interpolated, and averaged where the crop is
    coarser than the picture; a pixel gets the label of the nearest pixel.

    Args:
        picture: Picture to cut from; only the part under the crop is read.
        size: Side of the crop in pixels.
        rng: Source of every random choice.
        scale_range: Least and greatest scale in crop pixels per picture pixel. The least scale is raised for small
            pictures, which would fill only a small part of a crop.
    """
    placing = _random_placing(picture, size, rng, scale_range)
    x, y = _places(size, placing)
    height, width = picture.valid.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    nearest = np.where(inside, y.astype(np.intp) * width + x.astype(np.intp), 0)
    valid = np.take(picture.valid, nearest) & inside
    complete = np.take(picture.complete, nearest) & valid
    instances, complete = _renumbered(np.take(picture.instances, nearest) * valid, complete)
    boxes, points = _boxes(picture.boxes, size, placing), _points(picture.points, size, placing)
    return Sample(_resampled(picture, x, y, placing.step) * valid, valid, instances, complete, boxes, points)


def _random_placing(
    picture: LabelledPicture, size: int, rng: np.random.Generator, scale_range: tuple[float, float]
) -> _Placing:
    height, width = picture.valid.shape
    low, high = scale_range
    low = min(max(low, size / (_MAX_SPAN * math.sqrt(height * width))), high)
    step = 1 / math.exp(rng.uniform(math.log(low), math.log(high)))
    # A box that is turned by another angle is no box any more.
    quarters = bool(rng.random() < 0.5) or len(picture.boxes) > 0
    angle = rng.integers(4) * math.pi / 2 if quarters else rng.uniform(0, 2 * math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    if quarters:
        cos, sin = round(cos), round(sin)  # exact, so that pixels fall on pixels
    flip = 1 if rng.random() < 0.5 else -1
    matrix = step * np.array([[cos * flip, -sin], [sin * flip, cos]])
    span, overhang = size * step, max(0.0, rng.uniform(-_OVERHANG, _OVERHANG))
    centre = _anchor(picture, rng) + matrix @ rng.uniform(-size / 2, size / 2, 2)
    for axis, side in enumerate((width, height)):
        slack = (0.5 - overhang) * span
        centre[axis] = np.clip(centre[axis], slack, side - slack) if side > 2 * slack else side / 2
    return _Placing(centre, matrix)


def _anchor(picture: LabelledPicture, rng: np.random.Generator) -> Floats:
    """Draw a place (2,) in the picture, mostly one with a label."""
    height, width = picture.valid.shape
    places = rng.uniform((0, 0), (width, height), (_TRIES, 2))
    cols, rows = places.astype(np.intp).T
    complete = places[np.argmax(picture.complete[rows, cols])]
    if rng.random() > _LABELLED_SHARE:
        return np.asarray(complete)
    labels = [xy for xy in (picture.boxes.reshape(-1, 2, 2).mean(axis=1), picture.points) if len(xy)]
    if labels:
        labels_xy = np.concatenate(labels)
        return np.asarray(labels_xy[rng.integers(len(labels_xy))], np.float64)
    numbers = picture.instances[rows, cols]
    if numbers.any():  # draw an object, not a place: else one large object would take all crops
        chosen = rng.choice(np.unique(numbers[numbers > 0]))
        return np.asarray(places[np.argmax(numbers == chosen)])
    return np.asarray(complete)


def _places(size: int, placing: _Placing) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the picture coordinates x and y (S, S) of the centres of a crop's pixels."""
    ticks = np.arange(size) + 0.5 - size / 2
    across = (placing.matrix[:, :1] * ticks + placing.centre_xy[:, None]).astype(np.float32)
    down = (placing.matrix[:, 1:] * ticks).astype(np.float32)
    return across[0] + down[0][:, None], across[1] + down[1][:, None]


def _resampled(
    picture: LabelledPicture, x: NDArray[np.float32], y: NDArray[np.float32], step: float
) -> NDArray[np.uint8]:
    """Sample colours (3, S, S) at places `step` picture pixels apart; the edge is repeated outside the picture."""
    left, top, right, bottom = _reach(x, y, step, picture.valid.shape)
    colours = torch.from_numpy(picture.rgb[None, :, top:bottom, left:right].copy())
    width, height = right - left, bottom - top
    if step > _MAX_STEP:
        shape_hw = max(1, round(height / step)), max(1, round(width / step))
        colours = functional.interpolate(colours, size=shape_hw, mode="bilinear", antialias=True, align_corners=False)
    # grid_sample counts from -1 to 1 between the outer edges of a picture, at any resolution.
    grid = np.stack([(x - left) * (2 / width) - 1, (y - top) * (2 / height) - 1], axis=-1, dtype=np.float32)
    sampled = functional.grid_sample(
        colours.float(), torch.from_numpy(grid)[None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return np.asarray(sampled[0].add_(0.5).clamp_(0, 255).to(torch.uint8).numpy())


def _reach(
    x: NDArray[np.float32], y: NDArray[np.float32], step: float, shape_hw: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Bound the part of a picture that the colours at some places depend on: left, top, right and bottom."""
    margin, (height, width) = math.ceil(step) + 2, shape_hw
    left, top = (int(np.clip(math.floor(v.min()) - margin, 0, n - 1)) for v, n in ((x, width), (y, height)))
    right, bottom = math.ceil(x.max()) + margin, math.ceil(y.max()) + margin
    return left, top, int(np.clip(right, left + 1, width)), int(np.clip(bottom, top + 1, height))


def _renumbered(numbers: NDArray[np.int32], complete: BoolArray) -> tuple[NDArray[np.int32], BoolArray]:
    """Number the objects (S, S) from 1 to N; drop those that are too small, and make their pixels unknown."""
    counts = np.bincount(numbers.reshape(-1))
    counts[0] = 0
    kept = counts >= MIN_OBJECT_PX
    names = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    tiny = (counts > 0) & ~kept
    if tiny.any():
        complete = complete & ~tiny[numbers]
    return names[numbers], complete


def _to_crop(xy: Floats, size: int, placing: _Placing) -> Floats:
    """Turn picture coordinates (N, 2) into crop coordinates (N, 2)."""
    return np.asarray((xy - placing.centre_xy) @ np.linalg.inv(placing.matrix).T + size / 2)


def _points(points: NDArray[np.float32], size: int, placing: _Placing) -> NDArray[np.float32]:
    """Move points (M, 2) into the crop; drop those outside."""
    xy = _to_crop(points.astype(np.float64), size, placing)
    return xy[((xy >= 0) & (xy < size)).all(axis=1)].astype(np.float32)


def _boxes(boxes: NDArray[np.float32], size: int, placing: _Placing) -> NDArray[np.float32]:
    """Move boxes (K, 4) into the crop and clip them; drop those of which most lies outside."""
    corners = _to_crop(boxes.reshape(-1, 2).astype(np.float64), size, placing).reshape(-1, 2, 2)
    full = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    clipped = full.clip(0, size)
    kept = _area(clipped) >= 0.5 * _area(full)
    return clipped[kept].astype(np.float32)


def _area(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
