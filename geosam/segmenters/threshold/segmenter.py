"""The exact segmenter: every area of one colour is an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import label

from geosam.geometry.pixel_sets import labels_at, pixels_in_box
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats, Labels
    from geosam.segmenters.pixel_prompts import PixelPrompts


@dataclass(frozen=True)
class ThresholdSegmenter:
    """Segmenter for which every 4-connected component of equal colour among the valid pixels is an object.

    All scores are 1. Its answers are known exactly, so the tests compare everything after the model byte by byte.

    A prompt selects

    - with positive points: the union of the components under them;
    - else with a mask: the component with most pixels in the mask;
    - else with a box: the component with most pixels among those the box touches.

    Components under negative points are never selected. If several components have the most pixels, the first of them
    in the box or mask is selected, row by row. Points outside the window are ignored. The choice depends on the pixels
    under the prompt only, not on the window.
    """

    @property
    def spec(self) -> ModelSpec:
        """Facts about the model. It takes any input size, and its masks are disjoint."""
        return ModelSpec("threshold", "threshold-1")

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Label the components of every tile: `labels` (H, W), 0 on invalid pixels, numbered by first pixel."""
        return [self._embed(picture, mask) for picture, mask in zip(rgb, valid, strict=True)]

    def _embed(self, rgb: NDArray[np.uint8], valid: BoolArray) -> Embedding:
        red, green, blue = rgb.astype(np.int32)
        # + 1: black is a colour, and 0 stands for invalid pixels
        colours = np.where(valid, (red << 16 | green << 8 | blue) + 1, 0)
        labels = label(colours, connectivity=1, background=0).astype(np.int32)  # type: ignore[no-untyped-call]
        return Embedding({"labels": labels}, (labels.shape[0], labels.shape[1]), self.spec.fingerprint)

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Return the union of the components that each prompt selects, in one row. The options have no effect."""
        del multimask, keep
        labels = embedding.arrays["labels"]
        chosen = [components(labels, prompts, row) for row in range(len(prompts))]
        masks = [np.logical_or.reduce([labels == value for value in values]) for values in chosen if values]
        rows = [row for row, values in enumerate(chosen) if values]
        return MaskSet.from_full(masks, embedding.input_hw, prompt_index=rows)

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """Return all components, in the order of their first pixels."""
        del keep
        return MaskSet.from_labels(embedding.arrays["labels"])


def components(labels: Labels, prompts: PixelPrompts, row: int) -> list[int]:
    """Return the labels of the components that prompt `row` selects, increasing; see :class:`ThresholdSegmenter`."""
    is_positive = np.asarray(prompts.labels[row]) == 1
    points = np.asarray(prompts.points[row], np.float64).reshape(-1, 2)
    refused = under_points(labels, points[~is_positive]) | {0}
    if is_positive.any():
        return sorted(under_points(labels, points[is_positive]) - refused)
    box, mask = prompts.boxes_xyxy[row], prompts.masks[row]
    if mask is not None:
        return _most_frequent(labels[mask], refused)
    return [] if np.isnan(box).any() else _most_frequent(labels[pixels_in_box(box)], refused)


def under_points(labels: Labels, points_xy: Floats) -> set[int]:
    """Return the labels under points (K, 2), without points outside the window."""
    return set(labels_at(labels, points_xy).tolist())


def _most_frequent(values: Labels, refused: set[int]) -> list[int]:
    """Return the most frequent value, the first of several; nothing if all are refused."""
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    allowed = ~np.isin(distinct, list(refused))
    if not allowed.any():
        return []
    order = np.lexsort((first[allowed], -counts[allowed]))  # the last key counts first
    return [int(distinct[allowed][order[0]])]
