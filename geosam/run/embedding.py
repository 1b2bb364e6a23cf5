"""Embeddings of a whole scene, computed ahead of time into a store."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

from geosam.errors import UsageError
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.observer import Observer
from geosam.run.jobs import Embedded, EmbedJob
from geosam.run.local import local_executor
from geosam.run.run_log import RunLog, compute
from geosam.run.summaries import EmbedSummary

if TYPE_CHECKING:
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.run.executor import Executor
    from geosam.run.options import RunOptions
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import Segmenter


def embed_scene(
    scene: Scene,
    segmenter: Segmenter,
    store: EmbeddingStore,
    options: RunOptions,
    *,
    executor: Executor | None = None,
    observer: Observer | None = None,
) -> EmbedSummary:
    """Fill a store with the embeddings that :func:`~geosam.run.pipeline.segment_scene` needs.

    The grid of tiles covers the *whole* scene. Tiles that share a pixel with the scene's region are embedded. So a
    scene can be embedded part by part, and a run over the whole scene uses every part. (A run over a region has a
    grid of its own, which begins at the region, and keeps its embeddings itself.) Embeddings that the store has are
    not computed again, so an interrupted call continues where it ended.

    Args:
        scene: raster to embed.
        segmenter: model that computes the embeddings.
        store: folder that keeps them.
        options: `tile_size`, `overlap`, `workers` and `allow_partial`; the others have no effect.
        executor: as for :func:`~geosam.run.pipeline.segment_scene`.
        observer: follows the work.

    Raises:
        SceneError: a tile cannot be read, without `allow_partial`.
        UsageError: the store is too small.
        ExportError: the store cannot be written.
        ResourceError: memory or disk space is used up, or a process died twice.
    """
    began = time.monotonic()
    grid = TileGrid.over(scene.geobox.window, options.tile_size, options.overlap)
    tasks = grid.meeting(scene.region)
    job = EmbedJob(TileEmbedder(scene, segmenter, store), grid, store)
    log = RunLog(observer or Observer(), len(tasks))
    log.add_warnings(scene.warnings)
    states: list[Embedded] = []
    size = 0
    executor = local_executor(options.workers) if executor is None else executor
    with closing(compute(job, tasks, executor, log, allow_partial=options.allow_partial)) as results:
        for _, result in results:
            if result is not None:
                states.append(Embedded(*json.loads(result)))
                size += states[-1].size
                if states[
                    -1
                ].computed:  # the mean size so far predicts the total: the check fails early, not at the end
                    _check_room(store, size * len(tasks) // len(states), len(tasks))
    scene.verify_unchanged()
    return EmbedSummary(
        store=store.folder,
        tiles=len(tasks),
        computed=sum(state.computed for state in states),
        reused=sum(state.reused for state in states),
        skipped=sum(not state.size for state in states),
        bytes=size,
        failed_tiles=log.failed_tiles,
        warnings=log.warnings,
        seconds=time.monotonic() - began,
    )


def _check_room(store: EmbeddingStore, needed: int, tiles: int) -> None:
    """Refuse a store that would drop the first embeddings to make room for the last ones.

    Raises:
        UsageError: the store is too small for the scene.
    """
    if needed > store.max_bytes:
        raise UsageError(
            f"the embedding store is too small: {store.folder}: found a limit of {store.max_bytes} bytes, expected "
            f"about {needed} bytes for {tiles} tiles.",
            remedy="Raise `cache_size`, or embed a part of the scene with `window`.",
            code="store-too-small-for-scene",
            store=str(store.folder),
            max_bytes=store.max_bytes,
            needed_bytes=needed,
            tiles=tiles,
        )
