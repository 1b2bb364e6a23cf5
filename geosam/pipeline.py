"""The batch composer: a scene, a segmenter and perhaps prompts in, a vector file out."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import geosam
from geosam.errors import PromptOutsideScene, SceneError
from geosam.executor import run
from geosam.export import FeatureWriter, Target, check_output
from geosam.grid import TileGrid
from geosam.grow import WindowRule
from geosam.jobs import PromptJob, TileJob, unpack_objects
from geosam.journal import Journal
from geosam.masks import MaskSet
from geosam.placement import to_scene
from geosam.results import COLUMNS, PromptTable, Shaping, write_results
from geosam.segmenter import KeepRule
from geosam.spool import Spool
from geosam.stitch import Stitcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from geosam.executor import Job
    from geosam.export import Column
    from geosam.geobox import Window
    from geosam.prompts import Prompt, ScenePrompt
    from geosam.scene import Scene
    from geosam.segmenter import Segmenter

    Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RunOptions:
    """How a run is made; the defaults are those of the command line."""

    tile_size: int = 1024
    """Side of a tile in pixels."""
    overlap: int = 256
    """What neighbouring tiles share, in pixels."""
    workers: int = 1
    """Processes that compute tiles."""
    layout: Literal["overlapping", "planar"] = "overlapping"
    """Objects as found, or without overlaps and with shared borders."""
    min_area_m2: float = 0.0
    """Smaller objects are left out, square metres on the ground."""
    simplify_m: float = 0.0
    """Tolerance of the simplification, metres on the ground."""
    fill_holes_m2: float = 0.0
    """Holes up to this size are filled, square metres on the ground."""
    overwrite: bool = False
    """Replace an existing output."""
    restart: bool = False
    """Drop what an interrupted run has done."""
    allow_partial: bool = False
    """Leave out tiles that cannot be read instead of failing."""
    command: str = ""
    """The command line, for the provenance."""
    keep: KeepRule = field(default_factory=KeepRule)
    """Which masks are worth keeping."""

    @property
    def shaping(self) -> Shaping:
        """The part that concerns finished objects."""
        return Shaping(self.layout, self.min_area_m2, self.simplify_m, self.fill_holes_m2)


@dataclass(frozen=True)
class RunSummary:
    """What a run did."""

    output: Path
    """The file that was written."""
    count: int
    """Objects in it."""
    too_small: int
    """Objects left out by `min_area_m2`."""
    tiles: int
    """Tiles, or windows with prompts."""
    skipped_tiles: int
    """Of these, the ones without a valid pixel."""
    resumed_tiles: int
    """Of these, the ones an interrupted run had done."""
    failed_tiles: tuple[str, ...]
    """What went wrong with each tile that was left out."""
    warnings: tuple[str, ...]
    """What the user should know."""
    seconds: float
    """Wall time."""

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON-able values."""
        return asdict(self) | {
            "output": str(self.output),
            "failed_tiles": list(self.failed_tiles),
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
        }


class Collector(Protocol):
    """Takes the results of tasks and keeps finished objects in the spool."""

    skipped: int
    """Tasks without a valid pixel."""

    def take(self, task: int, result: bytes) -> None:
        """Use the result of a task; an empty one means there was nothing to see."""

    def finish(self) -> None:
        """All results have been taken."""


def segment_scene(
    scene: Scene, segmenter: Segmenter, out: Path, options: RunOptions, *, progress: Progress | None = None
) -> RunSummary:
    """Find all objects of a scene's region and write them to `out`, whose extension names the format.

    Args:
        scene: what is looked at.
        segmenter: proposes masks itself, or is prompted with a point grid.
        out: the output; appears complete or not at all.
        options: tile layout, filters, and what to do about an existing output or an unfinished run.
        progress: called with (tiles done, tiles in all) from this thread.

    Raises:
        GeosamError: of the class that says who can act; finished tiles are kept for the next run.
    """
    grid = TileGrid.over(scene.region, options.tile_size, options.overlap)
    job = TileJob(scene, segmenter, grid, options.keep)
    identity = {"tile_size": options.tile_size, "overlap": options.overlap, "keep": asdict(options.keep)}
    batch = _Run(scene, segmenter, Path(out), options, progress)
    with Spool(scene.region) as spool, closing(Stitcher(grid)) as stitcher:
        return batch.make(job, range(len(grid)), _Stitched(grid, stitcher, spool), spool, identity)


def segment_prompts(
    scene: Scene,
    segmenter: Segmenter,
    prompts: Sequence[Prompt],
    out: Path,
    options: RunOptions,
    *,
    skip_outside: bool = False,
    progress: Progress | None = None,
) -> RunSummary:
    """Find one object for each prompt and write them to `out`; the prompts' attributes travel along.

    Args:
        scene: what is looked at; prompts lie in its region.
        segmenter: is prompted.
        prompts: points, boxes and masks in map coordinates.
        out: the output; appears complete or not at all.
        options: as for :func:`segment_scene`.
        skip_outside: leave prompts outside the region out, with a warning, instead of failing.
        progress: called with (windows done, windows in all) from this thread.

    Raises:
        GeosamError: of the class that says who can act; finished windows are kept for the next run.
    """
    placed, warnings = to_scene(prompts, scene.geobox, skip_outside=skip_outside)
    placed, outside = _in_region(placed, scene.region)
    if outside:
        named = ", ".join(prompts[prompt.index].source for prompt in outside[:5])
        if not skip_outside:
            raise PromptOutsideScene(
                f"{len(outside)} prompts lie outside --window: {scene.path}: {named}. "
                "Enlarge the window, or pass --skip-outside."
            )
        warnings = [*warnings, f"{len(outside)} prompts outside --window left out: {named}"]
    rule = WindowRule(scene.region, options.tile_size, options.overlap)
    groups = _groups(placed, rule)
    job = PromptJob(scene, segmenter, rule, groups)
    identity = {"tile_size": options.tile_size, "overlap": options.overlap, "prompts": _digest(placed, prompts)}
    table = PromptTable(prompts)
    batch = _Run(scene, segmenter, Path(out), options, progress, table, list(warnings))
    with Spool(scene.region) as spool:
        return batch.make(job, range(len(groups)), _Prompted(prompts, placed, spool, batch.warnings), spool, identity)


