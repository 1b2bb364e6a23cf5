"""EmbeddingKey: everything an embedding depends on, as one name under which it can be found again.

The key is a function of content alone. No path, name or time enters it, so a scene and a store may be moved or copied,
and a file that was replaced behind everybody's back (same size, same times) is another file.

Most fields say *how* the picture came about; `pixels` is a digest of the picture itself. That field alone would tell
two embeddings of one model apart. It is there because the fingerprint of a file above 64 MiB samples its blocks: a
change between the samples, or one in the middle of a run, must not bring a stale embedding back. The others are there
because results should never rest on two recipes happening to agree in the pixels that were looked at.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geosam.scene import Scene, Tile

#: Version of what a store holds: raised when the key or the layout of an entry changes its meaning.
FORMAT = 1


@dataclass(frozen=True)
class EmbeddingKey:
    """What one embedding was made from, and by what."""

    source: str
    """Fingerprint of the raster and its sidecars."""
    grid: tuple[float, ...]
    """The window that was read: width, height, and the six numbers of its transform."""
    crs: str
    """Its CRS, as WKT."""
    bands: tuple[int, ...]
    """Bands of the picture, counted from 1."""
    level: tuple[int | None, bool, bool, bool]
    """Overview that was read (None is the base), whether through a warp, whether columns, whether rows are turned."""
    resampling: tuple[tuple[float, int], ...]
    """(input pixels per pixel, input pixels) along x and y; empty at the level's own resolution."""
    stretch: tuple[tuple[float, ...], tuple[float, ...]]
    """Band values that become 0, and those that become 255."""
    mask_rule: str
    """What says which pixels are valid."""
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
        reader, geobox = scene.reader, tile.geobox
        return cls(
            source=scene.fingerprint,
            grid=(geobox.width, geobox.height, *map(float, geobox.transform[:6])),
            crs=geobox.crs.to_wkt(),
            bands=tuple(scene.bands),
            level=(reader.raster.overview, reader.raster.gcps, reader.flip_x, reader.flip_y),
            resampling=tuple((float(axis.scale), int(axis.size)) for axis in scene.axes or ()),
            stretch=(tuple(scene.stretch.low), tuple(scene.stretch.high)),
            mask_rule=_mask_rule(scene),
            pixels=_digest(str(tile.rgb.shape), tile.rgb.tobytes(), tile.valid.tobytes()),
            padded_to=padded_to,
            model=model,
        )

    @property
    def digest(self) -> str:
        """64 hexadecimal digits; different for keys that differ in any field."""
        return _digest(json.dumps(asdict(self), sort_keys=True))


def _mask_rule(scene: Scene) -> str:
    plan = scene.reader.plan
    nodata = [None if value is None else float(value) for value in plan.nodata]
    palette = None if plan.palette is None else _digest(str(plan.palette.shape), plan.palette.tobytes())
    return json.dumps([nodata, plan.alpha, plan.mask_bands, palette])


def _digest(text: str, *blocks: bytes) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=32)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
