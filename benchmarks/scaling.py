"""Growth of time and memory with the number of masks and objects (rows L03 and L05 of docs/faults.md).

Run: python benchmarks/scaling.py [SIDE]
The first part is the stitcher alone: ten times the masks should take at most fifteen times as long. The second part is
a whole run over a chequerboard of 8 x 8 px fields with the exact segmenter: SIDE x SIDE pixels, (SIDE / 8) squared
objects.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid
from geosam.objects.stitcher import Stitcher
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import open_scene
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

MASKS_A_TILE = 200


def random_boxes(seed: int) -> MaskSet:
    """Return small solid masks at random places of a tile."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 1000, (MASKS_A_TILE, 2))
    size = rng.integers(4, 24, (MASKS_A_TILE, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.int32)
    masks = [np.ones((y1 - y0, x1 - x0), bool) for x0, y0, x1, y1 in boxes.tolist()]
    return MaskSet.of((1024, 1024), masks, boxes, predicted_iou=rng.random(MASKS_A_TILE))


def stitch(tiles_a_side: int) -> float:
    """Return the CPU seconds to stitch a square of tiles."""
    side = tiles_a_side * 768 + 256
    grid = TileGrid.over(Window(0, 0, side, side))
    prepared = [random_boxes(seed) for seed in range(16)]
    stitcher = Stitcher(grid)
    began = time.process_time()
    for index in range(len(grid)):
        stitcher.feed(index, prepared[index % 16])
    stitcher.finish()
    return time.process_time() - began


def chequerboard(path: Path, side: int) -> Path:
    """Write fields of 8 x 8 px in two colours."""
    rows, cols = np.indices((side // 8, side // 8))
    picture = np.where((rows + cols) % 2, 200, 40).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    profile = {"width": side, "height": side, "count": 3, "dtype": "uint8", "crs": "EPSG:32633", "tiled": True}
    transform = Affine(0.3, 0, 500_000, 0, -0.3, 5_000_000)
    with rasterio.open(
        path, "w", driver="GTiff", transform=transform, photometric="rgb", compress="deflate", **profile
    ) as file:
        file.write(np.stack([picture] * 3))
    return path


def main(side: int) -> None:
    """Measure both parts, and print the figures."""
    small, large = stitch(10), stitch(32)
    print(f"stitching {100 * MASKS_A_TILE} masks {small:.1f} s CPU, {1024 * MASKS_A_TILE} masks {large:.1f} s CPU")
    print(f"ten times the masks take {large / small / 1.024:.1f} times as long")
    with tempfile.TemporaryDirectory() as folder:
        scene = open_scene(chequerboard(Path(folder, "scene.tif"), side))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        began = time.process_time()
        summary = segment_scene(scene, ThresholdSegmenter(), Path(folder, "out.gpkg"), RunOptions())
        seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{summary.count} objects from {summary.tiles} tiles: {seconds:.0f} s CPU, peak {peak} MB (before: {before} MB)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
