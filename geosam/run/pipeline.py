"""Pipeline: a scene, a segmenter and perhaps prompts become one vector file."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geosam._version import __version__
from geosam.errors import PromptOutsideScene, UsageError
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.observer import Observer
from geosam.objects.shaping import columns_of
from geosam.objects.stitcher import Stitcher
from geosam.objects.windows import WindowRule, group_prompts
from geosam.prompts.placement import in_region, to_scene
from geosam.run.collectors import PromptCollector, TileCollector
from geosam.run.jobs import PromptJob, TileJob, digest_prompts
from geosam.run.journal import Journal
from geosam.run.local import local_executor
from geosam.run.rows import PromptTable, write_rows
from geosam.run.run_log import RunLog, compute
from geosam.run.spool import ObjectSpool
from geosam.run.summaries import RunSummary
from geosam.vector.checks import check_output
from geosam.vector.schema import Target
from geosam.vector.writer import FeatureWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.prompts.prompt import Prompt
    from geosam.run.collectors import Collector
    from geosam.run.executor import Executor
    from geosam.run.jobs import SceneJob
    from geosam.run.options import RunOptions
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import Segmenter
    from geosam.vector.schema import Column

__all__ = ["RunSummary", "segment_prompts", "segment_scene"]


def segment_scene(
    scene: Scene,
    segmenter: Segmenter,
    out: Path,
    options: RunOptions,
    *,
    store: EmbeddingStore | None = None,
    executor: Executor | None = None,
    observer: Observer | None = None,
) -> RunSummary:
    """Find all objects of a scene's region, and write them to a vector file.

    The bytes of the file depend on the scene, the model, the options and the name of the file. They do not depend on
    store, executor, workers, or on an interruption: after an error the next call continues from the finished tiles.

    Args:
        scene: raster to segment.
        segmenter: model that proposes objects; a model that only takes prompts is prompted with a grid of points.
        out: path of the output; its extension names the format. The file appears complete or not at all.
        options: layout of the tiles, filters, and the rules for an existing output and an unfinished run.
        store: folder that keeps embeddings.
        executor: computes the tiles; by default `options.workers` processes of this machine.
        observer: follows the run.

    Raises:
        UsageError: options, model or output do not fit together, or another run owns the unfinished output.
        SceneError: a tile cannot be read, without `allow_partial`.
        ModelError: the model cannot compute.
        ExportError: the output cannot be written.
        ResourceError: memory or disk space is used up, or a process died twice at the same tile.
    """
    grid = TileGrid.over(scene.region, options.tile_size, options.overlap)
    keep = segmenter.spec.keep if options.keep is None else options.keep
    options = replace(options, keep=keep)  # the provenance records the rule that is used
    job = TileJob(TileEmbedder(scene, segmenter, store), grid, keep, options.automatic)
    rules = {**asdict(keep), **asdict(options.automatic)}
    identity = {"tile_size": options.tile_size, "overlap": options.overlap, **rules}
    run = _Run(scene, segmenter, Path(out), options, store, executor, RunLog(observer or Observer(), len(grid)))
    run.log.add_warnings(scene.warnings)
    with ObjectSpool(scene.region) as spool, closing(Stitcher(grid)) as stitcher:
        return run.complete(job, TileCollector(grid, stitcher, spool, run.log), spool, identity)


def segment_prompts(
    scene: Scene,
    segmenter: Segmenter,
    prompts: Sequence[Prompt],
    out: Path,
    options: RunOptions,
    *,
    skip_outside: bool = False,
    store: EmbeddingStore | None = None,
    executor: Executor | None = None,
    observer: Observer | None = None,
) -> RunSummary:
    """Find one object for each prompt, and write the objects with the attributes of the prompts to a vector file.

    Args:
        scene: raster to segment; the prompts lie in its region.
        segmenter: model that takes prompts.
        prompts: points, boxes and polygons in map coordinates.
        out: path of the output; its extension names the format. The file appears complete or not at all.
        options: as for :func:`segment_scene`.
        skip_outside: leave out prompts outside the region, with a warning.
        store: as for :func:`segment_scene`.
        executor: as for :func:`segment_scene`.
        observer: follows the run.

    Raises:
        PromptError: a prompt cannot be used, or lies outside the region, without `skip_outside`.
        GeosamError: as for :func:`segment_scene`.
    """
    placed, warnings = to_scene(prompts, scene.geobox, skip_outside=skip_outside)
    placed, outside = in_region(placed, scene.region)
    if outside:
        named = ", ".join(prompts[prompt.index].source for prompt in outside[:5])
        if not skip_outside:
            raise PromptOutsideScene(
                f"{len(outside)} prompts lie outside `window`: {scene.path}: {named}.",
                remedy="Enlarge `window`, or use `skip_outside=True`.",
                code="prompts-outside-window",
                count=len(outside),
                scene=str(scene.path),
                prompts=[prompts[prompt.index].source for prompt in outside],
            )
        warnings = [*warnings, f"{len(outside)} prompts outside `window` left out: {named}"]
    rule = WindowRule(scene.region, options.tile_size, options.overlap)
    groups = group_prompts(placed, rule)
    job = PromptJob(TileEmbedder(scene, segmenter, store), rule, groups)
    identity = {"tile_size": options.tile_size, "overlap": options.overlap, "prompts": digest_prompts(placed, prompts)}
    table = PromptTable(prompts, columns_of(segmenter))
    log = RunLog(observer or Observer(), len(groups))
    run = _Run(scene, segmenter, Path(out), options, store, executor, log, table)
    log.add_warnings([*scene.warnings, *warnings])
    with ObjectSpool(scene.region) as spool:
        return run.complete(job, PromptCollector(prompts, placed, spool, log), spool, identity)


@dataclass
class _Run:
    """One run, from the first check to the summary. The fields are the arguments of :func:`segment_prompts`."""

    scene: Scene
    segmenter: Segmenter
    out: Path
    options: RunOptions
    store: EmbeddingStore | None
    executor: Executor | None
    log: RunLog
    table: PromptTable | None = None

    def complete(
        self, job: SceneJob, collector: Collector, spool: ObjectSpool, identity: Mapping[str, Any]
    ) -> RunSummary:
        """Compute what the journal lacks, and write the output."""
        began = time.monotonic()
        if self.store is not None and self.store.holds(self.out):
            raise UsageError(
                f"the output lies in the embedding store: {self.out}.",
                remedy="Choose another folder.",
                code="output-in-store",
                output=str(self.out),
                store=str(self.store.folder),
            )
        # Checked before the journal exists, so that a refused run leaves no file beside the output.
        check_output(self.out, self.scene.geobox.crs, self._columns, overwrite=True, inputs=[Path(self.scene.path)])
        with Journal(self.out, self._identity(identity), restart=self.options.restart) as journal:
            # A run that was killed just after it published its output finds that output here, and may replace it.
            overwrite = self.options.overwrite or journal.published
            check_output(self.out, self.scene.geobox.crs, self._columns, overwrite=overwrite)
            resumed = len(journal)
            self._compute(job, journal, collector)
            self.scene.verify_unchanged()  # otherwise the objects would mix two versions of the picture
            collector.finish()
            spool.seal()
            count, too_small = self._write(spool, journal, overwrite=overwrite)
            journal.remove()
        return RunSummary(
            output=self.out,
            count=count,
            too_small=too_small,
            tiles=self.log.total,
            skipped_tiles=collector.skipped,
            resumed_tiles=resumed,
            failed_tiles=self.log.failed_tiles,
            warnings=self.log.warnings,
            seconds=time.monotonic() - began,
        )

    @property
    def _columns(self) -> tuple[Column, ...]:
        columns = columns_of(self.segmenter)
        return columns if self.table is None else (*columns, *self.table.columns)

    def _identity(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Return all values that the results of the tasks depend on."""
        region = self.scene.region
        return {
            "version": __version__,
            **self.scene.recipe.to_json(),
            "window": [region.col_off, region.row_off, region.width, region.height],
            "model": self.segmenter.spec.fingerprint,
            **more,
        }

    def _compute(self, job: SceneJob, journal: Journal, collector: Collector) -> None:
        """Pass the results of all tasks to the collector: first those of the journal, then new ones."""
        log = self.log
        for task, recorded in journal.results():
            collector.take(task, recorded)
            log.observer.window(job.window(task), "known")
        log.advance(len(journal))
        finished = journal.numbers()
        tasks = [task for task in range(log.total) if task not in finished]
        executor = local_executor(self.options.workers) if self.executor is None else self.executor
        with closing(compute(job, tasks, executor, log, allow_partial=self.options.allow_partial)) as results:
            for task, result in results:
                if result is not None:
                    journal.record(task, result)
                collector.take(task, result or b"")

    def _write(self, spool: ObjectSpool, journal: Journal, *, overwrite: bool) -> tuple[int, int]:
        geobox = self.scene.geobox
        target = Target(
            path=self.out,
            crs=geobox.crs,
            columns=self._columns,
            layer=self.out.stem,
            provenance=self._provenance(),
            pixel_size=geobox.pixel_area**0.5,
        )
        with ExitStack() as stack:
            # The writer has all its warnings only after it is closed: callbacks of the stack run in reverse order.
            stack.callback(lambda: self.log.add_warnings(writer.warnings))
            writer = stack.enter_context(FeatureWriter(target, overwrite=overwrite))
            counts = write_rows(
                spool,
                writer,
                geobox,
                self.scene.gsd_xy,
                self.options.shaping,
                segmenter=self.segmenter,
                table=self.table,
            )
            journal.mark_published()  # before the end of this block, which moves the file to its final name
        return counts

    def _provenance(self) -> dict[str, Any]:
        options = {name: value for name, value in asdict(self.options).items() if name in _RECORDED}
        return {
            **self.scene.provenance(),
            "source_fingerprint": self.scene.recipe.source,
            "model": self.segmenter.spec.name,
            "model_fingerprint": self.segmenter.spec.fingerprint,
            "software": f"geosam {__version__}",
            "command": self.options.command,
            "options": options,
            "failed_tiles": list(self.log.failed_tiles),
        }


#: Options that shape the result. The others would make the bytes of equal results differ.
_RECORDED = ("tile_size", "overlap", "layout", "min_area_m2", "simplify_m", "fill_holes_m2", "keep", "automatic")
