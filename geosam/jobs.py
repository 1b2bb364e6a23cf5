"""The jobs of a run: the masks of a tile, the objects of prompts that share a window, a tile's place in a store.

All of them get their embeddings from one :class:`TileEmbedder`, so a click, a batch run and a run from a store see the
same picture and the same numbers.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.automatic import segment_tile
from geosam.corners import NO_CORNERS
from geosam.embedding_key import EmbeddingKey
from geosam.embedding_memory import EmbeddingMemory
from geosam.errors import DiskFull, ExportError, UsageError
from geosam.grow import segment_prompted
from geosam.masks import SceneObject
from geosam.packing import pack, plain, unpack
from geosam.segmenter import Enlarger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geosam.automatic import AutomaticRule
    from geosam.errors import GeosamError
    from geosam.geobox import Window
    from geosam.grid import TileGrid
    from geosam.grow import WindowRule
    from geosam.masks import MaskSet
    from geosam.prompts import ScenePrompt
    from geosam.scene import Scene, Tile
    from geosam.segmenter import Embedding, KeepRule, Segmenter
    from geosam.store import EmbeddingStore

#: Bytes of embeddings a prompt job keeps for prompts to come.
_EMBEDDINGS_IN_MEMORY = 256 << 20


class PreparedTile(NamedTuple):
    """A tile that was read, and what a store knows about it."""

    tile: Tile
    """The picture."""
    key: str | None = None
    """Under which its embedding is kept; None without a store, or where no pixel is valid."""
    embedding: Embedding | None = None
    """What the store had."""


@dataclass(frozen=True, eq=False)
class TileEmbedder:
    """Tiles of a scene become embeddings: from the store where it has them, else from the segmenter."""

    scene: Scene
    segmenter: Segmenter
    store: EmbeddingStore | None = None

    def prepare(self, window: Window) -> PreparedTile:
        """Read a tile, and look it up. It is read in any case: the key wants to see the picture."""
        tile = self.scene.read(window)
        if self.store is None or not tile.valid.any():
            return PreparedTile(tile)
        spec = self.segmenter.spec
        key = EmbeddingKey.of(self.scene, tile, spec.fingerprint, spec.input_size).digest
        return PreparedTile(tile, key, self.store.get(key))

    def finish(self, prepared: Sequence[PreparedTile]) -> list[Embedding | None]:
        """The embedding of each tile, None where no pixel is valid; what the store lacks is made and kept."""
        found = [item.embedding for item in prepared]
        missing = [n for n, item in enumerate(prepared) if item.embedding is None and item.tile.valid.any()]
        for n, made in zip(missing, embed(self.segmenter, [prepared[n].tile for n in missing]), strict=True):
            found[n] = made
            if self.store is not None and (key := prepared[n].key) is not None:
                self.store.put(key, made)
        return found

    def look(self, window: Window) -> Embedding | None:
        """The embedding of one window, from the store or made now; None where no pixel is valid."""
        (found,) = self.finish([self.prepare(window)])
        return found

    def take_warnings(self) -> list[str]:
        """What the store has to say since the last call."""
        return [] if self.store is None else self.store.take_warnings()


@dataclass(frozen=True, eq=False)
class _GridJob:
    """Something done with tiles of a grid, as many at once as the model likes."""

    embedder: TileEmbedder
    grid: TileGrid

    @property
    def batch_size(self) -> int:
        """Tiles that are embedded in one call."""
        return self.embedder.segmenter.spec.batch_size

    def prepare(self, task: int) -> PreparedTile:
        """Read the tile and look it up."""
        return self.embedder.prepare(self.grid.window(task))

    def name(self, task: int) -> str:
        """The tile's place in the grid."""
        row, col = self.grid.position(task)
        return f"tile r{row} c{col}"

    def take_warnings(self) -> list[str]:
        """What the user should know since the last call."""
        return self.embedder.take_warnings()


@dataclass(frozen=True, eq=False)
class TileJob(_GridJob):
    """All masks of a tile; the result is a stored MaskSet, empty where the tile has no valid pixel."""

    keep: KeepRule
    rule: AutomaticRule

    def __post_init__(self) -> None:
        spec = self.embedder.segmenter.spec
        if self.rule.crop_layers and not isinstance(self.embedder.segmenter, Enlarger):
            raise UsageError(
                f"the model {spec.name} does not look at enlarged crops: --crop-layers: {self.rule.crop_layers}, "
                "0 wanted. Use a network of the SAM family, or leave the option out."
            )

    def finish(self, tasks: Sequence[int], prepared: Sequence[PreparedTile]) -> list[bytes]:
        """Embed the tiles together and segment each."""
        del tasks
        embeddings = self.embedder.finish(prepared)
        return [self._segment(item.tile, embedding) for item, embedding in zip(prepared, embeddings, strict=True)]

    def _segment(self, tile: Tile, embedding: Embedding | None) -> bytes:
        if embedding is None:
            return b""
        segmenter = self.embedder.segmenter

        def enlarge(crop: Window) -> Embedding:
            assert isinstance(segmenter, Enlarger)  # noqa: S101 - checked when the job was made
            inside = crop.relative_to(tile.window).slices_rc
            return segmenter.embed_enlarged(tile.rgb[:, *inside], tile.valid[inside])

        masks = segment_tile(segmenter, embedding, tile.window, tile.valid, self.keep, rule=self.rule, enlarge=enlarge)
        return within(masks, tile).to_bytes()


