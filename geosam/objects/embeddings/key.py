"""EmbeddingKey: all that an embedding depends on, as one name.

The key depends on content alone. No path, name or time enters it, so a scene and a store may be moved or copied, and a
file that was replaced by another of the same size and times is another file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geosam.scene.recipe import digest_of

if TYPE_CHECKING:
    from geosam.scene import Scene, Tile
    from geosam.scene.recipe import Recipe

#: Version of the entries of a store; raise it when the key or the layout of an entry changes.
FORMAT = 1


@dataclass(frozen=True)
class EmbeddingKey:
    """Picture and model of one embedding."""

    # Both recipe and pixels: the fingerprint in the recipe samples the blocks of files above 64 MiB, so it misses small
    # changes; and two recipes with equal pixels in one window are still two recipes.
    recipe: Recipe
    """Recipe of the window's picture."""
    pixels: str
    """Digest of the picture and its valid mask."""
    padded_to: int | None
    """Side in pixels to which the tile is padded; None without padding."""
    model: str
    """Fingerprint of the model: weights, backend, precision."""
    format: int = FORMAT
    """Version of the store's format."""

    @classmethod
    def of(cls, scene: Scene, tile: Tile, model: str, padded_to: int | None) -> EmbeddingKey:
        """Return the key of a tile of a scene, for a model with the fingerprint `model`."""
        return cls(
            recipe=scene.recipe.on(tile.geobox),
            pixels=digest_of(str(tile.rgb.shape), tile.rgb.tobytes(), tile.valid.tobytes()),
            padded_to=padded_to,
            model=model,
        )

    @property
    def digest(self) -> str:
        """Digest of all fields, 64 hexadecimal digits."""
        own = {"pixels": self.pixels, "padded_to": self.padded_to, "model": self.model, "format": self.format}
        return digest_of(json.dumps(self.recipe.to_json() | own, sort_keys=True))
