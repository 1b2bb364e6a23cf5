"""Inputs of a call: the caller's values become a scene, prompts, a segmenter and an observer."""

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
    """Yield a scene that is opened for this call, or the caller's open scene, which stays open.

    Raises:
        UsageError: the scene is open, and options for opening are set.
        SceneError: the raster cannot be used.
    """
    if isinstance(scene, Scene):
        if arguments.opening:
            option = next(iter(arguments.opening))
            raise UsageError(
                f"the scene is open already: {scene.path}: found `{option}`, which only opening uses.",
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
    """Yield an observer that also draws a progress bar or calls a function with the progress, as `progress` says."""
    watcher = Observer() if observer is None else observer
    if progress is True:
        with bar("tiles") as update:
            yield Observers(watcher, Callbacks(on_progress=update))
    elif progress:
        yield Observers(watcher, Callbacks(on_progress=progress))
    else:
        yield watcher


def requested(prompts: Any, scene: Scene, arguments: Arguments) -> tuple[list[Prompt] | None, list[str]]:
    """Return the prompts of a call (None: find everything), and warnings.

    Raises:
        PromptError: the prompts cannot be used.
    """
    reading = arguments.reading
    granularity, _ = reading.pop("granularity"), reading.pop("skip_outside")
    if prompts is None:
        return None, []
    read, notes = prompts_of(prompts, scene_crs=scene.geobox.crs, **reading)
    return with_granularity(read, granularity), notes


def segmenter(model: Any, arguments: Arguments) -> Segmenter:
    """Load a model by its name or file, or return the segmenter that the caller passed.

    Raises:
        UsageError: `model` is neither a name, a path nor a segmenter.
        ModelError: the model cannot be loaded.
    """
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