@dataclass(frozen=True, eq=False)
class EmbedJob(_GridJob):
    """A tile's entry in the store; the result is an :class:`Embedded` as JSON."""

    store: EmbeddingStore

    def finish(self, tasks: Sequence[int], prepared: Sequence[PreparedTile]) -> list[bytes]:
        """Make and keep what is missing.

        Raises:
            ExportError: the store cannot be written.
            DiskFull: there is no space for it.
            UsageError: one embedding is more than the store may hold.
        """
        del tasks
        self.embedder.finish(prepared)
        return [json.dumps(self._state(item)).encode() for item in prepared]

    def _state(self, item: PreparedTile) -> Embedded:
        if item.key is None:
            return Embedded(0, 0, 0)
        size = self.store.bytes_of(item.key)
        if not size:
            raise _not_kept(self.store)
        return Embedded(int(item.embedding is None), int(item.embedding is not None), size)


class Embedded(NamedTuple):
    """What was done about a tile; nothing where no pixel is valid."""

    computed: int
    """1 if its embedding was made."""
    reused: int
    """1 if the store had it."""
    size: int
    """Bytes of its entry."""


@dataclass(frozen=True, eq=False)
class PromptJob:
    """The objects of prompts with a common first window."""

    embedder: TileEmbedder
    rule: WindowRule
    groups: Sequence[tuple[Window, Sequence[ScenePrompt]]]
    memory: EmbeddingMemory = field(default_factory=partial(EmbeddingMemory, _EMBEDDINGS_IN_MEMORY))

    @property
    def segmenter(self) -> Segmenter:
        """The model that is prompted."""
        return self.embedder.segmenter

    @property
    def batch_size(self) -> int:
        """One: which windows are needed is known only while objects grow."""
        return 1

    def __call__(self, window: Window) -> Embedding | None:
        """The embedding of a window, from memory, from the store or made now; None where nothing is valid."""
        return self.memory.of(window, lambda: self.embedder.look(window))

    def prepare(self, task: int) -> None:
        """Nothing, for the same reason."""

    def finish(self, tasks: Sequence[int], prepared: Sequence[None]) -> list[bytes]:
        """Find the objects."""
        del prepared
        groups = [self.groups[task] for task in tasks]
        return [pack_objects(segment_prompted(self, prompts, first, self.rule)) for first, prompts in groups]

    def name(self, task: int) -> str:
        """The window the prompts share."""
        window = self.groups[task][0]
        return f"window at column {window.col_off}, row {window.row_off}"

    def take_warnings(self) -> list[str]:
        """What the user should know since the last call."""
        return self.embedder.take_warnings()


def embed(segmenter: Segmenter, tiles: Sequence[Tile]) -> list[Embedding]:
    """Embeddings of tiles of one shape, padded to the model's input size if it has one.

    As many tiles as the model likes are embedded in one call.

    Raises:
        UsageError: a tile is larger than the model's input.
    """
    spec = segmenter.spec
    embeddings: list[Embedding] = []
    for start in range(0, len(tiles), spec.batch_size):
        pictures = [_padded(tile, spec.input_size) for tile in tiles[start : start + spec.batch_size]]
        rgb, valid = (np.stack(arrays) for arrays in zip(*pictures, strict=True))
        embeddings += segmenter.embed(rgb, valid)
    return [replace(made, arrays={name: plain(array) for name, array in made.arrays.items()}) for made in embeddings]


def _padded(tile: Tile, size: int | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Picture and valid mask of a tile, with invalid pixels below and to the right up to `size`."""
    if size is None:
        return tile.rgb, tile.valid
    height, width = tile.valid.shape
    if max(height, width) > size:
        raise UsageError(
            f"--tile-size: tiles of {width} x {height} px, the model takes at most {size} x {size}. "
            f"Use --tile-size {size}."
        )
    room = ((0, size - height), (0, size - width))
    return np.pad(tile.rgb, ((0, 0), *room)), np.pad(tile.valid, room)


def _not_kept(store: EmbeddingStore) -> GeosamError:
    """Why an embedding that was made is not in the store."""
    if store.failure is None:
        return UsageError(
            f"--cache-size: the store is too small for what is put in: {store.folder}: {store.max_bytes} bytes. "
            "Allow it more."
        )
    why = store.failure.strerror or str(store.failure)
    full = store.failure.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "Free some space and start again; finished tiles are kept." if full else "Choose another folder."
    return (DiskFull if full else ExportError)(
        f"the embedding store cannot be written: {store.folder}: {why}. {remedy}"
    )


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
