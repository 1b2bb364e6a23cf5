"""Scene: an opened raster at a stated ground resolution, read in tiles.

A path passes `preflight`, becomes a `Raster` (one handle a thread), gets its `georeference`, its `bands` and its valid
mask, and is read as values through a `PixelReader`, at the `level` that serves the resolution, resampled where the
resolution is not the file's own. `Scene.read` stretches the values to the uint8 picture of a tile.
"""

from geosam.scene.opening import MAX_PIXELS, open_scene
from geosam.scene.scene import Scene, Tile

__all__ = ["MAX_PIXELS", "Scene", "Tile", "open_scene"]
