"""geosam_lite against MobileSAM as its authors have it: embedding a tile, finding everything in it, and one click.

Run: python benchmarks/lite.py [POINTS_PER_SIDE]

The tile is a rendered one of 1024 x 1024 pixels. MobileSAM has random weights; its mask generator is asked at
POINTS_PER_SIDE (8) squared points, and its time is multiplied to the 32 x 32 points that it asks by itself
(benchmarks/automatic.py says how its thresholds are set). Each row is the CPU time of a process of its own on one
thread, the least of several runs, with glibc's allocator at its defaults and tuned; geosam sets its own allocator.
The click is wall time on two threads: from a point to the polygon, with the tile's embedding at hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geosam.segmenter import Embedding, Segmenter

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "tests", HERE.parent / "tests" / "models"):
    sys.path.insert(0, str(folder))

SIDE, REPEATS, CLICKS, POINTS = 1024, 3, 60, 32
OFFICIAL, OURS = "MobileSAM, official fp32", "geosam_lite"


def tile() -> NDArray[np.uint8]:
    """(3, SIDE, SIDE) of fields and houses."""
    from geosam.training.synthetic import render

    return render(np.random.default_rng(4), SIDE).rgb


def segmenter(precision: str) -> tuple[Segmenter, Embedding]:
    """Our model and what it remembers of the tile."""
    from geosam.models.registry import load_segmenter

    model = load_segmenter("geosam_lite", "cpu", precision)  # type: ignore[arg-type]
    return model, model.embed(tile()[None], np.ones((1, SIDE, SIDE), bool))[0]


def least(run: Callable[[], object]) -> float:
    """CPU seconds of the fastest of several runs."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def embedding(row: str) -> float:
    """CPU seconds for the embedding of the tile."""
    if row.startswith(OFFICIAL):
        from encoders import official

        encoder, picture = official("mobile_sam").eval(), torch.randn(1, 3, SIDE, SIDE)
        return least(lambda: encoder(picture))
    model, _ = segmenter(row.split()[1])
    picture, valid = tile()[None], np.ones((1, SIDE, SIDE), bool)
    return least(lambda: model.embed(picture, valid))


def everything(row: str, points_per_side: int) -> float:
    """CPU seconds for all masks of the tile, given its embedding."""
    if row.startswith(OFFICIAL):
        import automatic

        seconds, _ = automatic.measure("official", points_per_side)
        return seconds * (POINTS / points_per_side) ** 2
    model, known = segmenter(row.split()[1])
    return least(lambda: model.propose(known, model.spec.keep))


def click(row: str) -> list[float]:
    """Wall milliseconds from each of many points to its polygon."""
    from geosam.corners import corners_of
    from geosam.polygonize import polygonize
    from geosam.prompts import PixelPrompts

    model, known = segmenter(row.split()[1])
    times = []
    for point in np.random.default_rng(0).uniform(40, SIDE - 40, (CLICKS, 1, 2)):
        began = time.perf_counter()
        one = PixelPrompts((point,), (np.ones(1, np.int8),), np.full((1, 4), np.nan), (None,))
        masks = model.decode(known, one, multimask=True, keep=None)
        best = int(masks.predicted_iou.argmax())
        x0, y0 = masks.boxes_xyxy[best, :2].tolist()
        polygonize([corners_of(masks.masks[best], x0, y0)])
        times.append(1000 * (time.perf_counter() - began))
    return times


def measured(kind: str, row: str, points: int) -> list[float]:
    """A row in a process of its own, so that allocators and caches are its own."""
    large = str(2**32)
    tuned = {"MALLOC_MMAP_THRESHOLD_": large, "MALLOC_TRIM_THRESHOLD_": large} if "tuned" in row else {}
    threads = "2" if kind == "click" else "1"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--measure", kind, row, str(points)],
        env={**os.environ, "OMP_NUM_THREADS": threads, **tuned},
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(value) for value in done.stdout.split()]


def main(arguments: list[str]) -> None:
    """Print the tables, or measure one row."""
    if arguments[:1] == ["--measure"]:
        kind, row, points = arguments[1:]
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        with torch.inference_mode():
            found = {"embed": embedding, "everything": everything, "click": click}[kind]
            values = found(row, int(points)) if kind == "everything" else found(row)  # type: ignore[operator]
        print(*(values if isinstance(values, list) else [values]))
        return
    points = int(arguments[0]) if arguments else 8
    rows = [f"{OFFICIAL}, {allocator} allocator" for allocator in ("default", "tuned")]
    rows += [f"{OURS} {precision}" for precision in ("fp32", "bf16")]
    for kind in ("embed", "everything"):
        base = 0.0
        for row in rows:
            (seconds,) = measured(kind, row, points)
            base = base or seconds
            print(f"{kind:12}{row:46}{seconds:9.3f} CPU s{base / seconds:8.1f}", flush=True)
    for row in rows[2:]:
        times = np.array(measured("click", row, points)[5:])
        print(f"{'click':12}{row:46}{np.median(times):9.1f} ms median, {np.percentile(times, 95):.1f} p95")


if __name__ == "__main__":
    main(sys.argv[1:])
