"""The jobs of a run: the masks of a tile, the objects of prompts that share a window, a tile's place in a store.

All of them get their embeddings from one :class:`TileEmbedder`, so a click, a batch run and a run from a store see the
same picture and the same numbers.
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
from geosam.geometry.geobox import Window
from geosam.objects.embeddings.embedder import PreparedTile, TileEmbedder, within
from geosam.objects.embeddings.memory import EmbeddingMemory
from geosam.objects.everything import segment_tile
from geosam.objects.growth import segment_prompted
from geosam.objects.scene_object import pack_objects
from geosam.objects.windows import WindowRule
from geosam.prompts.prompt import ScenePrompt
from geosam.run.executor import Job
from geosam.segmenters.segmenter import Enlarger, as_automatic, as_prompted, class_names

if TYPE_CHECKING:
    from collections.abc import Sequence

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

#: Bytes of embeddings a prompt job keeps for prompts to come.
_EMBEDDINGS_IN_MEMORY = 256 << 20


class SceneJob(Job, Protocol):
    """Job whose tasks are windows of a scene."""

    def window(self, task: int) -> Window:
        """Return the window of a task, scene pixels."""


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

    def window(self, task: int) -> Window:
        """The tile's window, scene pixels."""
        return self.grid.window(task)

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
        spec = as_automatic(self.embedder.segmenter).spec
        if self.rule.crop_layers and not isinstance(self.embedder.segmenter, Enlarger):
            raise UsageError(
                f"The model {spec.name} cannot segment enlarged crops: `crop_layers`: found {self.rule.crop_layers}, "
                "expected 0.",
                remedy="Use a network of the SAM family, or leave `crop_layers` out.",
                code="model-without-crops",
                model=spec.name,
                crop_layers=self.rule.crop_layers,
            )

    def finish(self, tasks: Sequence[int], prepared: Sequence[PreparedTile]) -> list[bytes]:
        """Embed the tiles together and segment each."""
        del tasks
        embeddings = self.embedder.finish(prepared)
        return [self._segment(item.tile, embedding) for item, embedding in zip(prepared, embeddings, strict=True)]

    def _segment(self, tile: Tile, embedding: Embedding | None) -> bytes:
        if embedding is None:
            return b""
        segmenter = as_automatic(self.embedder.segmenter)

        def enlarge(crop: Window) -> Embedding:
            assert isinstance(segmenter, Enlarger)  # noqa: S101 - checked when the job was made
            inside = crop.relative_to(tile.window).slices_rc
            return segmenter.embed_enlarged(tile.rgb[:, *inside], tile.valid[inside])

        masks = segment_tile(segmenter, embedding, tile.window, tile.valid, self.keep, rule=self.rule, enlarge=enlarge)
        # An error here costs one tile; the same error while the output is written would cost the run.
        class_names(segmenter, [-1] * len(masks) if masks.class_id is None else masks.class_id.tolist())
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

    def __post_init__(self) -> None:
        as_prompted(self.embedder.segmenter)

    @property
    def segmenter(self) -> Prompted:
        """The model that is prompted."""
        return as_prompted(self.embedder.segmenter)

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
        return [pack_objects(self._objects(*self.groups[task])) for task in tasks]

    def _objects(self, first: Window, prompts: Sequence[ScenePrompt]) -> list[SceneObject]:
        objects = segment_prompted(self, prompts, first, self.rule)
        class_names(self.segmenter, [item.class_id for item in objects])
        return objects

    def window(self, task: int) -> Window:
        """The window the prompts share, scene pixels."""
        return self.groups[task][0]

    def name(self, task: int) -> str:
        """The place of that window."""
        window = self.window(task)
        return f"window at column {window.col_off}, row {window.row_off}"

    def take_warnings(self) -> list[str]:
        """What the user should know since the last call."""
        return self.embedder.take_warnings()


def _not_kept(store: EmbeddingStore) -> GeosamError:
    """Why an embedding that was made is not in the store."""
    if store.failure is None:
        return UsageError(
            f"The embedding store is too small for one embedding: {store.folder}: found a limit of {store.max_bytes} "
            "bytes.",
            remedy="Raise `cache_size`.",
            code="store-too-small-for-embedding",
            store=str(store.folder),
            max_bytes=store.max_bytes,
        )
    reason = store.failure.strerror or str(store.failure)
    is_full = store.failure.errno in (errno.ENOSPC, errno.EDQUOT)
    return (DiskFull if is_full else ExportError)(
        f"The embedding store cannot be written: {store.folder}: {reason}.",
        remedy="Free some space and start again; finished tiles are kept." if is_full else "Choose another folder.",
        code="store-disk-full" if is_full else "store-not-writable",
        store=str(store.folder),
    )


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
