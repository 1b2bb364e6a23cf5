"""The exact segmenter: every component of equal colour is an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import label

from geosam.segmenters.masks import MaskSet
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Labels
    from geosam.segmenters.pixel_prompts import PixelPrompts


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
        chosen = [components(labels, prompts, row) for row in range(len(prompts))]
        masks = [np.logical_or.reduce([labels == value for value in values]) for values in chosen if values]
        rows = [row for row, values in enumerate(chosen) if values]
        return MaskSet.from_full(masks, embedding.input_hw, prompt_index=rows)

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """All components, by first pixel."""
        del keep
        return MaskSet.from_labels(embedding.arrays["labels"])


def components(labels: Labels, prompts: PixelPrompts, row: int) -> list[int]:
    """Labels of the components that prompt `row` selects, increasing; see :class:`ThresholdSegmenter`."""
    is_positive = np.asarray(prompts.labels[row]) == 1
    points = np.asarray(prompts.points[row], np.float64).reshape(-1, 2)
    refused = under_points(labels, points[~is_positive]) | {0}
    if is_positive.any():
        return sorted(under_points(labels, points[is_positive]) - refused)
    box, mask = prompts.boxes_xyxy[row], prompts.masks[row]
    if mask is not None:
        return _most_frequent(labels[mask], refused)
    return [] if np.isnan(box).any() else _most_frequent(_inside_box(labels, box), refused)


def under_points(labels: Labels, points_xy: NDArray[np.float64]) -> set[int]:
    """Labels under points (K, 2); points outside the window are ignored."""
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
