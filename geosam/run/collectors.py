"""Collectors: results of tasks, in the order they come, become finished objects in the spool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from geosam.objects.scene_object import unpack_objects
from geosam.segmenters.masks import MaskSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam.geometry.tiles import TileGrid
    from geosam.objects.stitcher import Stitcher
    from geosam.prompts.prompt import Prompt, ScenePrompt
    from geosam.run.run_log import RunLog
    from geosam.run.spool import ObjectSpool


class Collector(Protocol):
    """Takes the results of tasks and keeps finished objects in the spool."""

    skipped: int
    """Tasks without a valid pixel."""

    def take(self, task: int, result: bytes) -> None:
        """Use the result of a task; an empty one means there was nothing to see."""

    def finish(self) -> None:
        """All results have been taken."""


@dataclass
class Stitched:
    """Collects the masks of tiles."""

    grid: TileGrid
    stitcher: Stitcher
    spool: ObjectSpool
    log: RunLog
    skipped: int = 0

    def take(self, task: int, result: bytes) -> None:
        """Stitch the tile's masks to those of its neighbours."""
        if not result:
            self.skipped += 1
        masks = MaskSet.from_bytes(result) if result else MaskSet.empty(self.grid.window(task).shape_hw)
        finished = self.stitcher.feed(task, masks)
        self.spool.add(finished)
        if finished:
            self.log.observer.objects(finished)

    def finish(self) -> None:
        """Check that every tile has come."""
        self.stitcher.finish()


@dataclass
class Prompted:
    """Collects the objects of prompts."""

    prompts: Sequence[Prompt]
    placed: Sequence[ScenePrompt]
    spool: ObjectSpool
    log: RunLog
    skipped: int = 0
    found: set[int] = field(default_factory=set)

    def take(self, task: int, result: bytes) -> None:
        """Keep the objects."""
        del task
        finished = unpack_objects(result)
        for item in finished:
            self.found.add(item.prompt_index)
            self.spool.add([item], tie=str(self.prompts[item.prompt_index].id))
        if finished:
            self.log.observer.objects(finished)

    def finish(self) -> None:
        """Name the prompts that found nothing."""
        empty = [self.prompts[prompt.index].source for prompt in self.placed if prompt.index not in self.found]
        if empty:
            named = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
            self.log.add_warnings(
                [f"{len(empty)} prompts found no object (nodata, or nothing the model knows): {named}"]
            )
