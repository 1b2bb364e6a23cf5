"""How good a segmenter is on real scenes, measured as it is used; and a quick look at it for the training loop.

:func:`measure` asks :func:`~geosam.run.pipeline.segment_prompts` and :func:`~geosam.run.pipeline.segment_scene`
with the defaults of the command line, and compares the answers with the labelled objects pixel by pixel.
:func:`quick_iou` decodes windows of pictures in memory, by the same rules as the first window of a prompt, and asks
for no object that reaches beyond its window.
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
from geosam.objects.growth import View, refine
from geosam.objects.windows import WindowRule
from geosam.prompts.prompt import Prompt, ScenePrompt, Steps
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.segmenter import as_prompted
from geosam.training.data.clicks import Click
from geosam.training.data.targets import Target, burnt, outlines, targets_of_picture, targets_of_scene
from geosam.vector.polygons import PolygonLayer, read_polygons
from geosam.vector.reading import read_vector

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from geosam._arrays import BoolArray
    from geosam.scene import Scene
    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec, Prompted, Segmenter
    from geosam.training.samples import LabelledPicture

    Floats = NDArray[np.float64]

Mode: TypeAlias = Literal["click", "box", "three_clicks", "everything"]

#: How a segmenter is asked: one click, a box, three clicks, or for everything.
MODES: tuple[Mode, ...] = get_args(Mode)
#: Clicks of the third mode.
_CLICKS = 3
#: What a user who corrects an answer looks at: this far around the object, pixels.
_SURROUNDINGS_PX = 512
#: Objects asked for in one run, and bytes of embeddings that the next run finds in memory.
_TOGETHER, _REMEMBERED = 16, 1 << 30
#: How runs are made: by the defaults of the command line.
_AS_USERS = RunOptions()
#: Side of the windows of a quick look, and prompts decoded at once.
_WINDOW, _BATCH = 1024, 64


@dataclass(frozen=True, eq=False)
class Quality:
    """How a segmenter answered for N labelled objects."""

    ious: Mapping[Mode, Floats]
    """(N,) IoU of each object and its answer, 0 without one; for everything the best of all objects found."""
    left_out: int
    """Labelled objects that are too small, or not in the valid part of the scene."""
    prompts_s: float = 0.0
    """Seconds that all prompts took, with their embeddings."""
    everything_s: float = 0.0
    """Seconds that everything took, with its embeddings."""

    @property
    def objects(self) -> int:
        """The number of objects."""
        return len(next(iter(self.ious.values()), ()))

    def mean(self, mode: Mode) -> float:
        """Mean IoU over the objects; NaN without any."""
        return _mean(self.ious[mode])

    def recall(self, mode: Mode = "everything", iou: float = 0.5) -> float:
        """Share of the objects whose answer reaches an IoU; NaN without any."""
        return _mean(self.ious[mode] >= iou)


def pooled(parts: Sequence[Quality]) -> Quality:
    """The objects of several scenes, at least one, that were measured in the same modes."""
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
    options: RunOptions = _AS_USERS,
) -> Quality:
    """Ask for the labelled objects of a scene, and compare.

    The first click is at an object's innermost point, each next one at that of the largest part that the answer
    misses or has too much. Clicks are given in steps, so the third answer is what a user gets who clicks three times;
    a right answer gets no more clicks. What is found where nothing is labelled counts neither for nor against.

    Args:
        segmenter: is asked.
        scene_path: the raster, looked at in its native resolution.
        labels_path: polygons, one for each object, in any CRS.
        modes: how to ask.
        limit: so many objects at most, for a quick look; everything is looked for in the whole scene nevertheless.
        rng: chooses them; by default the same ones every time.
        options: of the runs, for models that want other tiles.

    Raises:
        GeosamError: the scene or the labels cannot be used.
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
            ious, prompts_s = _prompted(replace(runs, segmenter=_Remembering(as_prompted(segmenter))), targets, modes)
        if "everything" in modes:
            ious["everything"], everything_s = runs.everything(targets)
    return Quality({mode: ious[mode] for mode in MODES if mode in modes}, left_out, prompts_s, everything_s)


def _prompted(runs: _Runs, targets: Sequence[Target], modes: Collection[Mode]) -> tuple[dict[Mode, Floats], float]:
    """(N,) IoUs of the modes that prompt, and the seconds they took; neighbours are asked for together."""
    rule = WindowRule(runs.scene.region, runs.options.tile_size, runs.options.overlap)
    order = sorted(range(len(targets)), key=lambda i: rule.first_window(_box(targets[i].window)))
    ious: dict[Mode, Floats] = {mode: np.zeros(len(targets)) for mode in modes if mode != "everything"}
    seconds = 0.0
    for start in range(0, len(order), _TOGETHER):
        rows = order[start : start + _TOGETHER]
        some, more = _asked(runs, [targets[i] for i in rows], modes)
        for mode, found in some.items():
            ious[mode][rows] = found
        seconds += more
    return ious, seconds


