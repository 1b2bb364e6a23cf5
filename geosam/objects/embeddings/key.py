"""EmbeddingKey: everything an embedding depends on, as one name under which it can be found again.

The key is a function of content alone. No path, name or time enters it, so a scene and a store may be moved or copied,
and a file that was replaced behind everybody's back (same size, same times) is another file.

The recipe says *how* the picture came about; `pixels` is a digest of the picture itself. That field alone would tell
two embeddings of one model apart. It is there because the fingerprint of a file above 64 MiB samples its blocks: a
change between the samples, or one in the middle of a run, must not bring a stale embedding back. The recipe is there
because results should never rest on two recipes happening to agree in the pixels that were looked at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geosam.scene.recipe import digest_of

if TYPE_CHECKING:
    from geosam.scene import Scene, Tile
    from geosam.scene.recipe import Recipe

#: Version of what a store holds: raised when the key or the layout of an entry changes its meaning.
FORMAT = 1


@dataclass(frozen=True)
class EmbeddingKey:
    """What one embedding was made from, and by what."""

    recipe: Recipe
    """How the picture of the window comes about."""
    pixels: str
    """Digest of the picture and its valid mask."""
    padded_to: int | None
    """Side the tile is padded to; None for its own size."""
    model: str
    """Fingerprint of the model: weights, backend, precision."""
    format: int = FORMAT
    """Version of the store's format."""

    @classmethod
    def of(cls, scene: Scene, tile: Tile, model: str, padded_to: int | None) -> EmbeddingKey:
        """The key of a tile of a scene, looked at by the model of that fingerprint."""
        return cls(
            recipe=scene.recipe.on(tile.geobox),
            pixels=digest_of(str(tile.rgb.shape), tile.rgb.tobytes(), tile.valid.tobytes()),
            padded_to=padded_to,
            model=model,
        )

    @property
    def digest(self) -> str:
        """64 hexadecimal digits; different for keys that differ in any field."""
        own = {"pixels": self.pixels, "padded_to": self.padded_to, "model": self.model, "format": self.format}
        return digest_of(json.dumps(self.recipe.to_json() | own, sort_keys=True))
