"""Recipe: everything that the picture of a window of a scene depends on, listed once.

Keys of embeddings, the memory of a session, the identity of an unfinished run and the provenance of a result all need
to tell two pictures apart. They take their facts from here, so a new way to read a scene is added in one place.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geosam.geometry.geobox import GeoBox
    from geosam.scene.bands import BandPlan
    from geosam.scene.pixels import PixelReader
    from geosam.scene.resample import AxisScale
    from geosam.scene.stretch import Stretch


@dataclass(frozen=True)
class Recipe:
    """Facts about a picture: equal recipes give equal pixels on the same place on Earth.

    The names and the form of the fields enter keys of stored embeddings: a change needs a new format number there.
    """

    source: str
    """Identity of the content of the raster and its side-cars."""
    grid: tuple[float, ...]
    """Width, height, and the six numbers of the transform."""
    crs: str
    """CRS of the grid, as WKT."""
    bands: tuple[int, ...]
    """Bands of the picture, counted from 1."""
    level: tuple[int | None, bool, bool, bool]
    """Overview that is read (None for the base), and True for: warped by control points, flipped columns, flipped
    rows."""
    resampling: tuple[tuple[float, int], ...]
    """(input pixels per pixel, input pixels) along x and y; empty at the level's own resolution."""
    stretch: tuple[tuple[float, ...], tuple[float, ...]]
    """Band values that become 0, and those that become 255."""
    mask_rule: str
    """Rule for valid pixels, as JSON: nodata values, alpha band, mask bands, and digest of the palette."""

    @classmethod
    def of(
        cls,
        source: str,
        geobox: GeoBox,
        reader: PixelReader,
        axes: tuple[AxisScale, AxisScale] | None,
        stretch: Stretch,
    ) -> Recipe:
        """List the facts of a scene that is made of these parts."""
        return cls(
            source=source,
            grid=_grid_numbers(geobox),
            crs=geobox.crs.to_wkt(),
            bands=tuple(reader.plan.indexes),
            level=(reader.raster.overview, reader.raster.gcps, reader.flip_x, reader.flip_y),
            resampling=tuple((float(axis.scale), int(axis.size)) for axis in axes or ()),
            stretch=(tuple(stretch.low), tuple(stretch.high)),
            mask_rule=_mask_rule(reader.plan),
        )

    def on(self, geobox: GeoBox) -> Recipe:
        """Return the recipe of a part of the scene, such as the window of one tile."""
        return replace(self, grid=_grid_numbers(geobox), crs=geobox.crs.to_wkt())

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, different for recipes that differ in any field."""
        return digest_of(json.dumps(self.to_json(), sort_keys=True))  # the order of the fields must not matter

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary for JSON."""
        return asdict(self)


def digest_of(text: str, *blocks: bytes) -> str:
    """Return the BLAKE2b digest of a text and blocks of bytes, as 64 hexadecimal digits."""
    digest = hashlib.blake2b(text.encode(), digest_size=32)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _grid_numbers(geobox: GeoBox) -> tuple[float, ...]:
    return (geobox.width, geobox.height, *map(float, geobox.transform[:6]))


def _mask_rule(plan: BandPlan) -> str:
    nodata = [None if value is None else float(value) for value in plan.nodata]  # 0 and 0.0 are one rule
    palette = None if plan.palette is None else digest_of(str(plan.palette.shape), plan.palette.tobytes())
    return json.dumps([nodata, plan.alpha, plan.mask_bands, palette])