def _asked(runs: _Runs, targets: Sequence[Target], modes: Collection[Mode]) -> tuple[dict[Mode, Floats], float]:
    """The same for targets that are asked for together."""
    ious: dict[Mode, Floats] = {}
    seconds = 0.0
    if "box" in modes:
        boxed, seconds = runs.prompted([runs.boxed(i, target) for i, target in enumerate(targets)])
        ious["box"] = _ious(targets, boxed)
    if {"click", "three_clicks"} & set(modes):
        clicks = [[target.first_click()] for target in targets]
        answers, more = runs.prompted([runs.clicked(i, given) for i, given in enumerate(clicks)])
        seconds += more
        if "click" in modes:
            ious["click"] = _ious(targets, answers)
        if "three_clicks" in modes:
            seconds += sum(_clicked_again(runs, targets, clicks, answers) for _ in range(1, _CLICKS))
            ious["three_clicks"] = _ious(targets, answers)
    return ious, seconds


def _clicked_again(
    runs: _Runs, targets: Sequence[Target], clicks: Sequence[list[Click]], answers: list[Any | None]
) -> float:
    """Add a click for every target whose answer is wrong, and renew these answers; the seconds it took."""
    due = []
    for i, (target, answer) in enumerate(zip(targets, answers, strict=True)):
        shown = _surroundings(target.window, runs.scene.region)
        click = target.next_click(burnt(answer, shown), shown)
        if click is not None:
            clicks[i].append(click)
            due.append(i)
    renewed, seconds = runs.prompted([runs.clicked(i, clicks[i]) for i in due])
    for i, answer in zip(due, renewed, strict=True):
        answers[i] = answer
    return seconds


@dataclass(frozen=True, eq=False)
class _Runs:
    """Runs over a scene."""

    scene: Scene
    segmenter: Segmenter
    folder: Path
    options: RunOptions

    def prompted(self, prompts: Sequence[Prompt]) -> tuple[list[Any | None], float]:
        """The polygon in scene pixels that each prompt gets, None where it gets none, and the seconds it took."""
        if not prompts:
            return [], 0.0
        out = self.folder / "prompted.gpkg"
        done = segment_prompts(self.scene, self.segmenter, prompts, out, replace(self.options, overwrite=True))
        table, _ = read_vector(out)
        polygons = shapely.transform(table.geometries, lambda xy: np.round(self.scene.geobox.to_pixel(xy)))
        by_id = dict(zip(table.columns["prompt_id"], polygons, strict=True))
        return [by_id.get(str(prompt.id)) for prompt in prompts], done.seconds

    def everything(self, targets: Sequence[Target]) -> tuple[Floats, float]:
        """(N,) the best IoU that anything found has with each target, and the seconds it took."""
        out, geobox = self.folder / "everything.gpkg", self.scene.geobox
        done = segment_scene(self.scene, self.segmenter, out, self.options)
        scores = evaluate(read_polygons(out), PolygonLayer.of(place(outlines(targets), geobox), geobox.crs)).objects
        return np.array([score.best_iou for score in scores], np.float64), done.seconds

    def clicked(self, number: int, clicks: Sequence[Click]) -> Prompt:
        """Clicks that were given one after the other."""
        points = self.scene.geobox.to_map([click[:2] for click in clicks])
        labels = np.array([click.label for click in clicks], np.int8)
        steps = Steps(np.arange(len(clicks))) if len(clicks) > 1 else None
        return Prompt(number, self.scene.geobox.crs, points, labels, steps=steps)

    def boxed(self, number: int, target: Target) -> Prompt:
        """The box of a target."""
        geobox = self.scene.geobox
        (outline,) = place(np.array([shapely.box(*_box(target.window))]), geobox)
        return Prompt(number, geobox.crs, box_xyxy=outline.bounds, outline=outline)


@dataclass(frozen=True, eq=False)
class _Remembering:
    """A segmenter that knows the pictures it has seen last: a run finds the embeddings of the one before."""

    inner: Prompted
    seen: OrderedDict[bytes, Embedding] = field(default_factory=OrderedDict)

    @property
    def spec(self) -> ModelSpec:
        return self.inner.spec

    def embed(self, rgb: NDArray[np.uint8], valid: BoolArray) -> list[Embedding]:
        return [self._embed(*picture) for picture in zip(rgb, valid, strict=True)]

    def _embed(self, rgb: NDArray[np.uint8], valid: BoolArray) -> Embedding:
        key = blake2b(rgb.tobytes() + valid.tobytes()).digest()
        if key not in self.seen:
            (self.seen[key],) = self.inner.embed(rgb[None], valid[None])
        self.seen.move_to_end(key)
        while len(self.seen) > 1 and sum(map(_size, self.seen.values())) > _REMEMBERED:
            self.seen.popitem(last=False)
        return self.seen[key]

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        return self.inner.decode(embedding, prompts, multimask=multimask, keep=keep)


