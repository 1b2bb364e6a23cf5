"""The segmenter that finds objects in a hierarchy of regions, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geosam.segmenters.masks import MaskSet
from geosam.segmenters.regions.clicks import answers
from geosam.segmenters.regions.hierarchy import Regions, build_regions, expected_iou
from geosam.segmenters.regions.leaves import find_leaves
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.segmenters.pixel_prompts import PixelPrompts

#: Value of a region in a partition: area ** GROWTH * logistic(CLARITY * objectness) - PRICE. Larger powers and prices
#: give fewer and larger regions.
GROWTH, CLARITY, PRICE = 0.7, 0.25, 7.0


@dataclass(frozen=True)
class RegionsSegmenter:
    """Segmenter of regions of even colour, which are proposed as a partition or selected by prompts."""

    @property
    def spec(self) -> ModelSpec:
        """Facts about the model. It takes any input size, and its proposals are disjoint."""
        return ModelSpec("regions", "regions-1")

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Build the hierarchy of every tile: the arrays of :class:`geosam.segmenters.regions.hierarchy.Regions`."""
        return [self._embed(picture, mask) for picture, mask in zip(rgb, valid, strict=True)]

    def _embed(self, rgb: NDArray[np.uint8], valid: BoolArray) -> Embedding:
        regions = build_regions(find_leaves(rgb, valid))
        return Embedding(vars(regions), (valid.shape[0], valid.shape[1]), self.spec.fingerprint)

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Return the regions that best explain each prompt.

        - Points: the node around all of them that looks most like an object and contains no excluding point, or the
          union of one node for each point; with `multimask` a part and a group, too.
        - A box: the regions in it that probably belong to its object, as one piece. A mask with a box is the outline of
          a box that is not upright.
        - A mask: the same within its outline, which is widened a little.

        A point with a box or mask adds or removes the selection of a click there.
        """
        del keep
        regions = Regions(**embedding.arrays)
        selections = [
            (row, level, selected)
            for row in range(len(prompts))
            for level, selected in answers(regions, prompts, row, multimask=multimask).items()
        ]
        return MaskSet.from_full(
            (selected.mask for _, _, selected in selections),
            embedding.input_hw,
            predicted_iou=[selected.iou for _, _, selected in selections],
            stability_score=[selected.stability for _, _, selected in selections],
            prompt_index=[row for row, _, _ in selections],
            granularity=[level for _, level, _ in selections],
        )

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """Return a partition of the valid pixels: the cut whose regions look most like objects."""
        del keep
        regions = Regions(**embedding.arrays)
        nodes = _partition(regions)
        lookup = np.zeros(len(regions.colours) + 1, np.int32)
        for number, (first, end) in enumerate(regions.spans[nodes].tolist(), start=1):
            lookup[first + 1 : end + 1] = number
        masks = MaskSet.from_labels(
            lookup[regions.labels],
            predicted_iou=expected_iou(regions.objectness[nodes]),
            stability_score=regions.stability[nodes],
        )
        x0, y0 = masks.boxes_xyxy[:, :2].T
        return masks.select(np.lexsort((x0, y0)))  # an order that does not depend on the hierarchy


def _partition(regions: Regions) -> NDArray[np.int64]:
    """Return the nodes that cover all leaves once and have the largest sum of values."""
    likeness = 1 / (1 + np.exp(-CLARITY * regions.objectness.astype(np.float64)))
    gain = np.where(likeness > 0, regions.areas**GROWTH * likeness - PRICE, -np.inf).tolist()
    parents = regions.parents.tolist()
    # Best value below each node, children before parents; a leaf cannot be divided.
    split = [-np.inf] * len(regions.colours) + [0.0] * (len(parents) - len(regions.colours))
    for node, parent in enumerate(parents[:-1]):
        split[parent] += max(gain[node], split[node])
    # Then from the root downward: a node is taken if it is worth as much as the best division of it.
    decided = [False] * len(parents)
    chosen = []
    for node in reversed(range(len(parents))):
        above = decided[parents[node]]
        decided[node] = above or gain[node] >= split[node]
        if decided[node] and not above:
            chosen.append(node)
    return np.array(chosen, np.int64)