@dataclass
class _Run:
    """One run from the first check to the summary."""

    scene: Scene
    segmenter: Segmenter
    out: Path
    options: RunOptions
    progress: Progress | None
    table: PromptTable | None = None
    warnings: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def make(
        self, job: Job, tasks: range, collector: Collector, spool: Spool, identity: Mapping[str, Any]
    ) -> RunSummary:
        began = time.monotonic()
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
            failed_tiles=tuple(self.failed),
            warnings=tuple(dict.fromkeys([*self.scene.warnings, *self.warnings])),
            seconds=time.monotonic() - began,
        )

    @property
    def _columns(self) -> tuple[Column, ...]:
        return COLUMNS if self.table is None else (*COLUMNS, *self.table.columns)

    def _identity(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Everything the results of the tasks depend on."""
        region = self.scene.region
        return {
            "version": geosam.__version__,
            "scene content": self.scene.fingerprint,
            "scene": {**self.scene.provenance(), "scene": None},
            "grid": [self.scene.geobox.width, self.scene.geobox.height, *self.scene.geobox.transform[:6]],
            "crs": self.scene.geobox.crs.to_wkt(),
            "window": [region.col_off, region.row_off, region.width, region.height],
            "model": self.segmenter.spec.fingerprint,
            **more,
        }

    def _compute(self, job: Job, tasks: range, journal: Journal, collector: Collector) -> None:
        done = 0
        for task, result in journal.results():
            collector.take(task, result)
            done += 1
        self._report(done, len(tasks))
        known = journal.numbers()
        left = [task for task in tasks if task not in known]
        with closing(run(job, left, self.options.workers)) as outcomes:
            for task, outcome in outcomes:
                if isinstance(outcome, SceneError):
                    if not self.options.allow_partial:
                        raise outcome
                    self.failed.append(f"{job.name(task)}: {outcome}")
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
            "source_fingerprint": self.scene.fingerprint,
            "model": self.segmenter.spec.name,
            "model_fingerprint": self.segmenter.spec.fingerprint,
            "software": f"geosam {geosam.__version__}",
            "command": self.options.command,
            "options": options,
            "failed_tiles": self.failed,
        }


#: Options that shape the result; the others say how the run was made and would make equal results differ.
_RECORDED = ("tile_size", "overlap", "layout", "min_area_m2", "simplify_m", "fill_holes_m2", "keep")


@dataclass
class _Stitched:
    """Collects the masks of tiles."""

    grid: TileGrid
    stitcher: Stitcher
    spool: Spool
    skipped: int = 0

    def take(self, task: int, result: bytes) -> None:
        if not result:
            self.skipped += 1
        masks = MaskSet.from_bytes(result) if result else MaskSet.empty(self.grid.window(task).shape_hw)
        self.spool.add(self.stitcher.feed(task, masks))

    def finish(self) -> None:
        self.stitcher.finish()


@dataclass
class _Prompted:
    """Collects the objects of prompts."""

    prompts: Sequence[Prompt]
    placed: Sequence[ScenePrompt]
    spool: Spool
    warnings: list[str]
    skipped: int = 0
    found: set[int] = field(default_factory=set)

    def take(self, task: int, result: bytes) -> None:
        del task
        for item in unpack_objects(result):
            self.found.add(item.prompt_index)
            self.spool.add([item], tie=str(self.prompts[item.prompt_index].id))

    def finish(self) -> None:
        empty = [self.prompts[prompt.index].source for prompt in self.placed if prompt.index not in self.found]
        if empty:
            named = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
            self.warnings.append(f"{len(empty)} prompts found no object (nodata, or nothing the model knows): {named}")


def _in_region(placed: Sequence[ScenePrompt], region: Window) -> tuple[list[ScenePrompt], list[ScenePrompt]]:
    """Prompts that reach into the region, and the others."""
    inside: list[ScenePrompt] = []
    outside: list[ScenePrompt] = []
    for prompt in placed:
        x0, y0, x1, y1 = prompt.bounds_xyxy
        meets = x0 < region.col_end and x1 >= region.col_off and y0 < region.row_end and y1 >= region.row_off
        (inside if meets else outside).append(prompt)
    return inside, outside


def _groups(placed: Sequence[ScenePrompt], rule: WindowRule) -> tuple[tuple[Window, tuple[ScenePrompt, ...]], ...]:
    """Prompts by their first window, windows row by row."""
    groups: dict[Window, list[ScenePrompt]] = defaultdict(list)
    for prompt in placed:
        groups[rule.first_window(prompt.bounds_xyxy)].append(prompt)
    ordered = sorted(groups.items(), key=lambda item: (item[0].row_off, item[0].col_off))
    return tuple((window, tuple(found)) for window, found in ordered)


def _digest(placed: Sequence[ScenePrompt], prompts: Sequence[Prompt]) -> str:
    """Identity of the prompts, in their order."""
    digest = hashlib.sha256()
    for prompt in placed:
        digest.update(prompt.points_xy.tobytes() + prompt.labels.tobytes())
        polygon = None if prompt.polygon is None else prompt.polygon.wkb_hex
        digest.update(repr((prompts[prompt.index].id, prompt.box_xyxy, polygon, prompt.granularity)).encode())
    return digest.hexdigest()
