"""The time that geosam itself needs for a tile, without a network: 10,000 tiles with 20 prepared masks each.

Run: python benchmarks/overhead.py [TILES]
These are rows L01 and L02 of docs/faults.md. Reading is measured separately, over the same windows. Memory is the peak
of the process, every 500 tiles and at the end.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geosam.geometry.tiles import TileGrid
from geosam.objects.observer import Callbacks
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import open_scene

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from known_answers import NullSegmenter, prepared_masks

SIDE_OF_STEP = 768


@dataclass
class Peaks:
    """Peak memory in MB, by number of tiles."""

    at: dict[int, int] = field(default_factory=dict)

    def __call__(self, done: int, total: int) -> None:
        """Note the peak every 500 tiles and at the end."""
        if done % 500 == 0 or done == total:
            self.at[done] = peak_mb()


def peak_mb() -> int:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def sparse_scene(path: Path, tiles: int) -> Path:
    """Write a small file whose default grid has at least `tiles` tiles."""
    side = int(np.ceil(np.sqrt(tiles))) * SIDE_OF_STEP + 256
    profile = {"width": side, "height": side, "count": 3, "dtype": "uint8", "crs": "EPSG:32633", "tiled": True}
    transform = Affine(0.3, 0, 500_000, 0, -0.3, 5_000_000)
    with rasterio.open(
        path, "w", driver="GTiff", transform=transform, photometric="rgb", compress="zstd", blockxsize=512,
        blockysize=512, BIGTIFF="YES", **profile,
    ) as file:  # fmt: skip
        block = np.full((3, 512, 512), 120, np.uint8)
        for row in range(0, side, 512):
            for col in range(0, side, 512):
                height, width = min(512, side - row), min(512, side - col)
                file.write(block[:, :height, :width], window=rasterio.windows.Window(col, row, width, height))
    return path


def main(tiles: int) -> None:
    """Run over the tiles, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        scene = open_scene(sparse_scene(Path(folder, "scene.tif"), tiles))
        grid = TileGrid.over(scene.region)
        began = time.process_time()
        for window in list(grid)[:500]:
            scene.read(window)
        reading = (time.process_time() - began) / min(500, len(grid)) * 1000
        prepared_masks((1024, 1024), 20, 0)  # drawn once, not part of what is measured
        peaks = Peaks()
        start, cpu = time.perf_counter(), time.process_time()
        summary = segment_scene(
            scene, NullSegmenter(), Path(folder, "out.gpkg"), RunOptions(), observer=Callbacks(on_progress=peaks)
        )
        wall = (time.perf_counter() - start) / len(grid) * 1000
        total = (time.process_time() - cpu) / len(grid) * 1000
    print(f"{len(grid)} tiles, {summary.count} objects")
    print(f"reading                         {reading:6.2f} ms CPU a tile")
    print(f"stitching, polygons and writing {total - reading:6.2f} ms CPU a tile")
    print(f"everything                      {wall:6.2f} ms wall a tile")
    print("peak memory, MB, after tiles:", peaks.at, "end:", peak_mb())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
