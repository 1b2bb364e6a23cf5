"""Fill a store with the embeddings of a scene."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

from geosam.errors import SceneError, UsageError
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.run.batches import run_batches
from geosam.run.jobs import Embedded, EmbedJob
from geosam.run.summaries import EmbedSummary

if TYPE_CHECKING:
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.run.options import RunOptions
    from geosam.run.pipeline import Progress
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import Segmenter


def embed_scene(
    scene: Scene,
    segmenter: Segmenter,
    store: EmbeddingStore,
    options: RunOptions,
    *,
    progress: Progress | None = None,
) -> EmbedSummary:
    """Fill a store with the embeddings of the tiles that :func:`segment_scene` will look up.

    The tiles are those of the grid over the *whole* scene that share a pixel with its region, so a scene may be done
    part by part, and every part counts for a run over all of it. (A run over a region lays its grid over the region
    and keeps its embeddings itself.) Embeddings that the store has are left as they are: an interrupted call goes on
    where it was.

    Args:
        scene: what is looked at.
        segmenter: makes the embeddings.
        store: keeps them.
        options: `tile_size`, `overlap`, `workers` and `allow_partial`; the others have no part in this.
        progress: called with (tiles done, tiles in all) from this thread.

    Raises:
        GeosamError: of the class that says who can act; a store that cannot be written is an error here.
    """
    began = time.monotonic()
    grid = TileGrid.over(scene.geobox.window, options.tile_size, options.overlap)
    tasks = grid.meeting(scene.region)
    job = EmbedJob(TileEmbedder(scene, segmenter, store), grid, store)
    failed: dict[int, str] = {}
    states: list[Embedded] = []
    size, warnings = 0, list(scene.warnings)
    with closing(run_batches(job, tasks, options.workers, warnings.extend)) as outcomes:
        for done, (task, outcome) in enumerate(outcomes, start=1):
            if not isinstance(outcome, SceneError):
                states.append(Embedded(*json.loads(outcome)))
                size += states[-1].size
                if states[-1].computed:
                    _check_room(store, size * len(tasks) // len(states), len(tasks))
            elif options.allow_partial:
                failed[task] = f"{job.name(task)}: {outcome}"
            else:
                raise outcome
            if progress is not None:
                progress(done, len(tasks))
    scene.verify_unchanged()
    return EmbedSummary(
        store=store.folder,
        tiles=len(tasks),
        computed=sum(state.computed for state in states),
        reused=sum(state.reused for state in states),
        skipped=sum(not state.size for state in states),
        bytes=size,
        failed_tiles=tuple(failed[task] for task in sorted(failed)),
        warnings=tuple(dict.fromkeys(warnings)),
        seconds=time.monotonic() - began,
    )


def _check_room(store: EmbeddingStore, needed: int, tiles: int) -> None:
    """Refuse to fill a store that would give up the first embeddings for the last ones."""
    if needed > store.max_bytes:
        raise UsageError(
            f"the store is too small: {store.folder}: {tiles} tiles take about {needed} bytes, its limit is "
            f"{store.max_bytes}. Raise it with --cache-size, or embed a part with --window."
        )
