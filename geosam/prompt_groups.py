"""Prompts as the tasks of a run: which lie in the region, which share their first window, what identifies them all."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam.geobox import Window
    from geosam.grow import WindowRule
    from geosam.prompts import Prompt, ScenePrompt


def in_region(placed: Sequence[ScenePrompt], region: Window) -> tuple[list[ScenePrompt], list[ScenePrompt]]:
    """Prompts that reach into the region, and the others."""
    inside: list[ScenePrompt] = []
    outside: list[ScenePrompt] = []
    for prompt in placed:
        x0, y0, x1, y1 = prompt.bounds_xyxy
        meets = x0 < region.col_end and x1 >= region.col_off and y0 < region.row_end and y1 >= region.row_off
        (inside if meets else outside).append(prompt)
    return inside, outside


def group_prompts(
    placed: Sequence[ScenePrompt], rule: WindowRule
) -> tuple[tuple[Window, tuple[ScenePrompt, ...]], ...]:
    """Prompts by the window they are asked in, windows row by row."""
    groups: dict[Window, list[ScenePrompt]] = defaultdict(list)
    for prompt in placed:
        groups[rule.follow(prompt)[0]].append(prompt)
    ordered = sorted(groups.items(), key=lambda item: (item[0].row_off, item[0].col_off))
    return tuple((window, tuple(found)) for window, found in ordered)


def digest_prompts(placed: Sequence[ScenePrompt], prompts: Sequence[Prompt]) -> str:
    """Identity of the prompts, in their order and at their places in the list, by which results are told apart."""
    digest = hashlib.sha256(repr(len(prompts)).encode())
    for prompt in placed:
        digest.update(prompt.points_xy.tobytes() + prompt.labels.tobytes())
        polygon = None if prompt.polygon is None else prompt.polygon.wkb_hex
        digest.update(
            repr((prompt.index, prompts[prompt.index].id, prompt.box_xyxy, polygon, prompt.granularity)).encode()
        )
        if prompt.steps is not None:
            digest.update(repr((prompt.steps.points.tolist(), prompt.steps.box, prompt.steps.polygon)).encode())
    return digest.hexdigest()
