"""The two jobs of a run: the masks of a tile, and the objects of prompts that share a window."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from geosam.automatic import segment_tile
from geosam.corners import NO_CORNERS
from geosam.grow import segment_prompted
from geosam.masks import SceneObject
from geosam.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam.geobox import Window
    from geosam.grid import TileGrid
    from geosam.grow import WindowRule
    from geosam.masks import MaskSet
    from geosam.prompts import ScenePrompt
    from geosam.scene import Scene, Tile
    from geosam.segmenter import Embedding, KeepRule, Segmenter

#: Bytes of embeddings a prompt job keeps for prompts to come.
_EMBEDDINGS_IN_MEMORY = 256 << 20


@dataclass(frozen=True, eq=False)
class TileJob:
    """All masks of a tile; the result is a stored MaskSet, empty where the tile has no valid pixel."""

    scene: Scene
    segmenter: Segmenter
    grid: TileGrid
    keep: KeepRule

    def prepare(self, task: int) -> Tile:
        """Read the tile."""
        return self.scene.read(self.grid.window(task))

    def finish(self, task: int, prepared: Tile) -> bytes:
        """Embed and segment it."""
        del task
        if not prepared.valid.any():
            return b""
        embedding = embed(self.segmenter, prepared)
        masks = segment_tile(self.segmenter, embedding, prepared.window, prepared.valid, self.keep)
        return within(masks, prepared).to_bytes()

    def name(self, task: int) -> str:
        """The tile's place in the grid."""
        row, col = self.grid.position(task)
        return f"tile r{row} c{col}"


@dataclass(frozen=True, eq=False)
class PromptJob:
    """The objects of prompts with a common first window."""

    scene: Scene
    segmenter: Segmenter
    rule: WindowRule
    groups: Sequence[tuple[Window, Sequence[ScenePrompt]]]
    embeddings: OrderedDict[Window, Embedding | None] = field(default_factory=OrderedDict)

    def __call__(self, window: Window) -> Embedding | None:
        """The embedding of a window, from memory or made now; None where nothing is valid."""
        if window in self.embeddings:
            self.embeddings.move_to_end(window)
            return self.embeddings[window]
        tile = self.scene.read(window)
        made = embed(self.segmenter, tile) if tile.valid.any() else None
        self.embeddings[window] = made
        while sum(map(_size, self.embeddings.values())) > _EMBEDDINGS_IN_MEMORY and len(self.embeddings) > 1:
            self.embeddings.popitem(last=False)
        return made

    def prepare(self, task: int) -> None:
        """Nothing: which windows are needed is known only while objects grow."""

    def finish(self, task: int, prepared: None) -> bytes:
        """Find the objects."""
        del prepared
        first, prompts = self.groups[task]
        return pack_objects(segment_prompted(self, prompts, first, self.rule))

    def name(self, task: int) -> str:
        """The window the prompts share."""
        window = self.groups[task][0]
        return f"window at column {window.col_off}, row {window.row_off}"


def embed(segmenter: Segmenter, tile: Tile) -> Embedding:
    """Embedding of one tile, padded to the model's input size if it has one."""
    rgb, valid = tile.rgb, tile.valid
    size = segmenter.spec.input_size
    if size is not None:
        bottom, right = size - valid.shape[0], size - valid.shape[1]
        rgb = np.pad(rgb, ((0, 0), (0, bottom), (0, right)))
        valid = np.pad(valid, ((0, bottom), (0, right)))
    return segmenter.embed(rgb[None], valid[None])[0]


def within(masks: MaskSet, tile: Tile) -> MaskSet:
    """Masks of a padded tile as masks of its window; they end at the valid pixels anyway."""
    return replace(masks, shape_hw=tile.window.shape_hw)


def pack_objects(objects: Sequence[SceneObject]) -> bytes:
    """Objects as bytes; the inverse of :func:`unpack_objects`."""
    outlines = np.concatenate([item.corners for item in objects]) if objects else NO_CORNERS
    counts = np.array([len(item.corners) for item in objects], np.int64)
    columns = {name: np.array([getattr(item, name) for item in objects]) for name in _COLUMNS}
    return pack({"corners": outlines, "counts": counts, **columns})


def unpack_objects(data: bytes) -> list[SceneObject]:
    """Read what :func:`pack_objects` wrote; nothing from nothing."""
    if not data:
        return []
    stored = unpack(data)
    ends = np.cumsum(stored["counts"])
    rows = zip(*(stored[name].tolist() for name in _COLUMNS), strict=True)
    outlines = np.split(stored["corners"], ends[:-1]) if len(ends) else []
    return [
        SceneObject(outline, **dict(zip(_COLUMNS, row, strict=True)))
        for outline, row in zip(outlines, rows, strict=True)
    ]


_COLUMNS = ("score", "stability", "n_tiles", "touches_edge", "truncated", "prompt_index", "class_id")


def _size(embedding: Embedding | None) -> int:
    return 0 if embedding is None else sum(array.nbytes for array in embedding.arrays.values())
