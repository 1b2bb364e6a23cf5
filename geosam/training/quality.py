"""Quality of a segmenter: IoU of its answers with the labelled objects of real scenes.

:func:`measure` runs :func:`~geosam.run.pipeline.segment_prompts` and :func:`~geosam.run.pipeline.segment_scene` with
the default options, as a user would, and compares the answers with the labelled objects pixel by pixel.
:func:`quick_iou` decodes single windows of pictures in memory, for a quick figure.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import shapely

from geosam.evaluation.compare import evaluate
from geosam.geometry.geobox import Window
from geosam.geometry.polygons import place
from geosam.geometry.tiles import MIN_OVERLAP, TileGrid
from geosam.objects.steps import WindowView, refine
from geosam.objects.windows import WindowRule
from geosam.prompts.prompt import Prompt, Steps
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.segmenter import as_prompted
from geosam.training.data.target_objects import (
    TargetObject,
    outlines,
    polygon_mask,
    targets_of_picture,
    targets_of_scene,
)
from geosam.vector.polygons import PolygonLayer, read_polygons
from geosam.vector.reading import read_vector

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats
    from geosam.prompts.prompt import ScenePrompt
    from geosam.scene import Scene
    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec, Prompted, Segmenter
    from geosam.training.data.clicks import Click
    from geosam.training.samples import LabelledPicture

Mode: TypeAlias = Literal["click", "box", "three_clicks", "everything"]

#: Kinds of prompts: one click, a box, three clicks, or none (everything).
MODES: tuple[Mode, ...] = get_args(Mode)
#: Clicks of the third mode.
_CLICKS = 3
#: Pixels around an object in which a simulated user sees errors of the answer.
_SURROUNDINGS_PX = 512
#: Objects of a run, and bytes of embeddings that are kept for the next run.
_OBJECTS, _EMBEDDING_BYTES = 16, 1 << 30
_DEFAULT_OPTIONS = RunOptions()
#: Side in pixels of the windows of :func:`quick_iou`, and prompts that are decoded at a time.
_WINDOW, _BATCH = 1024, 64


@dataclass(frozen=True, eq=False)
class Quality:
    """IoU of the answers of a segmenter with N labelled objects."""

    ious: Mapping[Mode, Floats]
    """(N,) IoU of each object and its answer by mode, 0 without an answer; for everything the best of all answers."""
    left_out: int
    """Number of labelled objects that are too small, or not in the valid part of the scene."""
    prompts_s: float = 0.0
    """Seconds of all runs with prompts, embeddings included."""
    everything_s: float = 0.0
    """Seconds of the run without prompts, embeddings included."""

    @property
    def objects(self) -> int:
        """Number of objects."""
        return len(next(iter(self.ious.values()), ()))

    def mean(self, mode: Mode) -> float:
        """Compute the mean IoU over the objects; NaN without objects."""
        return _mean(self.ious[mode])

    def recall(self, mode: Mode = "everything", iou: float = 0.5) -> float:
        """Compute the share of the objects whose answer reaches an IoU; NaN without objects."""
        return _mean(self.ious[mode] >= iou)


def pooled(parts: Sequence[Quality]) -> Quality:
    """Pool the objects of at least one scene, all measured in the same modes."""
    return Quality(
        {mode: np.concatenate([part.ious[mode] for part in parts]) for mode in parts[0].ious},
        sum(part.left_out for part in parts),
        sum(part.prompts_s for part in parts),
        sum(part.everything_s for part in parts),
    )


def measure(
    segmenter: Segmenter,
    scene_path: str | Path,
    labels_path: str | Path,
    *,
    modes: Collection[Mode] = MODES,
    limit: int | None = None,
    rng: np.random.Generator | None = None,
    options: RunOptions = _DEFAULT_OPTIONS,
) -> Quality:
    """Prompt a segmenter for the labelled objects of a scene, and compare its answers with the labels.

    The first click is at the innermost point of an object, each next click at the innermost point of the largest part
    that the answer misses or has too much. Clicks are given in steps, as by a user who sees each answer; a right answer
    gets no further click. Answers where nothing is labelled do not count.

    Args:
        segmenter: Segmenter to measure.
        scene_path: File of the scene, used in its native resolution.
        labels_path: Vector file with one polygon for each object, in any CRS.
        modes: Kinds of prompts.
        limit: Largest number of objects; the run without prompts still covers the whole scene.
        rng: Draws the objects if there are more; the same ones every time by default.
        options: Options of the runs, for models that need other tiles.

    Raises:
        GeosamError: The scene or the labels cannot be used.
    """
    with closing(open_scene(scene_path)) as scene, TemporaryDirectory(prefix="geosam-quality-") as folder:
        targets, left_out = targets_of_scene(scene, read_polygons(labels_path))
        if limit is not None:
            chosen = (rng or np.random.default_rng(0)).permutation(len(targets))[:limit]
            targets = [targets[i] for i in np.sort(chosen)]
        runs = _Runs(scene, segmenter, Path(folder), options)
        ious: dict[Mode, Floats] = {}
        prompts_s = everything_s = 0.0
        if set(modes) - {"everything"}:
            cached = replace(runs, segmenter=_CachedSegmenter(as_prompted(segmenter)))
            ious, prompts_s = _prompted(cached, targets, modes)
        if "everything" in modes:
            ious["everything"], everything_s = runs.everything(targets)
    return Quality({mode: ious[mode] for mode in MODES if mode in modes}, left_out, prompts_s, everything_s)


def _prompted(
    runs: _Runs, targets: Sequence[TargetObject], modes: Collection[Mode]
) -> tuple[dict[Mode, Floats], float]:
    """Compute the IoUs (N,) of the modes with prompts, and the seconds of their runs."""
    rule = WindowRule(runs.scene.region, runs.options.tile_size, runs.options.overlap)
    # Neighbours share runs, because they share windows and embeddings.
    order = sorted(range(len(targets)), key=lambda i: rule.first_window(targets[i].bounds_xyxy))
    ious: dict[Mode, Floats] = {mode: np.zeros(len(targets)) for mode in modes if mode != "everything"}
    seconds = 0.0
    for start in range(0, len(order), _OBJECTS):
        rows = order[start : start + _OBJECTS]
        group, group_seconds = _group_ious(runs, [targets[i] for i in rows], modes)
        for mode, values in group.items():
            ious[mode][rows] = values
        seconds += group_seconds
    return ious, seconds


def _group_ious(
    runs: _Runs, targets: Sequence[TargetObject], modes: Collection[Mode]
) -> tuple[dict[Mode, Floats], float]:
    """Compute the IoUs of targets that share runs, and the seconds of the runs."""
    ious: dict[Mode, Floats] = {}
    seconds = 0.0
    if "box" in modes:
        boxed, seconds = runs.prompted([runs.boxed(i, target) for i, target in enumerate(targets)])
        ious["box"] = _ious(targets, boxed)
    if {"click", "three_clicks"} & set(modes):
        clicks = [[target.first_click()] for target in targets]
        answers, click_seconds = runs.prompted([runs.clicked(i, steps) for i, steps in enumerate(clicks)])
        seconds += click_seconds
        if "click" in modes:
            ious["click"] = _ious(targets, answers)
        if "three_clicks" in modes:
            seconds += sum(_correct(runs, targets, clicks, answers) for _ in range(1, _CLICKS))
            ious["three_clicks"] = _ious(targets, answers)
    return ious, seconds


def _correct(
    runs: _Runs, targets: Sequence[TargetObject], clicks: Sequence[list[Click]], answers: list[Any | None]
) -> float:
    """Add a click for every target whose answer is wrong, and replace the answer, both in place; return the seconds."""
    rows = []
    for i, (target, answer) in enumerate(zip(targets, answers, strict=True)):
        window = _surroundings(target.window, runs.scene.region)
        click = target.next_click(polygon_mask(answer, window), window)
        if click is not None:
            clicks[i].append(click)
            rows.append(i)
    renewed, seconds = runs.prompted([runs.clicked(i, clicks[i]) for i in rows])
    for i, answer in zip(rows, renewed, strict=True):
        answers[i] = answer
    return seconds


@dataclass(frozen=True, eq=False)
class _Runs:
    """Runs of a segmenter over a scene, with their outputs in a folder."""

    scene: Scene
    segmenter: Segmenter
    folder: Path
    options: RunOptions

    def prompted(self, prompts: Sequence[Prompt]) -> tuple[list[Any | None], float]:
        """Segment prompts: the polygon of each in scene pixels, None without an answer, and the seconds of the run."""
        if not prompts:
            return [], 0.0
        out = self.folder / "prompted.gpkg"
        summary = segment_prompts(self.scene, self.segmenter, prompts, out, replace(self.options, overwrite=True))
        table, _ = read_vector(out)
        # Vertices lie on pixel corners; rounding undoes the way through map coordinates.
        polygons = shapely.transform(table.geometries, lambda xy: np.round(self.scene.geobox.to_pixel(xy)))
        by_id = dict(zip(table.columns["prompt_id"], polygons, strict=True))
        return [by_id.get(str(prompt.id)) for prompt in prompts], summary.seconds

    def everything(self, targets: Sequence[TargetObject]) -> tuple[Floats, float]:
        """Segment the whole scene: the best IoU (N,) of any answer with each target, and the seconds of the run."""
        out, geobox = self.folder / "everything.gpkg", self.scene.geobox
        summary = segment_scene(self.scene, self.segmenter, out, self.options)
        scores = evaluate(read_polygons(out), PolygonLayer.of(place(outlines(targets), geobox), geobox.crs)).objects
        return np.array([score.best_iou for score in scores], np.float64), summary.seconds

    def clicked(self, number: int, clicks: Sequence[Click]) -> Prompt:
        """Make a prompt of clicks, one in each step."""
        points = self.scene.geobox.to_map([click[:2] for click in clicks])
        labels = np.array([click.label for click in clicks], np.int8)
        steps = Steps(np.arange(len(clicks))) if len(clicks) > 1 else None
        return Prompt(number, self.scene.geobox.crs, points, labels, steps=steps)

    def boxed(self, number: int, target: TargetObject) -> Prompt:
        """Make a prompt of the box of a target."""
        geobox = self.scene.geobox
        (outline,) = place(np.array([shapely.box(*target.bounds_xyxy)]), geobox)
        return Prompt(number, geobox.crs, box_xyxy=outline.bounds, outline=outline)


@dataclass(frozen=True, eq=False)
class _CachedSegmenter:
    """A segmenter that keeps its last embeddings in memory, for the runs that follow."""

    inner: Prompted
    cached: OrderedDict[bytes, Embedding] = field(default_factory=OrderedDict)

    @property
    def spec(self) -> ModelSpec:
        return self.inner.spec

    def embed(self, rgb: NDArray[np.uint8], valid: BoolArray) -> list[Embedding]:
        return [self._embed(*picture) for picture in zip(rgb, valid, strict=True)]

    def _embed(self, rgb: NDArray[np.uint8], valid: BoolArray) -> Embedding:
        key = blake2b(rgb.tobytes() + valid.tobytes()).digest()
        if key not in self.cached:
            (self.cached[key],) = self.inner.embed(rgb[None], valid[None])
        self.cached.move_to_end(key)
        while len(self.cached) > 1 and sum(map(_size, self.cached.values())) > _EMBEDDING_BYTES:
            self.cached.popitem(last=False)
        return self.cached[key]

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        return self.inner.decode(embedding, prompts, multimask=multimask, keep=keep)


def _size(embedding: Embedding) -> int:
    """Size of an embedding in bytes."""
    return sum(array.nbytes for array in embedding.arrays.values())


def _surroundings(window: Window, region: Window) -> Window:
    """Widen the window of an object by the surroundings that a user sees, within the region."""
    width, height = window.width + 2 * _SURROUNDINGS_PX, window.height + 2 * _SURROUNDINGS_PX
    wide = Window(window.col_off - _SURROUNDINGS_PX, window.row_off - _SURROUNDINGS_PX, width, height)
    return wide.intersection(region) or region


def _ious(targets: Sequence[TargetObject], answers: Sequence[Any | None]) -> Floats:
    """Compute the IoU (N,) of targets and polygons along pixel edges in scene pixels; 0 for None."""
    pairs = zip(targets, answers, strict=True)
    return np.array([a.iou(polygon_mask(b, a.window), 0 if b is None else b.area) for a, b in pairs], np.float64)


def _mean(values: NDArray[Any]) -> float:
    """Compute the mean; NaN without values."""
    return float(values.mean()) if len(values) else math.nan


class QuickIou(NamedTuple):
    """Mean IoUs over the objects of some windows."""

    click: float
    """Mean IoU with one click at the innermost point of each object; NaN without objects."""
    box: float
    """Mean IoU with the tight box of each object; NaN without objects."""
    objects: int
    """Number of objects."""


def quick_iou(segmenter: Prompted, pictures: Sequence[LabelledPicture], *, windows: int = 1) -> QuickIou:
    """Decode some windows of pictures in memory: no files, no growth, and no object that reaches over its window.

    Args:
        segmenter: Segmenter to measure.
        pictures: Pictures of any size; a window has 1024 px, or the size of a smaller picture.
        windows: Largest number of windows of a picture; those with most objects are used.
    """
    clicks, boxes = [np.zeros(0)], [np.zeros(0)]
    for picture in pictures:
        by_window = sorted(_objects_by_window(picture).items(), key=lambda item: len(item[1]), reverse=True)
        for window, targets in by_window[:windows]:
            view = _embedded(segmenter, picture, window)
            for start in range(0, len(targets), _BATCH):
                batch = targets[start : start + _BATCH]
                clicks.append(_decoded(view, batch, [target.click_prompt(0) for target in batch]))
                boxes.append(_decoded(view, batch, [target.box_prompt(0) for target in batch]))
    by_click, by_box = np.concatenate(clicks), np.concatenate(boxes)
    return QuickIou(_mean(by_click), _mean(by_box), len(by_click))


def _objects_by_window(picture: LabelledPicture) -> dict[Window, list[TargetObject]]:
    """Group the objects of a picture by the first window that holds each of them whole."""
    height, width = picture.instances.shape
    grid = TileGrid.over(Window(0, 0, width, height), _WINDOW, MIN_OVERLAP)
    groups: dict[Window, list[TargetObject]] = {}
    for target in targets_of_picture(picture):
        window = next((window for window in grid if window.contains(target.window)), None)
        if window is not None:
            groups.setdefault(window, []).append(target)
    return groups


def _embedded(segmenter: Prompted, picture: LabelledPicture, window: Window) -> WindowView:
    """Embed a window of a picture, padded to the segmenter's input size."""
    rgb, valid = picture.rgb[:, *window.slices_rc], picture.valid[window.slices_rc]
    size = segmenter.spec.input_size
    if size is not None:
        room = ((0, size - window.height), (0, size - window.width))
        rgb, valid = np.pad(rgb, ((0, 0), *room)), np.pad(valid, room)
    (embedding,) = segmenter.embed(rgb[None], valid[None])
    return WindowView(segmenter, embedding, window)


def _decoded(view: WindowView, targets: Sequence[TargetObject], prompts: Sequence[ScenePrompt]) -> Floats:
    """Compute the IoU (N,) of targets in a window and the answers to their prompts."""
    ious = np.zeros(len(targets))
    for i, (target, answer) in enumerate(zip(targets, refine(view, prompts, [None] * len(targets)), strict=True)):
        if answer is not None:
            mask = view.mask(answer, 0)
            ious[i] = target.iou(mask[target.window.relative_to(view.window).slices_rc], float(mask.sum()))
    return ious
