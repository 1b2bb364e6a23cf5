"""Jobs: all masks of a tile, the objects of prompts that share a window, the entry of a tile in a store.

Each job gets its embeddings from a :class:`TileEmbedder`, as a session does. So a click, a run and a run with a store
use the same picture and the same numbers.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from geosam.errors import DiskFull, ExportError, UsageError
from geosam.objects.embeddings.embedder import PreparedTile, TileEmbedder, within
from geosam.objects.embeddings.memory import EmbeddingMemory
from geosam.objects.everything import segment_tile
from geosam.objects.growth import segment_prompted
from geosam.objects.scene_object import pack_objects
from geosam.run.executor import Job
from geosam.segmenters.segmenter import Enlarger, as_automatic, as_prompted, class_names

if TYPE_CHECKING:
    from geosam.errors import GeosamError
    from geosam.geometry.geobox import Window
    from geosam.geometry.tiles import TileGrid
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.objects.everything import AutomaticRule
    from geosam.objects.scene_object import SceneObject
    from geosam.objects.windows import WindowRule
    from geosam.prompts.prompt import Prompt, ScenePrompt
    from geosam.scene import Tile
    from geosam.segmenters.segmenter import Embedding, KeepRule, Prompted

#: Bytes of embeddings that a prompt job keeps: neighbouring groups of prompts share windows.
_EMBEDDINGS_IN_MEMORY = 256 << 20


class SceneJob(Job, Protocol):
    """Job whose tasks are windows of a scene."""

    def window(self, task: int) -> Window:
        """Return the window of a task, scene pixels."""


@dataclass(frozen=True, eq=False)
class _GridJob:
    """Job whose tasks are the tiles of a grid."""

    embedder: TileEmbedder
    grid: TileGrid

    @property
    def batch_size(self) -> int:
        """Number of tiles that the model embeds best in one call."""
        return self.embedder.segmenter.spec.batch_size

    def prepare(self, task: int) -> PreparedTile:
        """Read the tile, and its embedding if the store has it."""
        return self.embedder.prepare(self.grid.window(task))

    def window(self, task: int) -> Window:
        """Return the window of the tile, scene pixels."""
        return self.grid.window(task)

    def name(self, task: int) -> str:
        """Name the tile by its place in the grid."""
        row, col = self.grid.position(task)
        return f"tile r{row} c{col}"

    def take_warnings(self) -> list[str]:
        """Return the warnings of the store since the last call."""
        return self.embedder.take_warnings()


@dataclass(frozen=True, eq=False)
class TileJob(_GridJob):
    """All masks of a tile. The result is a MaskSet as bytes; it is empty where the tile has no valid pixel.

    Raises:
        UsageError: the model finds no objects by itself, or cannot segment enlarged crops.
    """

    keep: KeepRule
    rule: AutomaticRule

    def __post_init__(self) -> None:
        spec = as_automatic(self.embedder.segmenter).spec
        if self.rule.crop_layers and not isinstance(self.embedder.segmenter, Enlarger):
            raise UsageError(
                f"the model {spec.name} cannot segment enlarged crops: `crop_layers`: found {self.rule.crop_layers}, "
                "expected 0.",
                remedy="Use a network of the SAM family, or leave `crop_layers` out.",
                code="model-without-crops",
                model=spec.name,
                crop_layers=self.rule.crop_layers,
            )

    def finish(self, tasks: Sequence[int], prepared: Sequence[PreparedTile]) -> list[bytes]:
        """Embed the tiles together, and segment each of them."""
        del tasks
        embeddings = self.embedder.finish(prepared)
        return [self._segment(item.tile, embedding) for item, embedding in zip(prepared, embeddings, strict=True)]

    def _segment(self, tile: Tile, embedding: Embedding | None) -> bytes:
        if embedding is None:
            return b""
        segmenter = as_automatic(self.embedder.segmenter)

        def enlarge(crop: Window) -> Embedding:
            assert isinstance(segmenter, Enlarger)  # noqa: S101 - `__post_init__` has checked it
            inside = crop.relative_to(tile.window).slices_rc
            return segmenter.embed_enlarged(tile.rgb[:, *inside], tile.valid[inside])

        masks = segment_tile(segmenter, embedding, tile.window, tile.valid, self.keep, rule=self.rule, enlarge=enlarge)
        # Checked here: an undeclared class then fails at the first tile, not after hours, when the output is written.
        class_names(segmenter, [-1] * len(masks) if masks.class_id is None else masks.class_id.tolist())
        return within(masks, tile).to_bytes()


@dataclass(frozen=True, eq=False)
class EmbedJob(_GridJob):
    """Entry of a tile in the store. The result is an :class:`Embedded` as JSON."""

    store: EmbeddingStore

    def finish(self, tasks: Sequence[int], prepared: Sequence[PreparedTile]) -> list[bytes]:
        """Compute and store the embeddings that the store lacks.

        Raises:
            ExportError: the store cannot be written.
            DiskFull: there is no space for the embedding.
            UsageError: one embedding is larger than the store may be.
        """
        del tasks
        self.embedder.finish(prepared)
        return [json.dumps(self._state(item)).encode() for item in prepared]

    def _state(self, item: PreparedTile) -> Embedded:
        if item.key is None:  # no valid pixel
            return Embedded(0, 0, 0)
        size = self.store.bytes_of(item.key)
        if not size:  # in a run a store may fail silently, but here its entries are the result
            raise _not_kept(self.store)
        return Embedded(int(item.embedding is None), int(item.embedding is not None), size)


class Embedded(NamedTuple):
    """Result of embedding a tile; all zero where no pixel is valid."""

    computed: int
    """1 if the embedding was computed."""
    reused: int
    """1 if the store had the embedding."""
    size: int
    """Size of the entry in bytes."""


@dataclass(frozen=True, eq=False)
class PromptJob:
    """Objects of prompts that share their first window. The result is :func:`pack_objects` of them."""

    embedder: TileEmbedder
    rule: WindowRule
    groups: Sequence[tuple[Window, Sequence[ScenePrompt]]]
    memory: EmbeddingMemory = field(default_factory=partial(EmbeddingMemory, _EMBEDDINGS_IN_MEMORY))

    def __post_init__(self) -> None:
        as_prompted(self.embedder.segmenter)

    @property
    def segmenter(self) -> Prompted:
        """Model that decodes the prompts."""
        return as_prompted(self.embedder.segmenter)

    @property
    def batch_size(self) -> int:
        """Always 1: the windows of an object are known only while it grows, so tasks share no batch."""
        return 1

    def __call__(self, window: Window) -> Embedding | None:
        """Return the embedding of a window from memory, from the store, or computed now.

        Returns:
            None where no pixel is valid.
        """
        return self.memory.get_or_make(window, lambda: self.embedder.embed(window))

    def prepare(self, task: int) -> None:
        """Read nothing ahead: only :meth:`finish` finds out which windows a task needs."""

    def finish(self, tasks: Sequence[int], prepared: Sequence[None]) -> list[bytes]:
        """Find the objects of each group of prompts."""
        del prepared
        return [pack_objects(self._objects(*self.groups[task])) for task in tasks]

    def _objects(self, first: Window, prompts: Sequence[ScenePrompt]) -> list[SceneObject]:
        objects = segment_prompted(self, prompts, first, self.rule)
        class_names(self.segmenter, [item.class_id for item in objects])
        return objects

    def window(self, task: int) -> Window:
        """Return the window that the prompts share, scene pixels."""
        return self.groups[task][0]

    def name(self, task: int) -> str:
        """Name the window that the prompts share by its place in the scene."""
        window = self.window(task)
        return f"window at column {window.col_off}, row {window.row_off}"

    def take_warnings(self) -> list[str]:
        """Return the warnings of the store since the last call."""
        return self.embedder.take_warnings()


def _not_kept(store: EmbeddingStore) -> GeosamError:
    """Return the reason why a new embedding is not in the store."""
    if store.failure is None:
        return UsageError(
            f"the embedding store is too small for one embedding: {store.folder}: found a limit of {store.max_bytes} "
            "bytes.",
            remedy="Raise `cache_size`.",
            code="store-too-small-for-embedding",
            store=str(store.folder),
            max_bytes=store.max_bytes,
        )
    reason = store.failure.strerror or str(store.failure)
    is_full = store.failure.errno in (errno.ENOSPC, errno.EDQUOT)
    return (DiskFull if is_full else ExportError)(
        f"the embedding store cannot be written: {store.folder}: {reason}.",
        remedy="Free some space and start again; finished tiles are kept." if is_full else "Choose another folder.",
        code="store-disk-full" if is_full else "store-not-writable",
        store=str(store.folder),
    )


def digest_prompts(placed: Sequence[ScenePrompt], prompts: Sequence[Prompt]) -> str:
    """Return a digest of all that the objects of prompts depend on.

    The places of the prompts in the list count too, because the results of tasks name a prompt by its index.
    """
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
