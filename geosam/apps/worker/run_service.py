"""The service for long requests, which do not stop clicks: runs over a whole raster, and evaluations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geosam import api
from geosam.apps.worker.object_messages import bundles, object_messages
from geosam.errors import PartialResult
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.everything import AutomaticRule
from geosam.objects.observer import Observer
from geosam.objects.shaping import Shaping, features
from geosam.prompts.layer import read_prompts
from geosam.prompts.parts import known_crs
from geosam.prompts.prompt import with_granularity
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.vector.checks import check_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam.apps.worker.protocol import Message
    from geosam.apps.worker.tasks import Task
    from geosam.objects.scene_object import SceneObject
    from geosam.prompts.prompt import Granularity, Prompt
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import ModelSpec, Segmenter

_EMPTY: Mapping[str, Any] = {}


class RunService:
    """The service of the lanes for long requests. It keeps nothing between requests."""

    @property
    def methods(self) -> Mapping[str, Callable[..., Message]]:
        """Functions by the name of the method."""
        return {"run": run, "evaluate": compare}

    def counts(self) -> Mapping[str, int]:
        """Return no counts: there is no shared state."""
        return _EMPTY


def run(
    task: Task,
    *,
    path: str,
    model: Mapping[str, Any],
    out: str,
    options: Mapping[str, Any] = _EMPTY,
    prompts: str | None = None,
    prompting: Mapping[str, Any] = _EMPTY,
    window: tuple[float, float, float, float] | None = None,
    running: Mapping[str, Any] = _EMPTY,
    cache: str | None = None,
    send_objects: bool = False,
) -> Message:
    """Segment a raster, or a part of it, into a file.

    A cancelled run stops between two tiles. The same request continues there.
    """
    store = None if cache is None else EmbeddingStore(Path(cache))
    with closing(open_scene(path, **{**options, **({} if window is None else {"window": window})})) as scene:
        layer, warnings = _prompts(prompts, out, **prompting)
        task.check()
        segmenter = load_segmenter(**model)  # one of its own: the model for clicks belongs to another thread
        task.check()
        settings = _options(segmenter.spec, command=_recorded(task), **running)
        sender = _Sender(task, scene, settings.shaping, segmenter) if send_objects else None
        handed: dict[str, Any] = {"store": store, "observer": sender or _Reporter(task)}
        if layer is None:
            summary = segment_scene(scene, segmenter, Path(out), settings, **handed)
        else:
            handed["skip_outside"] = prompting.get("skip_outside", False)
            summary = segment_prompts(scene, segmenter, layer, Path(out), settings, **handed)
    facts = summary.to_json()
    warnings += [] if store is None else store.take_warnings()
    facts["warnings"] = list(dict.fromkeys([*warnings, *facts["warnings"]]))
    return {**facts, "exit_code": PartialResult.exit_code if summary.failed_tiles else 0}


def compare(_: Task, *, predicted: str, reference: str, options: Mapping[str, Any] = _EMPTY) -> Message:
    """Compare predicted polygons with reference polygons."""
    scores = api.evaluate(predicted, reference, **options)
    return {**scores.to_json(), "warnings": list(scores.notes)}


class _Reporter(Observer):
    """Sends the progress of a run, and stops the run when its request is cancelled."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def progress(self, done: int, total: int) -> None:
        """Send the number of finished tiles."""
        self._task.check()
        self._task.offer("progress", id=self._task.id, done=done, total=total)


class _Sender(_Reporter):
    """Also sends objects as soon as they are finished, before layout and filters."""

    def __init__(self, task: Task, scene: Scene, shaping: Shaping, segmenter: Segmenter) -> None:
        super().__init__(task)
        # A planar layout needs all objects of the scene.
        self._scene, self._shaping, self._segmenter = scene, replace(shaping, layout="overlapping"), segmenter

    def objects(self, objects: Sequence[SceneObject]) -> None:
        """Send objects, in bundles that fit into a line."""
        if not objects:
            return
        geobox = self._scene.geobox
        polygons, columns = features(objects, geobox, self._scene.gsd_xy, self._shaping, segmenter=self._segmenter)
        for bundle in bundles(object_messages(polygons, columns)):
            self._task.check()
            self._task.tell("objects", id=self._task.id, crs=geobox.crs.to_wkt(), objects=bundle)


def _options(
    spec: ModelSpec, *, keep: Mapping[str, float] = _EMPTY, automatic: Mapping[str, int] = _EMPTY, **fields: Any
) -> RunOptions:
    """Return the options of a run.

    Args:
        spec: facts about the model, with its default thresholds.
        keep: thresholds that replace those of the model, by field.
        automatic: fields of the rule for finding everything that replace its defaults.
        **fields: other options.
    """
    return RunOptions(**fields, keep=replace(spec.keep, **keep), automatic=AutomaticRule(**automatic))


def _recorded(task: Task) -> str:
    """Return the request as text, for the provenance. The same request makes the same file."""
    return f"geosam worker: {task.method} {json.dumps(task.arguments)}"


def _prompts(
    path: str | None, out: str, *, crs: str | None = None, granularity: Granularity | None = None, **prompting: Any
) -> tuple[list[Prompt] | None, list[str]]:
    """Return the prompts of a layer (None without a layer), and warnings."""
    if path is None:
        return None, []
    reading = {
        name: value for name, value in prompting.items() if name != "skip_outside"
    }  # for the run, not for reading
    check_inputs(Path(out), [Path(path)])
    layer, warnings = read_prompts(path, crs=None if crs is None else known_crs(crs, "prompting.crs"), **reading)
    return layer if granularity is None else with_granularity(layer, granularity), warnings
