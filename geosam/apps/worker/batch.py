"""What takes long and goes on beside clicks: runs over a whole raster, and evaluations.

A run has a scene and a segmenter of its own: what segmenters remember between calls serves one thread only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geosam.apps.worker.objects import bundles, object_messages
from geosam.errors import PartialResult, UsageError
from geosam.evaluation.compare import evaluate
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.everything import AutomaticRule
from geosam.objects.observer import Callbacks
from geosam.objects.shaping import Shaping, features
from geosam.prompts.layer import read_prompts
from geosam.prompts.parts import known_crs
from geosam.prompts.prompt import with_granularity
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.vector.polygons import read_polygons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geosam.apps.worker.protocol import Message
    from geosam.apps.worker.tasks import Task
    from geosam.objects.scene_object import SceneObject
    from geosam.prompts.prompt import Detail, Prompt
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import ModelSpec

NOTHING: Mapping[str, Any] = {}


class Batch:
    """The service of the lanes for long requests."""

    @property
    def methods(self) -> Mapping[str, Callable[..., Message]]:
        """By name."""
        return {"run": run, "evaluate": compare}

    def counts(self) -> Mapping[str, int]:
        """Nothing is held between requests."""
        return NOTHING


def run(
    task: Task,
    *,
    path: str,
    model: Mapping[str, Any],
    out: str,
    options: Mapping[str, Any] = NOTHING,
    prompts: str | None = None,
    prompting: Mapping[str, Any] = NOTHING,
    window: tuple[float, float, float, float] | None = None,
    running: Mapping[str, Any] = NOTHING,
    cache: str | None = None,
    send_objects: bool = False,
) -> Message:
    """Segment a raster, or a part of it, into a file; stops between tiles, and goes on there when it is asked again."""
    store = None if cache is None else EmbeddingStore(Path(cache))
    with closing(open_scene(path, **{**options, **({} if window is None else {"window": window})})) as scene:
        asked, warnings = _prompts(prompts, out, **prompting)
        task.check()
        segmenter = load_segmenter(**model)
        task.check()
        settings = _options(segmenter.spec, command=_recorded(task), **running)
        shaping = replace(settings.shaping, layout="overlapping")

        def progress(done: int, total: int) -> None:
            task.check()
            task.offer("progress", id=task.id, done=done, total=total)

        def watch(found: Sequence[SceneObject]) -> None:
            _tell(task, found, scene, shaping, segmenter.spec.name)

        hooks: dict[str, Any] = {"store": store, "observer": Callbacks(progress, None, watch if send_objects else None)}
        if asked is None:
            summary = segment_scene(scene, segmenter, Path(out), settings, **hooks)
        else:
            hooks["skip_outside"] = prompting.get("skip_outside", False)
            summary = segment_prompts(scene, segmenter, asked, Path(out), settings, **hooks)
    facts = summary.to_json()
    warnings += [] if store is None else store.take_warnings()
    facts["warnings"] = list(dict.fromkeys([*warnings, *facts["warnings"]]))
    return {**facts, "exit_code": PartialResult.exit_code if summary.failed_tiles else 0}


def compare(_: Task, *, predicted: str, reference: str, options: Mapping[str, Any] = NOTHING) -> Message:
    """How well predicted polygons agree with reference polygons."""
    within = options.get("within")
    found = evaluate(
        read_polygons(predicted, options.get("layer")),
        read_polygons(reference, options.get("reference_layer")),
        within=None if within is None else read_polygons(within),
        **{name: options[name] for name in ("iou", "tolerance_m") if name in options},
    )
    return {**found.to_json(), "warnings": list(found.notes)}


def _options(
    spec: ModelSpec, *, keep: Mapping[str, float] = NOTHING, automatic: Mapping[str, int] = NOTHING, **fields: Any
) -> RunOptions:
    """Options of a run; `keep` and `automatic` are what differs from the model's own rules and from the defaults."""
    return RunOptions(**fields, keep=replace(spec.keep, **keep), automatic=AutomaticRule(**automatic))


def _recorded(task: Task) -> str:
    """The request, for the provenance: it gives the same file again."""
    return f"geosam worker: {task.method} {json.dumps(task.arguments)}"


def _prompts(
    path: str | None, out: str, *, crs: str | None = None, granularity: Detail | None = None, **prompting: Any
) -> tuple[list[Prompt] | None, list[str]]:
    """The prompts of a layer, None without one, and warnings."""
    if path is None:
        return None, []
    reading = {name: value for name, value in prompting.items() if name != "skip_outside"}  # which concerns the scene
    if Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
        raise UsageError(f"the output is an input: {out}: same file as the prompts {path}. Choose another output.")
    found, warnings = read_prompts(path, crs=None if crs is None else known_crs(crs, "prompting.crs"), **reading)
    return found if granularity is None else with_granularity(found, granularity), warnings


def _tell(task: Task, found: Sequence[SceneObject], scene: Scene, shaping: Shaping, model: str) -> None:
    """Send objects as they are found."""
    if found:
        polygons, columns = features(found, scene.geobox, scene.gsd_xy, shaping, model=model)
        for bundle in bundles(object_messages(polygons, columns)):
            task.check()
            task.tell("objects", id=task.id, crs=scene.geobox.crs.to_wkt(), objects=bundle)
