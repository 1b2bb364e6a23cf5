"""Session: one object of a scene after the other, from drafts that a user changes step by step.

An answer depends on the scene, the model and the draft alone. A session uses the code of a batch run, so it finds the
polygon that ``geosam segment --prompts`` writes for the same prompts. Its caches of embeddings and answers only save
time. A *preview* comes from windows that are in memory already; it is not complete, because other windows can change
the object.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import shapely

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

    from pyproj import CRS

    from geosam._arrays import Floats
    from geosam.geometry.geobox import Window
    from geosam.objects.embeddings.memory import CachedEmbedding
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.objects.scene_object import SceneObject
    from geosam.prompts.draft import Draft
    from geosam.prompts.prompt import ScenePrompt
    from geosam.scene import Scene
    from geosam.segmenters.segmenter import Embedding, Prompted, Segmenter

Scope: TypeAlias = Literal["known", "window", "whole"]
"""Windows that an answer may use: those in memory, also the first one, all."""

#: Limit of cached answers to earlier steps (bytes).
_ANSWER_BYTES = 16 * 2**20
#: Least distance of a prompt from the inner edges of another window that may give its preview, as a share of the side.
_WELL_INSIDE = 1 / 8


class WindowKey(NamedTuple):
    """Key of a window's embedding in an :class:`~geosam.objects.embeddings.memory.EmbeddingMemory`."""

    origin: str
    """Digest of all that the embedding depends on beside the window: the opened file, its reading, the model."""
    window: Window
    """Window in scene pixels."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """Object of an answer, like a row of an output file."""

    polygon: Any
    """Shapely Polygon or MultiPolygon in the scene's CRS."""
    columns: Mapping[str, Any]
    """Values of the columns that an output file has, without `id`."""
    pixels: SceneObject
    """The object in scene pixels, before it was shaped."""

    def __repr__(self) -> str:
        kind, parts = self.polygon.geom_type, shapely.get_num_geometries(self.polygon)
        facts = [kind if parts == 1 else f"{kind} of {parts} parts", f"{self.columns['area_m2']:.6g} m2"]
        facts += [f"score {self.columns['score']:.3f}"]
        facts += [name for name in ("touches_edge", "truncated") if self.columns[name]]
        return f"FoundObject({', '.join(facts)})"


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer of a session to a draft."""

    ready: bool
    """True if a window was used; False if none was allowed, then nothing is known about the object."""
    complete: bool
    """True if no other window can change the answer."""
    found: FoundObject | None
    """The object; None where there is none."""
    window: Window
    """First window of the answer, scene pixels; if the answer is not `ready`, the window that it needs."""
    warnings: tuple[str, ...] = ()
    """Warnings for the user."""

    def __repr__(self) -> str:
        if not self.ready:
            return f"Answer(not ready, needs {self.window})"
        facts = [str(self.found), "complete" if self.complete else "preview"]
        facts += [f"warnings: {len(self.warnings)}"] if self.warnings else []
        return f"Answer({', '.join(facts)})"


class _SceneEmbeddings(NamedTuple):
    """Embeddings of windows of one scene by one model, through a memory."""

    embedder: TileEmbedder
    memory: EmbeddingMemory
    origin: str
    """Digest for :class:`WindowKey`."""

    def cached(self, window: Window, *, ahead: bool = False) -> CachedEmbedding | None:
        """Return the embedding of a window from the memory, None if it is not there; `ahead` for a prefetch."""
        return self.memory.get(WindowKey(self.origin, window), ahead=ahead)

    def embed(self, window: Window, observer: Observer, *, ahead: bool = False) -> Embedding | None:
        """Embed a window that is not in memory, and keep it there; return None where no pixel is valid."""
        observer.window(window, "begun")
        try:
            return self.memory.get_or_make(WindowKey(self.origin, window), lambda: self._made(window), ahead=ahead)
        finally:
            observer.window(window, "ended")

    def _made(self, window: Window) -> Embedding | None:
        embedding = self.embedder.embed(window)
        # After the reading, so that no picture of another file enters the memory.
        self.embedder.scene.verify_unchanged()
        return embedding

    def windows(self) -> list[Window]:
        """Return the windows in memory."""
        keys = [key for key in self.memory if isinstance(key, WindowKey)]  # others may share the memory
        return [key.window for key in keys if key.origin == self.origin]


@dataclass(eq=False)
class _ScopedEmbedder:
    """Embeddings within the scope of one answer; an :class:`~geosam.objects.growth.Embedder`."""

    embeddings: _SceneEmbeddings
    scope: Scope
    first: Window
    observer: Observer
    used: bool = False
    """True if the answer used a window."""
    withheld: bool = False
    """True if the answer needed a window beyond its scope."""

    @property
    def segmenter(self) -> Prompted:
        """Model that decodes prompts."""
        return as_prompted(self.embeddings.embedder.segmenter)

    def __call__(self, window: Window) -> Embedding | None:
        """Return the embedding of a window; None where no pixel is valid, and for windows beyond the scope."""
        cached = self.embeddings.cached(window)
        if cached is None and not (self.scope == "whole" or (self.scope == "window" and window == self.first)):
            self.withheld = True
            return None
        self.used = True
        if cached is None:
            return self.embeddings.embed(window, self.observer)
        self.observer.window(window, "known")
        return cached.embedding


class Session:
    """Interactive segmentation of one scene by one model. Threads may share it, as they may share a segmenter.

    Args:
        scene: scene in whose region drafts lie.
        segmenter: model that answers prompts.
        store: folder of embeddings, read and filled; None for none.
        rule: layout of windows; None for that of a batch run with default options.
        memory: cache of embeddings; sessions of any scenes and models may share it. None for one of its own.
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
        embedder = TileEmbedder(scene, segmenter, store)
        self._embeddings = _SceneEmbeddings(embedder, self.memory, _origin(scene, segmenter))
        self._answers = Answers(_ANSWER_BYTES)

    def __repr__(self) -> str:
        windows = len(self._embeddings.windows())
        return f"Session({self.scene.path}, {self.segmenter.spec.name}, windows in memory: {windows})"

    def answer(
        self,
        draft: Draft,
        look: Scope = "whole",
        *,
        simplify_m: float = 0.0,
        fill_holes_m2: float = 0.0,
        observer: Observer | None = None,
    ) -> Answer:
        """Find the object that a draft describes.

        Args:
            draft: clicks, box and polygons of the object, in any CRS.
            look: `known` uses windows in memory only, `window` also embeds the first window, `whole` embeds all windows
                into which the object continues.
            simplify_m: tolerance of the simplification, metres on the ground.
            fill_holes_m2: largest area of holes that are filled, square metres on the ground.
            observer: follows windows and warnings.

        Raises:
            UnreadableScene: the file changed since it was opened, or is damaged.
            PromptError: the draft cannot be used, for example because it lies outside the scene.
        """
        self._check_file()  # first, because cached windows would answer for a file that is gone
        observer = Observer() if observer is None else observer
        prompt, warnings = self._placed(draft)
        _report(warnings, observer)
        window = self.rule.follow(prompt)[0]
        embedder = _ScopedEmbedder(self._embeddings, look, window, observer)
        objects = segment_prompted(embedder, [prompt], window, self.rule, self._answers)
        if not embedder.used:
            other = self._cached_around(prompt)
            if other is None:
                return Answer(ready=False, complete=False, found=None, window=window, warnings=tuple(warnings))
            # A preview. `withheld` is True by now, so it is not complete.
            window = other
            objects = segment_prompted(embedder, [prompt], window, self.rule, self._answers)
        shaping = Shaping(simplify_m=simplify_m, fill_holes_m2=fill_holes_m2)
        found = self._on_map(objects[0], shaping) if objects else None
        warnings += _report(self._embeddings.embedder.take_warnings(), observer)
        return Answer(
            ready=embedder.used, complete=not embedder.withheld, found=found, window=window, warnings=tuple(warnings)
        )

    def prefetch(
        self, bounds: tuple[float, float, float, float], crs: CRS | str, *, observer: Observer | None = None
    ) -> Iterator[bool]:
        """Embed the first windows of clicks inside a view, one window a step, while the caller iterates.

        The order is that of :meth:`WindowRule.around`: soon every place of the view has a window for a preview. It ends
        when the memory's share for prefetches is full, so that it drops neither its own windows nor those used last.

        Args:
            bounds: the view, (xmin, ymin, xmax, ymax).
            crs: CRS of the bounds.
            observer: follows windows.

        Yields:
            True if the window was embedded, False if it was in memory.

        Raises:
            UnreadableScene: as for :meth:`answer`.
        """
        observer = Observer() if observer is None else observer
        total = largest = 0
        for window in self.windows_around(bounds, crs):
            if total + largest > self.memory.bytes_ahead:  # the next one may be as large as the largest
                return
            self._check_file()  # at every step: the caller may wait between two
            cached = self._embeddings.cached(window, ahead=True)
            embedding = cached.embedding if cached is not None else self._embeddings.embed(window, observer, ahead=True)
            total, largest = total + size_of(embedding), max(largest, size_of(embedding))
            yield cached is None

    def windows_around(self, bounds: tuple[float, float, float, float], crs: CRS | str) -> list[Window]:
        """Return the windows of :meth:`prefetch` (scene pixels); none where the view shows nothing of the scene."""
        crs = known_crs(crs, "the view")
        try:
            view = Prompt("view", crs, box_xyxy=bounds, source="the view")
            placed, _ = to_scene([view], self.scene.geobox, skip_outside=True)
        except PromptError:  # a view may reach beyond the area of its CRS, or of the scene's
            return []
        inside, _ = in_region(placed, self.rule.region)
        return self.rule.around(inside[0].bounds_xyxy) if inside else []

    def corners(self, window: Window) -> Floats:
        """Return the corners (4, 2) of a window as x, y in the scene's CRS, clockwise from the upper left one."""
        left, top, right, bottom = window.col_off, window.row_off, window.col_end, window.row_end
        return self.scene.geobox.to_map([(left, top), (right, top), (right, bottom), (left, bottom)])

    def clear(self) -> None:
        """Drop the cached answers to earlier steps; embeddings stay in the memory."""
        self._answers.clear()

    def _placed(self, draft: Draft) -> tuple[ScenePrompt, list[str]]:
        """Place a draft in scene pixels. Return it with warnings."""
        placed, warnings = to_scene([prompt_of(draft, crs=self.scene.geobox.crs)], self.scene.geobox)
        inside, _ = in_region(placed, self.rule.region)
        if not inside:
            region = self.rule.region
            raise PromptOutsideScene(
                f"the draft lies outside the part of the scene in use: {self.scene.path}: expected columns "
                f"{region.col_off} to {region.col_end}, rows {region.row_off} to {region.row_end}.",
                remedy="Open the whole scene, without `window`.",
                code="draft-outside-region",
                scene=str(self.scene.path),
                columns=[region.col_off, region.col_end],
                rows=[region.row_off, region.row_end],
            )
        return inside[0], list(warnings)

    def _cached_around(self, prompt: ScenePrompt) -> Window | None:
        """Return the window in memory in which a prompt lies deepest; None if it lies well inside of none."""
        depths = [(self._depth(window, prompt), window) for window in self._embeddings.windows()]
        depth, window = max(depths, default=(0.0, None))
        return window if depth >= _WELL_INSIDE * self.rule.tile_size else None

    def _depth(self, window: Window, prompt: ScenePrompt) -> float:
        """Return the distance in pixels of a prompt from the nearest inner edge of a window.

        The region continues beyond an inner edge. The distance is infinite for a window without such an edge, and
        negative for a prompt that reaches out of the window.
        """
        region = self.rule.region
        if not region.contains(window):
            return -math.inf  # of a session with another region of the scene
        x0, y0, x1, y1 = prompt.bounds_xyxy
        gaps = (
            (x0 - window.col_off, window.col_off > region.col_off),
            (y0 - window.row_off, window.row_off > region.row_off),
            (window.col_end - x1, window.col_end < region.col_end),
            (window.row_end - y1, window.row_end < region.row_end),
        )
        return min((gap for gap, inner in gaps if inner), default=math.inf)

    def _on_map(self, item: SceneObject, shaping: Shaping) -> FoundObject:
        """Make the polygon and the columns of an object, as a batch run does."""
        scene = self.scene
        polygons, columns = features([item], scene.geobox, scene.gsd_xy, shaping, segmenter=self.segmenter)
        return FoundObject(polygons[0], {name: values[0] for name, values in columns.items()}, item)

    def _check_file(self) -> None:
        """Refuse a file that changed since it was opened.

        Raises:
            UnreadableScene: the file changed.
        """
        if self.scene.stamps:  # remote files have none: a request for every answer would be slow
            self.scene.verify_unchanged()


def _report(warnings: list[str], observer: Observer) -> list[str]:
    """Pass warnings to the observer, and return them."""
    for text in warnings:
        observer.warning(text)
    return warnings


def _origin(scene: Scene, segmenter: Segmenter) -> str:
    """Return a digest of all that embeddings of a scene depend on beside their window; valid in this process."""
    # Not the fingerprint of the content, which reads the file: in one process the stamps of the opened file suffice.
    spec = segmenter.spec
    facts = repr((scene.recipe_as_opened, spec.fingerprint, spec.input_size))
    return hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()
