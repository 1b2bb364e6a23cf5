"""The batch composer: a scene, a segmenter and perhaps prompts in, a vector file out; or a store filled for later."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geosam._version import __version__
from geosam.errors import PromptOutsideScene, SceneError, UsageError
from geosam.geometry.tiles import TileGrid
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.shaping import COLUMNS
from geosam.objects.stitcher import Stitcher
from geosam.objects.windows import WindowRule, group_prompts
from geosam.prompts.placement import in_region, to_scene
from geosam.run.batches import run_batches
from geosam.run.collectors import Prompted, Stitched
from geosam.run.jobs import PromptJob, TileJob, digest_prompts
from geosam.run.journal import Journal
from geosam.run.results import PromptTable, write_results
from geosam.run.spool import Spool
from geosam.run.summaries import RunSummary
from geosam.vector.checks import check_output
from geosam.vector.schema import Target
from geosam.vector.writer import FeatureWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.prompts.prompt import Prompt
    from geosam.run.batches import BatchJob
    from geosam.run.collectors import Collector, Watch
    from geosam.run.options import RunOptions
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import Segmenter
    from geosam.vector.schema import Column

    Progress = Callable[[int, int], None]

__all__ = ["RunSummary", "segment_prompts", "segment_scene"]


def segment_scene(
    scene: Scene,
    segmenter: Segmenter,
    out: Path,
    options: RunOptions,
    *,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> RunSummary:
    """Find all objects of a scene's region and write them to `out`, whose extension names the format.

    Args:
        scene: what is looked at.
        segmenter: proposes masks itself, or is prompted with a point grid.
        out: the output; appears complete or not at all.
        options: tile layout, filters, and what to do about an existing output or an unfinished run.
        store: where embeddings are looked up and kept; the output is the same with any or none.
        progress: called with (tiles done, tiles in all) from this thread.
        watch: called likewise with objects as they are finished, in no stated order and before filters and layout.

    Raises:
        GeosamError: of the class that says who can act; finished tiles are kept for the next run.
    """
    grid = TileGrid.over(scene.region, options.tile_size, options.overlap)
    keep = segmenter.spec.keep if options.keep is None else options.keep
    options = replace(options, keep=keep)  # as the provenance shall have it
    job = TileJob(TileEmbedder(scene, segmenter, store), grid, keep, options.automatic)
    asked = {**asdict(keep), **asdict(options.automatic)}
    identity = {"tile_size": options.tile_size, "overlap": options.overlap, **asked}
    batch = _Run(scene, segmenter, Path(out), options, progress, store)
    with Spool(scene.region) as spool, closing(Stitcher(grid)) as stitcher:
        return batch.make(job, range(len(grid)), Stitched(grid, stitcher, spool, watch), spool, identity)


def segment_prompts(
    scene: Scene,
    segmenter: Segmenter,
    prompts: Sequence[Prompt],
    out: Path,
    options: RunOptions,
    *,
    skip_outside: bool = False,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> RunSummary:
    """Find one object for each prompt and write them to `out`; the prompts' attributes travel along.

    Args:
        scene: what is looked at; prompts lie in its region.
        segmenter: is prompted.
        prompts: points, boxes and masks in map coordinates.
        out: the output; appears complete or not at all.
        options: as for :func:`segment_scene`.
        skip_outside: leave prompts outside the region out, with a warning, instead of failing.
        store: as for :func:`segment_scene`.
        progress: called with (windows done, windows in all) from this thread.
        watch: as for :func:`segment_scene`.

    Raises:
        GeosamError: of the class that says who can act; finished windows are kept for the next run.
    """
    placed, warnings = to_scene(prompts, scene.geobox, skip_outside=skip_outside)
    placed, outside = in_region(placed, scene.region)
    if outside:
        named = ", ".join(prompts[prompt.index].source for prompt in outside[:5])
        if not skip_outside:
            raise PromptOutsideScene(
                f"{len(outside)} prompts lie outside --window: {scene.path}: {named}. "
                "Enlarge the window, or pass --skip-outside."
            )
        warnings = [*warnings, f"{len(outside)} prompts outside --window left out: {named}"]
    rule = WindowRule(scene.region, options.tile_size, options.overlap)
    groups = group_prompts(placed, rule)
    job = PromptJob(TileEmbedder(scene, segmenter, store), rule, groups)
    identity = {"tile_size": options.tile_size, "overlap": options.overlap, "prompts": digest_prompts(placed, prompts)}
    table = PromptTable(prompts)
    batch = _Run(scene, segmenter, Path(out), options, progress, store, table, list(warnings))
    with Spool(scene.region) as spool:
        collector = Prompted(prompts, placed, spool, batch.warnings, watch)
        return batch.make(job, range(len(groups)), collector, spool, identity)


@dataclass
class _Run:
    """One run from the first check to the summary."""

    scene: Scene
    segmenter: Segmenter
    out: Path
    options: RunOptions
    progress: Progress | None
    store: EmbeddingStore | None
    table: PromptTable | None = None
    warnings: list[str] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)

    def make(
        self, job: BatchJob, tasks: range, collector: Collector, spool: Spool, identity: Mapping[str, Any]
    ) -> RunSummary:
        began = time.monotonic()
        if self.store is not None and self.store.holds(self.out):
            raise UsageError(f"the output lies in the embedding store: {self.out}. Choose another folder.")
        check_output(self.out, self.scene.geobox.crs, self._columns, overwrite=True, inputs=[Path(self.scene.path)])
        with Journal(self.out, self._identity(identity), restart=self.options.restart) as journal:
            overwrite = self.options.overwrite or journal.published
            check_output(self.out, self.scene.geobox.crs, self._columns, overwrite=overwrite)
            resumed = len(journal)
            self._compute(job, tasks, journal, collector)
            self.scene.verify_unchanged()
            collector.finish()
            spool.seal()
            count, too_small = self._write(spool, journal, overwrite=overwrite)
            journal.remove()
        return RunSummary(
            output=self.out,
            count=count,
            too_small=too_small,
            tiles=len(tasks),
            skipped_tiles=collector.skipped,
            resumed_tiles=resumed,
            failed_tiles=self._failed_tiles,
            warnings=tuple(dict.fromkeys([*self.scene.warnings, *self.warnings])),
            seconds=time.monotonic() - began,
        )

    @property
    def _columns(self) -> tuple[Column, ...]:
        return COLUMNS if self.table is None else (*COLUMNS, *self.table.columns)

    @property
    def _failed_tiles(self) -> tuple[str, ...]:
        """By tile, whichever failed first."""
        return tuple(self.failed[task] for task in sorted(self.failed))

    def _identity(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Everything the results of the tasks depend on."""
        region = self.scene.region
        return {
            "version": __version__,
            **self.scene.recipe.to_json(),
            "window": [region.col_off, region.row_off, region.width, region.height],
            "model": self.segmenter.spec.fingerprint,
            **more,
        }

    def _compute(self, job: BatchJob, tasks: range, journal: Journal, collector: Collector) -> None:
        done = 0
        for task, result in journal.results():
            collector.take(task, result)
            done += 1
        self._report(done, len(tasks))
        known = journal.numbers()
        left = [task for task in tasks if task not in known]
        with closing(run_batches(job, left, self.options.workers, self.warnings.extend)) as outcomes:
            for task, outcome in outcomes:
                if isinstance(outcome, SceneError):
                    if not self.options.allow_partial:
                        raise outcome
                    self.failed[task] = f"{job.name(task)}: {outcome}"
                    collector.take(task, b"")
                else:
                    journal.record(task, outcome)
                    collector.take(task, outcome)
                done += 1
                self._report(done, len(tasks))

    def _report(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total)

    def _write(self, spool: Spool, journal: Journal, *, overwrite: bool) -> tuple[int, int]:
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
            stack.callback(lambda: self.warnings.extend(writer.warnings))
            writer = stack.enter_context(FeatureWriter.open(target, overwrite=overwrite))
            counts = write_results(
                spool,
                writer,
                geobox,
                self.scene.gsd_xy,
                self.options.shaping,
                model=self.segmenter.spec.name,
                table=self.table,
            )
            journal.mark_published()
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
            "failed_tiles": list(self._failed_tiles),
        }


#: Options that shape the result; the others say how the run was made and would make equal results differ.
_RECORDED = ("tile_size", "overlap", "layout", "min_area_m2", "simplify_m", "fill_holes_m2", "keep", "automatic")
