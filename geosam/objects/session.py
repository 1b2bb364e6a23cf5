"""Session: one object of a scene after the other, from what a user says about it step by step.

An answer is a function of the scene, the model and the draft alone. It is found, placed, outlined and measured by the
code that a batch run uses, so the polygon is the one that ``geosam segment --prompts`` writes for the same prompts.
What a session remembers, embeddings of windows and the model's answers to earlier steps, only saves time.

While a window is not known yet, a preview may come from another window that has the prompt well inside. Such an answer
is never called complete, because another window can show something else.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from geosam.errors import PromptError, PromptOutsideScene
from geosam.objects.embeddings.embedder import TileEmbedder
from geosam.objects.embeddings.memory import EmbeddingMemory, size_of
from geosam.objects.growth import segment_prompted
from geosam.objects.observer import Observer
from geosam.objects.shaping import Shaping, features
from geosam.objects.steps import Answers
from geosam.objects.windows import WindowRule
from geosam.prompts.from_draft import prompt_of
from geosam.prompts.parts import known_crs
from geosam.prompts.placement import in_region, to_scene
from geosam.prompts.prompt import Prompt
from geosam.segmenters.segmenter import as_prompted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from pyproj import CRS

    from geosam.geometry.geobox import Window
    from geosam.objects.embeddings.memory import Known
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.objects.scene_object import SceneObject
    from geosam.prompts.draft import Draft
    from geosam.prompts.prompt import ScenePrompt
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import Embedding, Prompted, Segmenter

Look: TypeAlias = Literal["known", "window", "whole"]

#: Answers to earlier steps that a session remembers (bytes).
_ANSWER_BYTES = 16 * 2**20
#: A preview comes from another window only if the prompt is this far from where that one is cut off, in window sides.
_WELL_INSIDE = 1 / 8


class WindowKey(NamedTuple):
    """Under which a memory keeps the embedding of a window."""

    origin: str
    """What the embedding depends on beside the window: the file as it was opened, how it is read, and the model."""
    window: Window
    """Scene pixels."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """An object, as a row of an output file has it."""

    polygon: Any
    """A shapely Polygon or MultiPolygon in the scene's CRS."""
    columns: Mapping[str, Any]
    """`score, stability, area_m2, perimeter_m, model, n_tiles, touches_edge, truncated`."""
    pixels: SceneObject
    """Before it was shaped."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What is found for a draft."""

    ready: bool
    """Whether anything was looked at; if not, nothing else is known."""
    complete: bool
    """Whether looking at more would change nothing."""
    found: FoundObject | None
    """None where there is no object."""
    window: Window
    """The first window, scene pixels; where `ready` is false, the one to look at."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""


class _Windows(NamedTuple):
    """The windows of a scene as a model sees them."""

    embedder: TileEmbedder
    memory: EmbeddingMemory
    origin: str

    def known(self, window: Window, *, ahead: bool = False) -> Known | None:
        """What is in memory about a window; wanted now, or ahead of need."""
        return self.memory.get(WindowKey(self.origin, window), ahead=ahead)

    def look(self, window: Window, observer: Observer, *, ahead: bool = False) -> Embedding | None:
        """The embedding of a window that is not in memory; None where no pixel is valid."""
        observer.window(window, "begun")
        try:
            return self.memory.of(WindowKey(self.origin, window), lambda: self._made(window), ahead=ahead)
        finally:
            observer.window(window, "ended")

    def _made(self, window: Window) -> Embedding | None:
        embedding = self.embedder.look(window)
        self.embedder.scene.verify_unchanged()  # nothing of another file gets into the memory
        return embedding

    def all_known(self) -> list[Window]:
        """The windows in memory."""
        keys = [key for key in self.memory if isinstance(key, WindowKey)]
        return [key.window for key in keys if key.origin == self.origin]


@dataclass(eq=False)
class _Sight:
    """What one answer may see, and whether it wanted to see more; an :class:`~geosam.objects.growth.Embedder`."""

    windows: _Windows
    look: Look
    first: Window
    observer: Observer
    seen: bool = False
    """Whether any window was to be seen."""
    withheld: bool = False
    """Whether any was not."""

    @property
    def segmenter(self) -> Prompted:
        """The model that is asked."""
        return as_prompted(self.windows.embedder.segmenter)

    def __call__(self, window: Window) -> Embedding | None:
        """The embedding of a window; None where no pixel is valid, and where looking is not allowed."""
        known = self.windows.known(window)
        if known is None and not (self.look == "whole" or (self.look == "window" and window == self.first)):
            self.withheld = True
            return None
        self.seen = True
        if known is None:
            return self.windows.look(window, self.observer)
        self.observer.window(window, "known")
        return known.embedding


class Session:
    """Interactive segmentation of one scene by one model. Threads may share it, as they may share a segmenter.

    Args:
        scene: what is looked at; drafts reach into its region.
        segmenter: is prompted.
        store: where embeddings are looked up and kept on disk.
        rule: how windows are laid out; that of a batch run with default options if left out.
        memory: keeps embeddings; may be shared with other sessions, of other scenes and models too.
    """

    def __init__(
        self,
        scene: Scene,
        segmenter: Segmenter,
        *,
        store: EmbeddingStore | None = None,
        rule: WindowRule | None = None,
        memory: EmbeddingMemory | None = None,
    ) -> None:
        self.scene = scene
        self.segmenter = as_prompted(segmenter)
        self.rule = WindowRule(scene.region) if rule is None else rule
        self.memory = EmbeddingMemory() if memory is None else memory
        self._windows = _Windows(TileEmbedder(scene, segmenter, store), self.memory, _origin(scene, segmenter))
        self._answers = Answers(_ANSWER_BYTES)

    def answer(
        self,
        draft: Draft,
        look: Look = "whole",
        *,
        simplify_m: float = 0.0,
        fill_holes_m2: float = 0.0,
        observer: Observer | None = None,
    ) -> Answer:
        """The object that a draft describes.

        Args:
            draft: what was said about it, in any CRS.
            look: `known` uses only windows in memory, `window` looks at the first window if need be, `whole` at all
                windows into which the object goes on.
            simplify_m: tolerance of the simplification, metres on the ground.
            fill_holes_m2: holes up to this size are filled, square metres on the ground.
            observer: follows windows and warnings.

        Raises:
            UnreadableScene: the file was changed since it was opened, or is damaged.
            PromptError: the draft cannot be used, for example because it lies outside the scene.
        """
        self._check_file()
        observer = Observer() if observer is None else observer
        prompt, warnings = self._placed(draft)
        _announced(warnings, observer)
        window = self.rule.follow(prompt)[0]
        sight = _Sight(self._windows, look, window, observer)
        objects = segment_prompted(sight, [prompt], window, self.rule, self._answers)
        if not sight.seen:
            other = self._known_around(prompt)
            if other is None:
                return Answer(ready=False, complete=False, found=None, window=window, warnings=tuple(warnings))
            window = other
            objects = segment_prompted(sight, [prompt], window, self.rule, self._answers)
        found = (
            self._on_map(objects[0], Shaping(simplify_m=simplify_m, fill_holes_m2=fill_holes_m2)) if objects else None
        )
        warnings += _announced(self._windows.embedder.take_warnings(), observer)
        return Answer(
            ready=sight.seen, complete=not sight.withheld, found=found, window=window, warnings=tuple(warnings)
        )

    def prefetch(
        self, bounds: tuple[float, float, float, float], crs: CRS | str, *, observer: Observer | None = None
    ) -> Iterator[bool]:
        """Look at the windows that clicks inside of a view would use, one a step, for as long as steps are taken.

        First come windows that leave no place of the view without one that can give a preview, from the middle
        outwards, then the others. It ends where the memory's share for such work is used up, so that it pushes out
        neither what it has made nor what was used last.

        Args:
            bounds: the view, (xmin, ymin, xmax, ymax).
            crs: of the bounds.
            observer: as for :meth:`answer`.

        Yields:
            Whether the window was looked at; False if it was known.

        Raises:
            UnreadableScene: as for :meth:`answer`.
        """
        observer = Observer() if observer is None else observer
        spent = largest = 0
        for window in self.windows_around(bounds, crs):
            if spent + largest > self.memory.bytes_ahead:
                return
            self._check_file()
            known = self._windows.known(window, ahead=True)
            found = known.embedding if known is not None else self._windows.look(window, observer, ahead=True)
            spent, largest = spent + size_of(found), max(largest, size_of(found))
            yield known is None

    def windows_around(self, bounds: tuple[float, float, float, float], crs: CRS | str) -> list[Window]:
        """The windows that :meth:`prefetch` goes through; none where the view shows nothing of the scene."""
        crs = known_crs(crs, "the view")
        try:
            view = Prompt("view", crs, box_xyxy=bounds, source="the view")
            placed, _ = to_scene([view], self.scene.geobox, skip_outside=True)
        except PromptError:  # a view may reach beyond what its CRS, or the scene's, can express
            return []
        inside, _ = in_region(placed, self.rule.region)
        return self.rule.around(inside[0].bounds_xyxy) if inside else []

    def corners(self, window: Window) -> NDArray[np.float64]:
        """The corners (4, 2) of a window in the scene's CRS, clockwise in the picture from the upper left one."""
        left, top, right, bottom = window.col_off, window.row_off, window.col_end, window.row_end
        return self.scene.geobox.to_map([(left, top), (right, top), (right, bottom), (left, bottom)])

    def clear(self) -> None:
        """Forget the answers to earlier steps; the embeddings are the memory's own."""
        self._answers.clear()

    def _placed(self, draft: Draft) -> tuple[ScenePrompt, list[str]]:
        """The draft in scene pixels, and warnings."""
        placed, warnings = to_scene([prompt_of(draft, crs=self.scene.geobox.crs)], self.scene.geobox)
        inside, _ = in_region(placed, self.rule.region)
        if not inside:
            region = self.rule.region
            raise PromptOutsideScene(
                f"the draft lies outside the part of the scene in use: {self.scene.path}: columns {region.col_off} to "
                f"{region.col_end}, rows {region.row_off} to {region.row_end} wanted. Open the whole scene."
            )
        return inside[0], list(warnings)

    def _known_around(self, prompt: ScenePrompt) -> Window | None:
        """The window in memory that has a prompt best inside; None if none has it well inside."""
        found = [(self._depth(window, prompt), window) for window in self._windows.all_known()]
        depth, window = max(found, default=(0.0, None))
        return window if depth >= _WELL_INSIDE * self.rule.tile_size else None

    def _depth(self, window: Window, prompt: ScenePrompt) -> float:
        """How far a prompt is from the nearest edge of a window beyond which the region goes on, pixels."""
        region = self.rule.region
        if not region.contains(window):
            return -math.inf
        x0, y0, x1, y1 = prompt.bounds_xyxy
        gaps = (
            (x0 - window.col_off, window.col_off > region.col_off),
            (y0 - window.row_off, window.row_off > region.row_off),
            (window.col_end - x1, window.col_end < region.col_end),
            (window.row_end - y1, window.row_end < region.row_end),
        )
        return min((gap for gap, inner in gaps if inner), default=math.inf)

    def _on_map(self, item: SceneObject, shaping: Shaping) -> FoundObject:
        scene = self.scene
        polygons, columns = features([item], scene.geobox, scene.gsd_xy, shaping, segmenter=self.segmenter)
        return FoundObject(polygons[0], {name: values[0] for name, values in columns.items()}, item)

    def _check_file(self) -> None:
        """Refuse to answer about a file that is not the one that was opened."""
        if self.scene.stamps:  # a server is asked only when something is read from it
            self.scene.verify_unchanged()


def _announced(warnings: list[str], observer: Observer) -> list[str]:
    """Tell the observer of warnings, and return them."""
    for text in warnings:
        observer.warning(text)
    return warnings


def _origin(scene: Scene, segmenter: Segmenter) -> str:
    """What embeddings of a scene depend on beside their window, for as long as this process lives."""
    spec = segmenter.spec
    facts = repr((scene.recipe_as_opened, spec.fingerprint, spec.input_size))
    return hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()
