"""Time from click to answer through the pipes of a worker, and the part of it that is not the model's.

Run: python benchmarks/worker.py [RASTER]

RASTER is by default the demo's rendered scene. A row is 100 clicks (20 in new windows) at random places in a view of
800 px in its middle, one after the other, with `look` = `window`. Times are from the request to its answer, by the
clock. *new window*: a window without an embedding. *known window*: a window that was prefetched. *same again*: a draft
that was answered before. *not the model's*: clicks in known windows, served in this process, without the time of the
segmenter. This is CPU time, so that other programs on the machine do not change it.

The line above the rows is the start: the time to the answer of initialize, and to that of the first click.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from geosam.segmenters.segmenter import Segmenter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "apps" / "worker"))

MODELS, CLICKS, NEW, SEED = ("threshold", "geosam_lite"), 100, 20, 11
#: Side of the view in pixels.
VIEW = 800


class Timed:
    """A segmenter that adds up its CPU time."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.spec = segmenter.spec
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._segmenter, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - began

        return timed


def view(scene: dict[str, Any]) -> tuple[float, float, float]:
    """Return column and row of the upper left corner, and side, of the view in the middle of a scene, in pixels."""
    side = min(VIEW, scene["width"], scene["height"])
    return (scene["width"] - side) / 2, (scene["height"] - side) / 2, side


def on_map(scene: dict[str, Any], col: float, row: float) -> tuple[float, float]:
    """Convert a pixel position to map coordinates."""
    a, b, c, d, e, f = scene["transform"]
    return a * col + b * row + c, d * col + e * row + f


def places(scene: dict[str, Any], count: int) -> list[tuple[float, float]]:
    """Return map coordinates of random places in the view."""
    col, row, side = view(scene)
    drawn = np.random.default_rng(SEED).uniform(0, side, (count, 2)).tolist()
    return [on_map(scene, col + x, row + y) for x, y in drawn]


def clicks(client: Any, scene: dict[str, Any], model: str, spots: Iterable[tuple[float, float]]) -> list[float]:
    """Return the seconds from each click to its answer."""
    import workers

    crs = scene["authority"] or scene["crs"]
    taken = []
    for spot in spots:
        draft = workers.draft(workers.point(*spot), crs=crs)
        began = time.perf_counter()
        client.ask("segment", scene=scene["scene"], model={"name": model}, draft=draft, look="window")
        taken.append(time.perf_counter() - began)
    return taken


def new_windows(raster: Path, model: str) -> list[float]:
    """Return the seconds of clicks in windows without an embedding."""
    import workers

    client = workers.Worker()
    client.greet()
    scene = client.ask("open", path=str(raster))
    clicks(client, scene, model, places(scene, 1))
    taken = []
    for number in range(NEW):  # another stretch gives another picture, with other embeddings
        other = client.ask("open", path=str(raster), options={"stretch": f"{number / 100},255"})
        taken += clicks(client, other, model, places(other, 1))
        client.ask("close", scene=other["scene"])
    client.stop()
    return taken


def start(raster: Path, model: str) -> tuple[float, float]:
    """Return the seconds to the answer of initialize, and to that of the first click."""
    import workers

    began = time.perf_counter()
    client = workers.Worker()
    client.greet()
    greeted = time.perf_counter() - began
    scene = client.ask("open", path=str(raster))
    clicks(client, scene, model, places(scene, 1))
    first = time.perf_counter() - began
    client.stop()
    return greeted, first


def known_windows(client: Any, raster: Path, model: str) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Open the raster, prefetch every window, and return the scene and places in it."""
    scene = client.ask("open", path=str(raster))
    spots = places(scene, CLICKS)
    crs, (col, row, side) = scene["authority"] or scene["crs"], view(scene)
    xs, ys = zip(*(on_map(scene, col + x, row + y) for x in (0, side) for y in (0, side)), strict=True)
    bounds = [min(xs), min(ys), max(xs), max(ys)]
    client.ask("prefetch", scene=scene["scene"], model={"name": model}, bounds=bounds, crs=crs)
    clicks(client, scene, model, [(x + 0.37, y) for x, y in spots])  # other answers, but the same windows
    return scene, spots


def answered(raster: Path, model: str) -> tuple[list[float], list[float]]:
    """Return the seconds of clicks in known windows, and of the same clicks again."""
    import workers

    client = workers.Worker()
    client.greet()
    scene, spots = known_windows(client, raster, model)
    first, again = clicks(client, scene, model, spots), clicks(client, scene, model, spots)
    client.stop()
    return first, again


def without_model(raster: Path, model: str) -> list[float]:
    """Return the CPU seconds of clicks in known windows, served in this process, without those of the segmenter."""
    import workers

    from geosam.apps.worker import resources

    load: Callable[..., Segmenter] = resources.load_segmenter
    loaded: list[Timed] = []

    def timed(**options: Any) -> Any:
        loaded.append(Timed(load(**options)))
        return loaded[-1]

    resources.load_segmenter = timed  # type: ignore[assignment]
    client = workers.LocalServer({"interactive": {"memory_bytes": 2**30}})
    client.ask("initialize", protocol=1)
    scene, spots = known_windows(client, raster, model)
    taken = []
    for spot in spots:
        before, began = loaded[-1].seconds, time.process_time()
        clicks(client, scene, model, [spot])
        taken.append(time.process_time() - began - (loaded[-1].seconds - before))
    client.stop()
    resources.load_segmenter = load
    return taken


def line(name: str, taken: list[float]) -> str:
    """Return a row of the table."""
    milliseconds = np.array(taken) * 1000
    numbers = "".join(f"{np.percentile(milliseconds, at):9.1f}" for at in (50, 95, 99))
    return f"{name:36}{len(taken):7}{numbers}"


def main(arguments: list[str]) -> None:
    """Print the table."""
    import workers

    from geosam.apps.demo import render_scene

    workers.PATIENCE = 600
    with tempfile.TemporaryDirectory() as folder:
        raster = Path(arguments[0]) if arguments else Path(folder, "scene.tif")
        if not arguments:
            render_scene(raster, Path(folder, "truth.gpkg"))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        print(
            f"{raster.name}, {cores} cores, load {os.getloadavg()[0]:.1f}, OMP_NUM_THREADS "
            f"{os.environ.get('OMP_NUM_THREADS', '-')}"
        )
        print(f"{'':36}{'clicks':>7}{'median':>9}{'p95':>9}{'p99':>9}  ms")
        for model in MODELS:
            greeted, first = start(raster, model)
            print(f"{model}: initialize {greeted * 1000:.0f} ms, first click {first * 1000:.0f} ms after the start")
            known, again = answered(raster, model)
            rows = {
                "new window": new_windows(raster, model),
                "known window": known,
                "same again": again,
                "not the model's": without_model(raster, model),
            }
            for name, taken in rows.items():
                print(line(f"  {name}", taken), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
