"""Segmenters and pictures with known answers: everything downstream of a network can be tested to the byte.

:class:`ThresholdSegmenter` is exact, :class:`RefiningSegmenter` goes on from its answers, :class:`NullSegmenter` costs
nothing, :func:`flat_scene` draws pictures whose objects are awkward to stitch. None of them needs weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.measure import label

from geosam.masks import Granularity, MaskSet
from geosam.segmenter import Embedding, KeepRule, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geosam.masks import BoolArray
    from geosam.prompts import Logits, PixelPrompts

    Rng = np.random.Generator
    Labels = NDArray[np.int32]


@dataclass(frozen=True)
class ThresholdSegmenter:
    """Every 4-connected component of equal colour among the valid pixels is an object; scores are 1.

    A prompt selects

    - with positive points: the union of the components under them;
    - else with a mask: the component with most pixels in the mask;
    - else with a box: the component with most pixels among those the box touches.

    Components under negative points are never selected; of equal counts the component met first in the box or mask,
    row by row, is taken; points outside the window are ignored. Only pixels under the prompt decide, so the choice
    does not depend on the window.
    """

    @property
    def spec(self) -> ModelSpec:
        """Any input size, disjoint masks."""
        return ModelSpec("threshold", "threshold-1")

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Label the components of every tile: `labels` (H, W), 0 on invalid pixels, numbered by first pixel."""
        return [self._embed(picture, mask) for picture, mask in zip(rgb, valid, strict=True)]

    def _embed(self, rgb: NDArray[np.uint8], valid: BoolArray) -> Embedding:
        red, green, blue = rgb.astype(np.int32)
        colours = np.where(valid, (red << 16 | green << 8 | blue) + 1, 0)
        labels = label(colours, connectivity=1, background=0).astype(np.int32)  # type: ignore[no-untyped-call]
        return Embedding({"labels": labels}, (labels.shape[0], labels.shape[1]), self.spec.fingerprint)

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """The component or union of components of each prompt, one row a prompt, whatever the options."""
        del multimask, keep
        labels = embedding.arrays["labels"]
        chosen = [_components(labels, prompts, row) for row in range(len(prompts))]
        masks = [np.logical_or.reduce([labels == value for value in values]) for values in chosen if values]
        rows = [row for row, values in enumerate(chosen) if values]
        return MaskSet.from_full(masks, embedding.input_hw, prompt_index=rows)

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """All components, by first pixel."""
        del keep
        return MaskSet.from_labels(embedding.arrays["labels"])


def _components(labels: Labels, prompts: PixelPrompts, row: int) -> list[int]:
    """Labels of the components that prompt `row` selects, increasing; see :class:`ThresholdSegmenter`."""
    is_positive = np.asarray(prompts.labels[row]) == 1
    points = np.asarray(prompts.points[row], np.float64).reshape(-1, 2)
    refused = _under_points(labels, points[~is_positive]) | {0}
    if is_positive.any():
        return sorted(_under_points(labels, points[is_positive]) - refused)
    box, mask = prompts.boxes_xyxy[row], prompts.masks[row]
    if mask is not None:
        return _most_frequent(labels[mask], refused)
    return [] if np.isnan(box).any() else _most_frequent(_inside_box(labels, box), refused)


def _under_points(labels: Labels, points_xy: NDArray[np.float64]) -> set[int]:
    height, width = labels.shape
    cols, rows = np.floor(points_xy).astype(np.int64).T
    inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
    return set(labels[rows[inside], cols[inside]].tolist())


def _inside_box(labels: Labels, box_xyxy: NDArray[np.float64]) -> Labels:
    x0, y0 = np.maximum(np.floor(box_xyxy[:2]), 0).astype(int)
    x1, y1 = np.maximum(np.ceil(box_xyxy[2:]), 0).astype(int)
    return labels[y0:y1, x0:x1]


def _most_frequent(values: Labels, refused: set[int]) -> list[int]:
    found, first, counts = np.unique(values, return_index=True, return_counts=True)
    allowed = ~np.isin(found, list(refused))
    if not allowed.any():
        return []
    order = np.lexsort((first[allowed], -counts[allowed]))
    return [int(found[allowed][order[0]])]


