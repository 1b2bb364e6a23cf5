"""Batches of tensors made from crops: pictures, prompted objects with their first prompts, and dense maps.

Masks and maps have stride 4, as the logits of the network: a mask holds the share of each cell that the object covers.
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

    from geosam._arrays import BoolArray, Floats
    from geosam.training.samples import Sample

#: Side of a cell of masks, maps and logits in pixels.
STRIDE = 4
#: Prompted objects of a crop, and the most clicks of a prompt.
OBJECTS, CLICKS = 3, 6
#: Objects with fewer pixels in the crop are not prompted.
_MIN_AREA_PX = 60
#: Shares of first prompts: a box; a box and a click; two clicks, one of them excluding. The rest is one click.
_BOX, _BOX_AND_CLICK, _WITH_EXCLUDING = 0.36, 0.04, 0.06
#: Greatest noise of a simulated box, as a share of its size.
_JITTER = 0.12


@dataclass(frozen=True, eq=False)
class Batch:
    """B crops of side S and N prompted objects."""

    rgb: Tensor
    """(B, 3, S, S) uint8 colours."""
    valid: Tensor
    """(B, S, S) bool, pixels that were imaged."""
    dense: Tensor
    """(B, 2, S / 4, S / 4) float32 targets of the dense maps, see
    :class:`geosam.segmenters.lite.encoder.Pyramid`."""
    dense_weight: Tensor
    """(B, S / 4, S / 4) float32 weight of each cell of the dense maps; 0 where the labels say nothing."""
    picture: Tensor
    """(N,) int64 crop of each object."""
    target: Tensor
    """(N, S / 4, S / 4) float32 share of each cell that the object covers, or its box if only the box is labelled."""
    by_box: Tensor
    """(N,) bool, true if only the object's box is labelled."""
    points: Tensor
    """(N, CLICKS, 2) float32 clicks in pixels."""
    labels: Tensor
    """(N, CLICKS) int64 labels of the clicks: 1 includes, 0 excludes, -1 is padding."""
    boxes: Tensor
    """(N, 4) float32 boxes in pixels; NaN without a box."""

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device."""
        return Batch(**{name: column.to(device, non_blocking=True) for name, column in vars(self).items()})


class _PromptedSample(NamedTuple):
    """An object of a crop and its first prompt."""

    target: NDArray[np.float32]
    by_box: bool
    clicks: list[tuple[float, float, int]]
    box: Floats


def make_batch(samples: Sequence[Sample], rng: np.random.Generator) -> Batch | None:
    """Make a batch from crops of one size; None if they show no object."""
    maps = [_dense_maps(sample) for sample in samples]
    prompted = [(crop, target) for crop, sample in enumerate(samples) for target in _prompted(sample, rng)]
    if not prompted:
        return None
    # Convolutions are compiled for each number of prompts: fill up with second prompts for some of the objects.
    while len(prompted) < OBJECTS * len(samples):
        crop = prompted[int(rng.integers(len(prompted)))][0]
        # The crop may yield nothing this time, if its boxes are too narrow.
        prompted += [(crop, target) for target in islice(_prompted(samples[crop], rng), 1)]
    points = np.zeros((len(prompted), CLICKS, 2), np.float32)
    labels = np.full((len(prompted), CLICKS), -1, np.int64)
    for row, (_, target) in enumerate(prompted):
        for k, (x, y, label) in enumerate(target.clicks):
            points[row, k], labels[row, k] = (x, y), label
    return Batch(
        torch.from_numpy(np.stack([sample.rgb for sample in samples])),
        torch.from_numpy(np.stack([sample.valid for sample in samples])),
        torch.from_numpy(np.stack([dense for dense, _ in maps])),
        torch.from_numpy(np.stack([weight for _, weight in maps])),
        torch.tensor([crop for crop, _ in prompted]),
        torch.from_numpy(np.stack([target.target for _, target in prompted])),
        torch.tensor([target.by_box for _, target in prompted]),
        torch.from_numpy(points),
        torch.from_numpy(labels),
        torch.from_numpy(np.stack([target.box for _, target in prompted]).astype(np.float32)),
    )


def _prompted(sample: Sample, rng: np.random.Generator) -> Iterator[_PromptedSample]:
    """Draw up to OBJECTS objects of a crop, each with a prompt."""
    areas = np.bincount(sample.instances.ravel())
    numbers = np.flatnonzero(areas >= _MIN_AREA_PX)
    numbers = numbers[numbers > 0]
    # Users click large objects more often. Weights in proportion to the area would lose the small objects.
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


def _by_mask(sample: Sample, number: int, rng: np.random.Generator) -> _PromptedSample:
    """Prompt an object that is labelled by its mask."""
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
    return _PromptedSample(cell_shares(mask), by_box=False, clicks=points, box=box)


def _by_box(box: Floats, size: int, rng: np.random.Generator) -> _PromptedSample:
    """Prompt an object that is labelled by its box alone: by the box, or by a click near its middle."""
    x, y = np.arange(size) + 0.5, np.arange(size) + 0.5
    inside = ((x >= box[0]) & (x < box[2]))[None] & ((y >= box[1]) & (y < box[3]))[:, None]
    if rng.random() < 0.5:
        return _PromptedSample(cell_shares(inside), by_box=True, clicks=[], box=box)
    middle = (box[:2] + box[2:]) / 2 + (box[2:] - box[:2]) * rng.uniform(-0.15, 0.15, 2)
    click = (middle[0], middle[1], 1)
    return _PromptedSample(cell_shares(inside), by_box=True, clicks=[click], box=np.full(4, np.nan))


def cell_shares(mask: BoolArray) -> NDArray[np.float32]:
    """Compute the share of each cell (H / 4, W / 4) that a mask (H, W) covers; both sides are multiples of 4."""
    height, width = mask.shape
    cells = mask.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    shares: NDArray[np.float32] = cells.mean(axis=(1, 3), dtype=np.float32)
    return shares


def _dense_maps(sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make the targets (2, S / 4, S / 4) of the encoder's dense maps, and the weight (S / 4, S / 4) of each cell."""
    fine = sample.instances[1::2, 1::2]  # a quarter of the pixels: distances take most of the time of a batch
    edge = np.zeros(fine.shape, bool)
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        differs = fine[here] != fine[there]
        edge[here] |= differs
        edge[there] |= differs
    depth = ndimage.distance_transform_edt(~edge) * (fine > 0)
    deepest = ndimage.maximum(depth, fine, np.arange(int(fine.max()) + 1))
    inside = (depth / np.maximum(np.asarray(deepest), 1e-6)[fine]) * (fine > 0)
    labelled = (sample.complete | (sample.instances > 0))[1::2, 1::2] & sample.valid[1::2, 1::2]
    maps = np.stack([_halved(inside), _halved(edge.astype(np.float32), most=True)]).astype(np.float32)
    weight = _halved(labelled.astype(np.float32)).astype(np.float32)
    _mark_points(sample, maps, weight)
    return maps, weight


def _halved(maps: NDArray[np.floating[Any]], *, most: bool = False) -> NDArray[np.floating[Any]]:
    """Reduce maps (H, W) to (H / 2, W / 2) by the mean of 2 x 2 cells, or by the greatest value."""
    height, width = maps.shape
    cells = maps.reshape(height // 2, 2, width // 2, 2)
    halved: NDArray[np.floating[Any]] = cells.max(axis=(1, 3)) if most else cells.mean(axis=(1, 3))
    return halved


def _mark_points(sample: Sample, maps: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
    """Mark the cells of labelled points, and of the middles of labelled boxes, as inside an object, in place."""
    middles = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2
    cells = (np.concatenate([sample.points, middles]) // STRIDE).astype(np.intp)
    side = weight.shape[0]
    for col, row in cells[((cells >= 0) & (cells < side)).all(axis=1)]:
        if sample.instances[row * STRIDE, col * STRIDE] == 0:
            maps[0, row, col], weight[row, col] = 1.0, 1.0
