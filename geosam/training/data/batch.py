"""Samples -> batches of tensors: pictures, prompted objects with their first prompts, and dense maps.

Masks and maps are at stride 4, where the network answers: a mask is the share of each cell that the object covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from geosam.training.data import clicks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam.training.samples import Sample

#: Stride of masks and maps.
STRIDE = 4
#: Objects prompted per crop, and clicks that a prompt can hold.
OBJECTS, CLICKS = 3, 6
#: Objects smaller than this are not prompted (pixels of the crop that they cover).
_LEAST_PX = 60
#: How first prompts divide: a box; a box and a click; two clicks, one of them excluding. The rest is one click.
_BOX, _BOX_AND_CLICK, _WITH_EXCLUDING = 0.36, 0.04, 0.06
#: Largest noise of a drawn box, in parts of its size.
_JITTER = 0.12


@dataclass(frozen=True, eq=False)
class Batch:
    """B crops of side S and N prompted objects."""

    rgb: Tensor
    """(B, 3, S, S) uint8."""
    valid: Tensor
    """(B, S, S) bool."""
    dense: Tensor
    """(B, 2, S / 4, S / 4) float32, see :class:`geosam.segmenters.lite.encoder.Pyramid`."""
    dense_weight: Tensor
    """(B, S / 4, S / 4) float32, 0 where nothing is known."""
    picture: Tensor
    """(N,) int64, the crop of each object."""
    target: Tensor
    """(N, S / 4, S / 4) float32, share of each cell that the object covers; of its box, where only that is known."""
    by_box: Tensor
    """(N,) bool, whether only the object's box is known."""
    points: Tensor
    """(N, CLICKS, 2) float32, pixels."""
    labels: Tensor
    """(N, CLICKS) int64: 1 includes, 0 excludes, -1 is padding."""
    boxes: Tensor
    """(N, 4) float32, NaN without one."""

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(**{name: column.to(device, non_blocking=True) for name, column in vars(self).items()})


class _Asked(NamedTuple):
    """An object and its first prompt."""

    target: NDArray[np.float32]
    by_box: bool
    clicks: list[tuple[float, float, int]]
    box: NDArray[np.float64]


def make_batch(samples: Sequence[Sample], rng: np.random.Generator) -> Batch | None:
    """A batch from crops of one size; None where they show no object at all."""
    maps = [_dense(sample) for sample in samples]
    asked = [(number, one) for number, sample in enumerate(samples) for one in _objects(sample, rng)]
    if not asked:
        return None
    # Always the same number, since a convolution is compiled for each: some objects are asked for in two ways.
    while len(asked) < OBJECTS * len(samples):
        number = asked[int(rng.integers(len(asked)))][0]
        asked += [(number, one) for one in islice(_objects(samples[number], rng), 1)]  # none, if boxes are too narrow
    points = np.zeros((len(asked), CLICKS, 2), np.float32)
    labels = np.full((len(asked), CLICKS), -1, np.int64)
    for row, (_, one) in enumerate(asked):
        for k, (x, y, label) in enumerate(one.clicks):
            points[row, k], labels[row, k] = (x, y), label
    return Batch(
        torch.from_numpy(np.stack([sample.rgb for sample in samples])),
        torch.from_numpy(np.stack([sample.valid for sample in samples])),
        torch.from_numpy(np.stack([dense for dense, _ in maps])),
        torch.from_numpy(np.stack([weight for _, weight in maps])),
        torch.tensor([number for number, _ in asked]),
        torch.from_numpy(np.stack([one.target for _, one in asked])),
        torch.tensor([one.by_box for _, one in asked]),
        torch.from_numpy(points),
        torch.from_numpy(labels),
        torch.from_numpy(np.stack([one.box for _, one in asked]).astype(np.float32)),
    )


