"""Segmenters and pictures with known answers: everything downstream of a network can be tested to the byte.

`ThresholdSegmenter` of the library is exact, `PromptedOnly` is too but proposes nothing, `RefiningSegmenter` continues
from its earlier masks, `NullSegmenter` costs nothing. `flat_scene` draws pictures whose objects are hard to stitch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from geosam.segmenters.masks import Granularity, MaskSet
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter, components, under_points

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Labels
    from geosam.segmenters.pixel_prompts import Logits, PixelPrompts

    Rng = np.random.Generator


#: Side in pixels of a cell of the logits of :class:`RefiningSegmenter`.
CELL_PX = 4


@dataclass(frozen=True)
class PromptedOnly:
    """The exact segmenter without the capability to propose: it finds objects at prompts only."""

    @property
    def spec(self) -> ModelSpec:
        """Any input size."""
        return ModelSpec("prompted", "prompted-1")

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Label the components of every tile."""
        return ThresholdSegmenter().embed(rgb, valid)

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Return the components that each prompt selects."""
        return ThresholdSegmenter().decode(embedding, prompts, multimask=multimask, keep=keep)


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
            chosen = components(labels, prompts, row) + _remembered(labels, prompts, row, former)
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
    refused = under_points(labels, prompts.points[row][prompts.labels[row] == 0])
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
