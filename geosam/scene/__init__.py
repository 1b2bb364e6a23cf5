"""Scene: a raster, opened and read in tiles.

From the ground up: `names` and `preflight` check what may be opened; `fingerprint` identifies files; `raster` reads raw
values, a handle per thread; `bands` plans picture and valid pixels; `georeference` places the grid on Earth; `stretch`
makes the uint8 picture; `resample` changes the resolution; `pixels` reads one level of a file, `levels` chooses it;
`recipe` lists what a picture depends on; `views` shows a scene to people; `scene` is the opened raster; `opening`
opens it.
"""

from geosam.scene.opening import MAX_PIXELS, open_scene
from geosam.scene.scene import Scene, Tile

__all__ = ["MAX_PIXELS", "Scene", "Tile", "open_scene"]
