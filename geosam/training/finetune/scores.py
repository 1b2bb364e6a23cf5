"""How well a segmenter answers clicks and boxes for known objects, asked as `geosam segment --prompts` asks it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.geometry.polygons import polygonize
from geosam.objects.growth import segment_prompted
from geosam.prompts.prompt import ScenePrompt
from geosam.training.data.targets import burnt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam.geometry.geobox import Window
    from geosam.objects.growth import Embedder
    from geosam.objects.windows import WindowRule
    from geosam.training.data.targets import Target


class Figures(NamedTuple):
    """Mean IoU over objects."""

    click: float
    """With one click at each object's innermost point."""
    box: float
    """With each object's box."""

    @property
    def mean(self) -> float:
        """What early stopping goes by."""
        return (self.click + self.box) / 2

    def __str__(self) -> str:
        return f"one click {self.click:.3f}, box {self.box:.3f}"


def figures(embedder: Embedder, rule: WindowRule, targets: Sequence[Target]) -> Figures:
    """Ask for each target by click and by box, in windows chosen by the rule and with growth over their borders."""
    clicks = [_click(number, target) for number, target in enumerate(targets)]
    boxes = [_box(number, target) for number, target in enumerate(targets)]
    return Figures(_mean_iou(embedder, rule, targets, clicks), _mean_iou(embedder, rule, targets, boxes))


def _mean_iou(embedder: Embedder, rule: WindowRule, targets: Sequence[Target], prompts: Sequence[ScenePrompt]) -> float:
    """Mean over the targets, each of which has a prompt; 0 counts for those that get no answer."""
    groups: dict[Window, list[ScenePrompt]] = defaultdict(list)
    for prompt in prompts:
        groups[rule.first_window(prompt.bounds_xyxy)].append(prompt)
    ious = np.zeros(len(targets))
    for window, group in groups.items():
        for found in segment_prompted(embedder, group, window, rule):
            (polygon,) = polygonize([found.corners])
            target = targets[found.prompt_index]
            ious[found.prompt_index] = target.iou(burnt(polygon, target.window), polygon.area)
    return float(ious.mean())


def _click(number: int, target: Target) -> ScenePrompt:
    x, y, label = target.first_click()
    return ScenePrompt(number, np.array([[x, y]]), np.array([label], np.int8), None, None, "auto", (x, y, x, y))


def _box(number: int, target: Target) -> ScenePrompt:
    shown = target.window
    box = (float(shown.col_off), float(shown.row_off), float(shown.col_end), float(shown.row_end))
    return ScenePrompt(number, np.empty((0, 2)), np.empty(0, np.int8), box, None, "auto", box)
