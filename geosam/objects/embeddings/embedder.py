"""TileEmbedder: reads tiles of a scene and embeds them, or finds their embeddings in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geosam.errors import UsageError
from geosam.objects.embeddings.key import EmbeddingKey
from geosam.packing import plain

if TYPE_CHECKING:
    from geosam._arrays import BoolArray, Bytes
    from geosam.geometry.geobox import Window
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.scene import Scene, Tile
    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.segmenter import Embedding, Segmenter


class PreparedTile(NamedTuple):
    """Tile that was read, with its embedding if the store holds it."""

    tile: Tile
    """Picture and valid pixels."""
    key: str | None = None
    """Key of its embedding in the store; None without a store, or where no pixel is valid."""
    embedding: Embedding | None = None
    """Embedding from the store; None if it holds none."""


@dataclass(frozen=True, eq=False)
class TileEmbedder:
    """Makes embeddings of tiles of a scene: from the store where it holds them, else from the segmenter."""

    scene: Scene
    """Scene that is read."""
    segmenter: Segmenter
    """Model that embeds."""
    store: EmbeddingStore | None = None
    """Store that is searched and filled."""

    def prepare(self, window: Window) -> PreparedTile:
        """Read a tile (scene pixels), and search its embedding in the store."""
        tile = self.scene.read(window)  # in any case: the key contains a digest of the picture
        if self.store is None or not tile.valid.any():
            return PreparedTile(tile)
        spec = self.segmenter.spec
        key = EmbeddingKey.of(self.scene, tile, spec.fingerprint, spec.input_size).digest
        return PreparedTile(tile, key, self.store.get(key))

    def finish(self, prepared: Sequence[PreparedTile]) -> list[Embedding | None]:
        """Return the embeddings of tiles, None where no pixel is valid. The store gets those that it lacks."""
        embeddings = [item.embedding for item in prepared]
        missing = [n for n, item in enumerate(prepared) if item.embedding is None and item.tile.valid.any()]
        for n, embedding in zip(missing, embed(self.segmenter, [prepared[n].tile for n in missing]), strict=True):
            embeddings[n] = embedding
            if self.store is not None and (key := prepared[n].key) is not None:
                self.store.put(key, embedding)
        return embeddings

    def embed(self, window: Window) -> Embedding | None:
        """Return the embedding of one window (scene pixels), None where no pixel is valid."""
        (embedding,) = self.finish([self.prepare(window)])
        return embedding

    def take_warnings(self) -> list[str]:
        """Return the warnings of the store since the last call."""
        return [] if self.store is None else self.store.take_warnings()


def embed(segmenter: Segmenter, tiles: Sequence[Tile]) -> list[Embedding]:
    """Embed tiles of one shape, padded to the model's input size if it has one, in batches of the model's size.

    Raises:
        UsageError: a tile is larger than the model's input.
    """
    spec = segmenter.spec
    embeddings: list[Embedding] = []
    for start in range(0, len(tiles), spec.batch_size):
        pictures = [_padded(tile, spec.input_size) for tile in tiles[start : start + spec.batch_size]]
        rgb, valid = (np.stack(arrays) for arrays in zip(*pictures, strict=True))
        embeddings += segmenter.embed(rgb, valid)
    # The layout of arrays from a store: a network may give other bits for another layout.
    return [replace(item, arrays={name: plain(array) for name, array in item.arrays.items()}) for item in embeddings]


def _padded(tile: Tile, size: int | None) -> tuple[Bytes, BoolArray]:
    """Return the picture (3, H, W) and valid mask (H, W) of a tile, padded at the bottom and the right to `size`."""
    if size is None:
        return tile.rgb, tile.valid
    height, width = tile.valid.shape
    if max(height, width) > size:
        raise UsageError(
            f"a tile is larger than the input of the model: `tile_size`: found {width} x {height} px, expected at "
            f"most {size} x {size}.",
            remedy=f"Use `tile_size={size}`.",
            code="tile-larger-than-input",
            tile_width=width,
            tile_height=height,
            input_size=size,
        )
    padding = ((0, size - height), (0, size - width))
    return np.pad(tile.rgb, ((0, 0), *padding)), np.pad(tile.valid, padding)


def within(masks: MaskSet, tile: Tile) -> MaskSet:
    """Turn masks of a padded tile into masks of its window."""
    # Boxes stay: masks end at the valid pixels, and the padding is at the right and the bottom.
    return replace(masks, shape_hw=tile.window.shape_hw)
