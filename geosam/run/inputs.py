"""Inputs of a call: whatever a caller passes becomes a scene, prompts, a segmenter and an observer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from geosam.errors import UsageError
from geosam.objects.observer import Callbacks, Observer, Observers
from geosam.prompts.prompt import with_granularity
from geosam.prompts.sources import prompts_of
from geosam.run.progress_bar import bar
from geosam.scene import Scene, open_scene
from geosam.segmenters.registry import load_segmenter
from geosam.segmenters.segmenter import Segmenter

if TYPE_CHECKING:
    from geosam.prompts.prompt import Prompt
    from geosam.run.arguments import Arguments

#: True draws a bar; a function is called with (done, total).
Progress: TypeAlias = bool | Callable[[int, int], None] | None


@contextmanager
def opened(scene: Any, arguments: Arguments) -> Iterator[Scene]:
    """Open a scene and close it in the end; an open one stays open."""
    if isinstance(scene, Scene):
        if arguments.opening:
            option = next(iter(arguments.opening))
            raise UsageError(
                f"the scene is open already: {scene.path}: `{option}` has no effect any more.",
                remedy=f"Pass `{option}` to open_scene.",
                code="option-of-open-scene",
                option=option,
            )
        yield scene
        return
    raster = open_scene(scene, **arguments.opening)
    try:
        yield raster
    finally:
        raster.close()


@contextmanager
def watched(progress: Progress, observer: Observer | None) -> Iterator[Observer]:
    """Yield the observer, joined by a bar or a function that hears of progress."""
    watcher = Observer() if observer is None else observer
    if progress is True:
        with bar("tiles") as update:
            yield Observers(watcher, Callbacks(on_progress=update))
    elif progress:
        yield Observers(watcher, Callbacks(on_progress=progress))
    else:
        yield watcher


def requested(prompts: Any, scene: Scene, arguments: Arguments) -> tuple[list[Prompt] | None, list[str]]:
    """Return the prompts, None for everything, and warnings."""
    reading = arguments.reading
    granularity, _ = reading.pop("granularity"), reading.pop("skip_outside")
    if prompts is None:
        return None, []
    found, notes = prompts_of(prompts, scene_crs=scene.geobox.crs, **reading)
    return with_granularity(found, granularity), notes


def segmenter(model: Any, arguments: Arguments) -> Segmenter:
    """Load a model by name or file; take a segmenter as it is."""
    if isinstance(model, str | Path):
        return load_segmenter(**{**arguments.model, "name": str(model)})
    if isinstance(model, Segmenter):
        return model
    raise UsageError(
        f"`model` cannot be used as a model: found {type(model).__name__}, expected a name, a path or a segmenter.",
        remedy="See geosam.models().",
        code="not-a-model",
        found=type(model).__name__,
    )