def _size(embedding: Embedding) -> int:
    return sum(array.nbytes for array in embedding.arrays.values())


def _box(window: Window) -> tuple[float, float, float, float]:
    return float(window.col_off), float(window.row_off), float(window.col_end), float(window.row_end)


def _surroundings(window: Window, region: Window) -> Window:
    """What a user sees who looks at an object."""
    width, height = window.width + 2 * _SURROUNDINGS_PX, window.height + 2 * _SURROUNDINGS_PX
    shown = Window(window.col_off - _SURROUNDINGS_PX, window.row_off - _SURROUNDINGS_PX, width, height)
    return shown.intersection(region) or region


def _ious(targets: Sequence[Target], answers: Sequence[Any | None]) -> Floats:
    """(N,) IoU of targets and polygons along pixel edges, scene pixels; 0 for None."""
    pairs = zip(targets, answers, strict=True)
    return np.array([a.iou(burnt(b, a.window), 0 if b is None else b.area) for a, b in pairs], np.float64)


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else math.nan


class QuickIou(NamedTuple):
    """Mean IoUs of a quick look."""

    click: float
    """With one click at each object's innermost point; NaN without any object."""
    box: float
    """With each object's box; NaN without any object."""
    objects: int
    """How many were asked for."""


def quick_iou(segmenter: Prompted, pictures: Sequence[LabelledPicture], *, windows: int = 1) -> QuickIou:
    """A quick look at pictures in memory: no files, no growth, and of each picture the windows with most objects.

    Args:
        segmenter: is asked.
        pictures: of any size; windows have 1024 px, or the picture's size where that is smaller.
        windows: how many of each picture at most.
    """
    clicks, boxes = [np.zeros(0)], [np.zeros(0)]
    for picture in pictures:
        for window, inside in sorted(_homes(picture).items(), key=lambda item: len(item[1]), reverse=True)[:windows]:
            view = _looked_at(segmenter, picture, window)
            for start in range(0, len(inside), _BATCH):
                batch = inside[start : start + _BATCH]
                clicks.append(_decoded(view, batch, [_placed(target.first_click()) for target in batch]))
                boxes.append(_decoded(view, batch, [_placed(target.window) for target in batch]))
    by_click, by_box = np.concatenate(clicks), np.concatenate(boxes)
    return QuickIou(_mean(by_click), _mean(by_box), len(by_click))


def _homes(picture: LabelledPicture) -> dict[Window, list[Target]]:
    """The objects of a picture by the first window that holds all of them."""
    height, width = picture.instances.shape
    grid = TileGrid.over(Window(0, 0, width, height), _WINDOW, MIN_OVERLAP)
    homes: dict[Window, list[Target]] = {}
    for target in targets_of_picture(picture):
        window = next((window for window in grid if window.contains(target.window)), None)
        if window is not None:
            homes.setdefault(window, []).append(target)
    return homes


def _looked_at(segmenter: Prompted, picture: LabelledPicture, window: Window) -> View:
    """A window of a picture as a segmenter sees it, padded to the size that it wants."""
    rgb, valid = picture.rgb[:, *window.slices_rc], picture.valid[window.slices_rc]
    size = segmenter.spec.input_size
    if size is not None:
        room = ((0, size - window.height), (0, size - window.width))
        rgb, valid = np.pad(rgb, ((0, 0), *room)), np.pad(valid, room)
    (embedding,) = segmenter.embed(rgb[None], valid[None])
    return View(segmenter, embedding, window)


def _placed(given: Click | Window) -> ScenePrompt:
    """A click or a box as a prompt in pixels of the picture."""
    if isinstance(given, Click):
        point, label = np.array([given[:2]]), np.array([given.label], np.int8)
        return ScenePrompt(0, point, label, None, None, "auto", (given.x, given.y, given.x, given.y))
    return ScenePrompt(0, np.empty((0, 2)), np.empty(0, np.int8), _box(given), None, "auto", _box(given))


def _decoded(view: View, targets: Sequence[Target], prompts: Sequence[ScenePrompt]) -> Floats:
    """(N,) IoU of targets in a window and the answers to their prompts."""
    ious = np.zeros(len(targets))
    for i, (target, answer) in enumerate(zip(targets, refine(view, prompts, [None] * len(targets)), strict=True)):
        if answer is not None:
            mask = view.mask(answer, 0)
            ious[i] = target.iou(mask[target.window.relative_to(view.window).slices_rc], float(mask.sum()))
    return ious
