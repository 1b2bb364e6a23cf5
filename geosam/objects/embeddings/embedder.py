"""Tiles of a scene become embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.errors import UsageError
from geosam.objects.embeddings.key import EmbeddingKey
from geosam.packing import plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam.geometry.geobox import Window
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.scene import Scene, Tile
    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.segmenter import Embedding, Segmenter


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


def within(masks: MaskSet, tile: Tile) -> MaskSet:
    """Masks of a padded tile as masks of its window; they end at the valid pixels anyway."""
    return replace(masks, shape_hw=tile.window.shape_hw)
