"""Collectors turn the results of tasks into finished objects, in the order in which the results come."""

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
    """Takes the results of tasks, and puts finished objects into the spool."""

    skipped: int
    """Number of tasks without a valid pixel."""

    def take(self, task: int, result: bytes) -> None:
        """Take the result of a task. It is empty if the window has no valid pixel, and for a failed task."""

    def finish(self) -> None:
        """End the collection, after the result of every task was taken."""


@dataclass
class TileCollector:
    """Collects the masks of tiles and stitches them."""

    grid: TileGrid
    """Tiles of the run."""
    stitcher: Stitcher
    """Joins masks of neighbouring tiles."""
    spool: ObjectSpool
    """Takes the finished objects."""
    log: RunLog
    """Passes finished objects to the observer."""
    skipped: int = 0
    """Number of tiles without a valid pixel."""

    def take(self, task: int, result: bytes) -> None:
        """Stitch the masks of a tile to those of its neighbours."""
        if not result:
            self.skipped += 1
        masks = MaskSet.from_bytes(result) if result else MaskSet.empty(self.grid.window(task).shape_hw)
        finished = self.stitcher.feed(task, masks)
        self.spool.add(finished)
        if finished:
            self.log.observer.objects(finished)

    def finish(self) -> None:
        """Check that the result of every tile was taken.

        Raises:
            RuntimeError: a tile is missing.
        """
        self.stitcher.finish()


@dataclass
class PromptCollector:
    """Collects the objects of prompts, and warns of prompts without an object."""

    prompts: Sequence[Prompt]
    """All prompts of the run."""
    placed: Sequence[ScenePrompt]
    """Prompts inside the region, in scene pixels."""
    spool: ObjectSpool
    """Takes the finished objects."""
    log: RunLog
    """Takes warnings, and passes finished objects to the observer."""
    skipped: int = 0
    """Always 0: a prompt without valid pixels is one without an object."""
    answered: set[int] = field(default_factory=set)
    """Indices of prompts with an object."""

    def take(self, task: int, result: bytes) -> None:
        """Put the objects into the spool."""
        del task
        finished = unpack_objects(result)
        for item in finished:
            self.answered.add(item.prompt_index)
            # Two prompts may give the same pixels. Their ids order such objects, because tasks finish in any order.
            self.spool.add([item], tie=str(self.prompts[item.prompt_index].id))
        if finished:
            self.log.observer.objects(finished)

    def finish(self) -> None:
        """Warn of prompts without an object."""
        empty = [self.prompts[prompt.index].source for prompt in self.placed if prompt.index not in self.answered]
        if empty:
            named = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
            reason = "no valid pixel there, or nothing that the model knows"
            self.log.add_warnings([f"{len(empty)} prompts found no object ({reason}): {named}"])