def _objects(sample: Sample, rng: np.random.Generator) -> Iterator[_Asked]:
    """A few of the crop's objects, each with a prompt."""
    areas = np.bincount(sample.instances.ravel())
    numbers = np.flatnonzero(areas >= _LEAST_PX)
    numbers = numbers[numbers > 0]
    # Large objects are met more often, as users click what they see; not in proportion, or the small would be lost.
    weight = areas[numbers] ** 0.25
    count = min(OBJECTS, len(numbers))
    chosen = rng.choice(numbers, count, replace=False, p=weight / weight.sum()).tolist() if count else []
    for number in chosen:
        yield _by_mask(sample, number, rng)
    spare = OBJECTS - count
    for row in rng.permutation(len(sample.boxes))[:spare]:
        box = sample.boxes[row].astype(np.float64)
        if min(box[2:] - box[:2]) >= STRIDE * 2:
            yield _by_box(box, sample.valid.shape[0], rng)


def _by_mask(sample: Sample, number: int, rng: np.random.Generator) -> _Asked:
    mask = sample.instances == number
    kind = rng.random()
    box, points = np.full(4, np.nan), []
    if kind < _BOX + _BOX_AND_CLICK:
        box = clicks.jittered_box(mask, rng, rng.random() * _JITTER)
    if kind >= _BOX:
        points.append((*clicks.random_click(mask, rng), 1))
    if kind >= 1 - _WITH_EXCLUDING:
        excluded = clicks.negative_click(sample.instances, number, rng)
        points += [] if excluded is None else [(*excluded, 0)]
    return _Asked(_shares(mask), by_box=False, clicks=points, box=box)


def _by_box(box: NDArray[np.float64], size: int, rng: np.random.Generator) -> _Asked:
    """An object known by its box: prompted by it, or by a click in its middle."""
    x, y = np.arange(size) + 0.5, np.arange(size) + 0.5
    inside = ((x >= box[0]) & (x < box[2]))[None] & ((y >= box[1]) & (y < box[3]))[:, None]
    if rng.random() < 0.5:
        return _Asked(_shares(inside), by_box=True, clicks=[], box=box)
    middle = (box[:2] + box[2:]) / 2 + (box[2:] - box[:2]) * rng.uniform(-0.15, 0.15, 2)
    return _Asked(_shares(inside), by_box=True, clicks=[(middle[0], middle[1], 1)], box=np.full(4, np.nan))


def _shares(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    side = mask.shape[0] // STRIDE
    shares: NDArray[np.float32] = mask.reshape(side, STRIDE, side, STRIDE).mean(axis=(1, 3), dtype=np.float32)
    return shares


def _dense(sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the encoder's dense maps (2, S / 4, S / 4) should be, and how much each cell counts."""
    fine = sample.instances[1::2, 1::2]
    edge = np.zeros(fine.shape, bool)
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        differs = fine[here] != fine[there]
        edge[here] |= differs
        edge[there] |= differs
    depth = ndimage.distance_transform_edt(~edge) * (fine > 0)
    deepest = ndimage.maximum(depth, fine, np.arange(int(fine.max()) + 1))
    inside = (depth / np.maximum(np.asarray(deepest), 1e-6)[fine]) * (fine > 0)
    known = (sample.complete | (sample.instances > 0))[1::2, 1::2] & sample.valid[1::2, 1::2]
    maps = np.stack([_halved(inside), _halved(edge.astype(np.float32), most=True)]).astype(np.float32)
    weight = _halved(known.astype(np.float32)).astype(np.float32)
    _mark_points(sample, maps, weight)
    return maps, weight


def _halved(maps: NDArray[np.floating[Any]], *, most: bool = False) -> NDArray[np.floating[Any]]:
    height, width = maps.shape
    cells = maps.reshape(height // 2, 2, width // 2, 2)
    halved: NDArray[np.floating[Any]] = cells.max(axis=(1, 3)) if most else cells.mean(axis=(1, 3))
    return halved


def _mark_points(sample: Sample, maps: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
    """Objects known by a point, or by a box, are inside there; nothing else is known about them."""
    middles = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2
    cells = (np.concatenate([sample.points, middles]) // STRIDE).astype(np.intp)
    side = weight.shape[0]
    for col, row in cells[((cells >= 0) & (cells < side)).all(axis=1)]:
        if sample.instances[row * STRIDE, col * STRIDE] == 0:
            maps[0, row, col], weight[row, col] = 1.0, 1.0
