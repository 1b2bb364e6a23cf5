"""Scores of a segmenter: IoU of its answers to a click and to a box for each of some known objects.

Windows and growth follow the rules of :func:`geosam.run.pipeline.segment_prompts`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.geometry.polygons import polygonize
from geosam.objects.growth import segment_prompted
from geosam.training.data.target_objects import polygon_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam.geometry.geobox import Window
    from geosam.objects.growth import Embedder
    from geosam.objects.windows import WindowRule
    from geosam.prompts.prompt import ScenePrompt
    from geosam.training.data.target_objects import TargetObject


class Scores(NamedTuple):
    """Mean IoU over some objects."""

    click: float
    """Mean IoU with one click at the innermost point of each object."""
    box: float
    """Mean IoU with the tight box of each object."""

    @property
    def mean(self) -> float:
        """Mean of both, by which early stopping decides."""
        return (self.click + self.box) / 2

    def __str__(self) -> str:
        return f"one click {self.click:.3f}, box {self.box:.3f}"


def scores(embedder: Embedder, rule: WindowRule, targets: Sequence[TargetObject]) -> Scores:
    """Prompt a segmenter for each target by click and by box; objects grow over the borders of their windows."""
    clicks = [target.click_prompt(index) for index, target in enumerate(targets)]
    boxes = [target.box_prompt(index) for index, target in enumerate(targets)]
    return Scores(_mean_iou(embedder, rule, targets, clicks), _mean_iou(embedder, rule, targets, boxes))


def _mean_iou(
    embedder: Embedder, rule: WindowRule, targets: Sequence[TargetObject], prompts: Sequence[ScenePrompt]
) -> float:
    """Compute the mean IoU over targets with a prompt each; a target without an answer counts as 0."""
    groups: dict[Window, list[ScenePrompt]] = defaultdict(list)
    for prompt in prompts:
        groups[rule.first_window(prompt.bounds_xyxy)].append(prompt)
    ious = np.zeros(len(targets))
    for window, group in groups.items():
        for answer in segment_prompted(embedder, group, window, rule):
            (polygon,) = polygonize([answer.corners])
            target = targets[answer.prompt_index]
            ious[answer.prompt_index] = target.iou(polygon_mask(polygon, target.window), polygon.area)
    return float(ious.mean())