#: Side in pixels of a cell of the logits of :class:`RefiningSegmenter`.
CELL_PX = 4


@dataclass(frozen=True)
class RefiningSegmenter(ThresholdSegmenter):
    """A :class:`ThresholdSegmenter` that has to choose and that goes on from its answers, as networks do.

    With `multimask` there are three masks: the selected components (part), these and all that touch them (whole, the
    best), and every valid pixel (group). With logits of a former answer, components in which they are positive on
    average stay selected unless a negative point is on them. So the result shows in which steps prompts were given.
    """

    @property
    def spec(self) -> ModelSpec:
        """Any input size; the masks may overlap."""
        return ModelSpec("refining", "refining-1")

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Three masks or one for each prompt, with logits in cells of `CELL_PX`: 8 inside, -8 outside."""
        del keep
        labels = embedding.arrays["labels"]
        masks, rows = [], []
        for row in range(len(prompts)):
            former = prompts.logits[row] if prompts.logits else None
            chosen = _components(labels, prompts, row) + _remembered(labels, prompts, row, former)
            if chosen:
                part = np.isin(labels, chosen)
                whole = np.isin(labels, labels[ndimage.binary_dilation(part) & (labels > 0)])
                masks += [part, whole, labels > 0] if multimask else [part]
                rows.append(row)
        levels = list(Granularity) if multimask else [Granularity.WHOLE]
        return MaskSet.from_full(
            masks,
            embedding.input_hw,
            predicted_iou=[0.8, 0.9, 0.7][: len(levels)] * len(rows),
            prompt_index=np.repeat(np.array(rows, np.int32), len(levels)),
            granularity=levels * len(rows),
            logits=np.array([_cells(mask) for mask in masks], np.float32) if masks else None,
        )


def _remembered(labels: Labels, prompts: PixelPrompts, row: int, former: Logits | None) -> list[int]:
    """Components in which the former logits are positive on average, without those under negative points."""
    if former is None:
        return []
    height, width = labels.shape
    logits = former.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)[:height, :width]
    found = np.unique(labels[labels > 0])
    means = np.array(ndimage.mean(logits, labels, found))
    refused = _under_points(labels, prompts.points[row][prompts.labels[row] == 0])
    return [value for value in found[means > 0].tolist() if value not in refused]


def _cells(mask: BoolArray) -> NDArray[np.float64]:
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % CELL_PX), (0, -width % CELL_PX)))
    rows, cols = padded.shape[0] // CELL_PX, padded.shape[1] // CELL_PX
    shares = padded.reshape(rows, CELL_PX, cols, CELL_PX).mean(axis=(1, 3))
    return np.asarray(16 * shares - 8)


@dataclass(frozen=True)
class NullSegmenter:
    """The same prepared masks for every tile, at no cost: what is left of a run's time is geosam's own."""

    count: int = 20
    """Masks a tile."""
    seed: int = 0
    """Seed of their shapes and places."""

    @property
    def spec(self) -> ModelSpec:
        """Any input size; the masks may overlap."""
        return ModelSpec("null", f"null-{self.count}-{self.seed}")

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Remember nothing but the size."""
        height, width = rgb.shape[2:]
        return [Embedding({}, (height, width), self.spec.fingerprint) for _ in valid]

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Mask `i % count` for prompt `i`, wherever it points."""
        del multimask, keep
        rows = np.arange(len(prompts), dtype=np.int32)
        masks = prepared_masks(embedding.input_hw, self.count, self.seed).select(rows % self.count)
        columns = (masks.predicted_iou, masks.stability_score, rows, masks.granularity)
        return MaskSet(masks.shape_hw, masks.boxes_xyxy, masks.masks, *columns)

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """All prepared masks; invalid pixels are not looked at."""
        del keep
        return prepared_masks(embedding.input_hw, self.count, self.seed)


@lru_cache(maxsize=8)
def prepared_masks(shape_hw: tuple[int, int], count: int, seed: int) -> MaskSet:
    """`count` wavy blobs with three holes each; some touch the window's edges.

    Their square roots of area are a twentieth to an eighth of the window's side, in 1024 px the 50 to 140 px of
    buildings and fields in aerial imagery.
    """
    rng = np.random.default_rng(seed)
    height, width = shape_hw
    y, x = np.mgrid[:height, :width] + 0.5
    return MaskSet.from_full(
        (_blob(rng, x - rng.uniform(0, width), y - rng.uniform(0, height), min(shape_hw) / 20) for _ in range(count)),
        shape_hw,
        predicted_iou=np.linspace(0.9, 0.99, count),
        stability_score=np.full(count, 0.97),
    )


def _blob(rng: Rng, x: NDArray[np.float64], y: NDArray[np.float64], size: float) -> BoolArray:
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    waves = sum(rng.uniform(0, 0.1) * np.cos(k * angle + rng.uniform(0, math.tau)) for k in (2, 3, 7, 19))
    mask = distance <= np.maximum(rng.uniform(0.5, 1.5) * size * (1 + waves), 1)
    for turn in rng.uniform(0, math.tau, 3):
        hole_xy = rng.uniform(0.2, 0.4) * size * np.array([np.cos(turn), np.sin(turn)])
        mask &= np.hypot(x - hole_xy[0], y - hole_xy[1]) > rng.uniform(0.04, 0.1) * size
    return np.asarray(mask)


#: Colours of :func:`flat_scene`; few, so that shapes of one colour meet and become one object.
PALETTE = np.array(
    [[20, 90, 40], [200, 60, 50], [230, 220, 90], [90, 110, 200], [250, 250, 250], [20, 90, 41]], np.uint8
)


def flat_scene(rng: Rng, height: int, width: int, n: int) -> NDArray[np.uint8]:
    """A picture (3, height, width) of `n` flat shapes over one background colour.

    Rectangles, discs, rings, bars of one pixel, staircases of one pixel and pairs of rectangles linked by two bars of
    one pixel, of up to the picture's whole size: objects that hang together only through a pixel somewhere occur often.
    """
    colours = np.zeros((height, width), np.intp)
    for _ in range(n):
        shape = _SHAPES[rng.integers(len(_SHAPES))]
        x0, x1 = np.sort(rng.integers(0, width + 1, 2))
        y0, y1 = np.sort(rng.integers(0, height + 1, 2))
        area = colours[y0:y1, x0:x1]
        if area.size:
            area[shape(rng, *area.shape)] = rng.integers(len(PALETTE))
    return np.ascontiguousarray(PALETTE[colours].transpose(2, 0, 1))


def _rectangle(rng: Rng, height: int, width: int) -> BoolArray:
    del rng
    return np.ones((height, width), bool)


def _radius(height: int, width: int) -> NDArray[np.float64]:
    y, x = np.ogrid[:height, :width]
    return np.asarray(np.hypot((x + 0.5) * 2 / width - 1, (y + 0.5) * 2 / height - 1))


def _disc(rng: Rng, height: int, width: int) -> BoolArray:
    del rng
    return _radius(height, width) <= 1


def _ring(rng: Rng, height: int, width: int) -> BoolArray:
    radius = _radius(height, width)
    return (radius <= 1) & (radius > rng.uniform(0.3, 0.95))


def _bar(rng: Rng, height: int, width: int) -> BoolArray:
    mask = np.zeros((height, width), bool)
    if rng.random() < 0.5:
        mask[rng.integers(height)] = True
    else:
        mask[:, rng.integers(width)] = True
    return mask


def _staircase(rng: Rng, height: int, width: int) -> BoolArray:
    mask = np.zeros((height, width), bool)
    steps = np.arange(max(height, width))
    rows, cols = steps * height // len(steps), steps * width // len(steps)
    mask[rows, cols] = True
    mask[rows[1:], cols[:-1]] = True
    return mask[:, ::-1] if rng.random() < 0.5 else mask


def _dumbbell(rng: Rng, height: int, width: int) -> BoolArray:
    mask = np.zeros((height, width), bool)
    ends = max(1, width // 4)
    mask[:, :ends] = mask[:, -ends:] = True
    mask[rng.integers(0, height, 2)] = True
    return mask


_SHAPES: tuple[Callable[[Rng, int, int], BoolArray], ...] = (_rectangle, _disc, _ring, _bar, _staircase, _dumbbell)
