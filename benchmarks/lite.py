"""geosam_lite against the architecture of MobileSAM in the authors' code, on the same tile, in one run.

Run: python benchmarks/lite.py [RASTER [POINTS_PER_SIDE]]

The tile is the first 1024 x 1024 pixels of RASTER, by default of the demo's rendered scene. geosam_lite has the weights
that come with the package. MobileSAM has random ones, so the official mask generator gets the thresholds of
benchmarks/automatic.py: a third of its masks pass the predicted IoU, and half of these pass the stability. It gets
POINTS_PER_SIDE (8) squared points, and the time of its decoder is extrapolated to the 32 x 32 of a real run. (A real
run has more duplicates to drop, too.) Both times for everything include the embedding.

Embedding and everything are CPU seconds of a separate process, on one thread. Click to polygon is the median time from
the click to the polygon over 60 clicks inside objects, on an embedded tile: by the clock and of a CPU, for one thread
and for two. Two threads need two idle cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from geosam.segmenters.segmenter import Embedding, Segmenter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SIDE, REAL_POINTS, REPEATS, CLICKS = 1024, 32, 5, 60
#: Name, threads.
ROWS = (
    ("official embedding", 1),
    ("official everything", 1),
    ("lite fp32", 1),
    ("lite auto", 1),
    ("lite clicks", 1),
    ("lite clicks", 2),
)


def tile(path: str) -> np.ndarray[Any, Any]:
    """Read the tile as 8-bit RGB (3, 1024, 1024)."""
    from geosam.geometry.geobox import Window
    from geosam.scene import open_scene

    return open_scene(path).read(Window(0, 0, SIDE, SIDE)).rgb


def best(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the least CPU seconds of several calls."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        seconds.append(time.process_time() - began)
    return min(seconds)


def official_embedding(path: str, points: int) -> dict[str, float]:
    """Measure MobileSAM's image encoder."""
    del points
    import references
    import torch

    sam = references.mobile_sam()
    picture = sam.preprocess(torch.from_numpy(tile(path).astype(np.float32))[None])
    with torch.inference_mode():
        return {"embedding": best(lambda: sam.image_encoder(picture), 3)}


def official_everything(path: str, points: int) -> dict[str, float]:
    """Measure the authors' mask generator without the encoder, scaled to 32 x 32 points."""
    del path
    import automatic
    import torch

    with torch.inference_mode():
        generate = automatic.official(points)
        return {"masks": best(generate, 1) * REAL_POINTS**2 / points**2}


def lite(path: str, precision: str) -> tuple[Segmenter, Callable[[], Embedding]]:
    """Return the segmenter, and a function that embeds the tile."""
    from geosam.segmenters.registry import load_segmenter

    segmenter = load_segmenter("geosam_lite", "cpu", precision)  # type: ignore[arg-type]
    picture, valid = tile(path)[None], np.ones((1, SIDE, SIDE), bool)
    return segmenter, lambda: segmenter.embed(picture, valid)[0]


def lite_tile(path: str, precision: str) -> dict[str, float]:
    """Measure embedding and everything of geosam_lite. The state of the decoder counts with everything."""
    segmenter, embed = lite(path, precision)
    seconds = best(embed)
    masks = segmenter.propose(embed(), segmenter.spec.keep)
    everything = best(lambda: segmenter.propose(embed(), segmenter.spec.keep), 3)
    return {"embedding": seconds, "everything": everything, "masks": len(masks)}


def lite_clicks(path: str) -> dict[str, float]:
    """Measure milliseconds from a click on an embedded tile to the polygon."""
    from geosam.geometry.corners import corners_of
    from geosam.geometry.polygons import polygonize
    from geosam.objects.growth import points_inside
    from geosam.segmenters.pixel_prompts import PixelPrompts

    segmenter, embed = lite(path, "auto")
    embedding = embed()
    everything = segmenter.propose(embedding, segmenter.spec.keep)
    places = [points_inside(everything.full(row))[:1] for row in range(len(everything))]
    clock, processor = [], []
    for number in np.random.default_rng(0).integers(len(places), size=CLICKS):
        point = places[number]
        began = time.perf_counter(), time.process_time()
        prompts = PixelPrompts((point,), (np.ones(1, np.int8),), np.full((1, 4), np.nan), (None,))
        masks = segmenter.decode(embedding, prompts, multimask=True, keep=None)
        if len(masks):
            row = int(np.argmax(masks.predicted_iou))
            x, y = masks.boxes_xyxy[row, :2].tolist()
            polygonize([corners_of(masks.masks[row], x, y)])
        clock.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    return {"clock": 1e3 * float(np.median(clock)), "processor": 1e3 * float(np.median(processor))}


def measured(name: str, path: str, points: int) -> dict[str, float]:
    """Measure one row, in this process."""
    if name == "official embedding":
        return official_embedding(path, points)
    if name == "official everything":
        return official_everything(path, points)
    return lite_clicks(path) if name == "lite clicks" else lite_tile(path, name.split()[1])


def elsewhere(name: str, threads: int, path: str, points: int) -> dict[str, float]:
    """Measure one row, in a separate process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--measure", name, path, str(points)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report(path: str, points: int) -> None:
    """Measure all rows, and print the table."""
    rows = {row: elsewhere(*row, path, points) for row in ROWS}
    embedding = rows["official embedding", 1]["embedding"]
    everything = embedding + rows["official everything", 1]["masks"]
    print(
        f"{'one tile, CPU seconds, 1 thread':34}{'embedding':>11}{'ratio':>7}{'everything':>12}{'ratio':>7}{'masks':>7}"
    )
    print(f"{'MobileSAM, the authors, random':34}{embedding:11.2f}{1:7.1f}{everything:12.1f}{1:7.1f}")
    for name in ("fp32", "auto"):
        row = rows[f"lite {name}", 1]
        ratios = embedding / row["embedding"], everything / row["everything"]
        print(
            f"{f'geosam_lite, --precision {name}':34}{row['embedding']:11.2f}{ratios[0]:7.1f}"
            f"{row['everything']:12.2f}{ratios[1]:7.1f}{row['masks']:7.0f}"
        )
    for threads in (1, 2):
        clicks = rows["lite clicks", threads]
        print(
            f"click to polygon, median, {threads} threads: {clicks['clock']:.1f} ms, {clicks['processor']:.1f} of a CPU"
        )


def main(arguments: list[str]) -> None:
    """Measure one row for :func:`elsewhere`, or print everything."""
    if arguments[:1] == ["--measure"]:
        print(json.dumps(measured(arguments[1], arguments[2], int(arguments[3]))))
        return
    points = int(arguments[1]) if len(arguments) > 1 else 8
    if arguments:
        report(arguments[0], points)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "geosam.apps.demo", folder], check=True, stdout=subprocess.DEVNULL)
        report(str(Path(folder) / "scene.tif"), points)


if __name__ == "__main__":
    main(sys.argv[1:])
