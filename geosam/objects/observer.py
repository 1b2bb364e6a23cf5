"""Observer of a run or a session: progress, windows, finished objects, warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from geosam.geometry.geobox import Window
    from geosam.objects.scene_object import SceneObject

#: `known`: the result for the window was there already. `begun` and `ended`: around the work on the window.
WindowState: TypeAlias = Literal["known", "begun", "ended"]


class Observer:
    """Follows a run or a session. A subclass overrides the methods that it needs; the others do nothing.

    All methods are called in the thread of the call that is observed. An error that a method raises ends that call; a
    run keeps what is finished, for the next one.
    """

    def progress(self, done: int, total: int) -> None:
        """Note that `done` of `total` tiles, or windows with prompts, are finished."""

    def window(self, window: Window, state: WindowState) -> None:
        """Note the state of a window (scene pixels).

        A session reports every window it uses, and the beginning and the end of the work on a new one. A run reports
        every window once: `known` if an interrupted run had finished it, else `ended`.
        """

    def objects(self, objects: Sequence[SceneObject]) -> None:
        """Take objects as soon as they are finished, in any order, before filters and layout."""

    def warning(self, text: str) -> None:
        """Take a warning as soon as it is known; each text comes once in a run."""


@dataclass(frozen=True)
class Callbacks(Observer):
    """Observer made of functions; those that are None are left out."""

    on_progress: Callable[[int, int], None] | None = None
    """Function for :meth:`Observer.progress`."""
    on_window: Callable[[Window, WindowState], None] | None = None
    """Function for :meth:`Observer.window`."""
    on_objects: Callable[[Sequence[SceneObject]], None] | None = None
    """Function for :meth:`Observer.objects`."""
    on_warning: Callable[[str], None] | None = None
    """Function for :meth:`Observer.warning`."""

    def progress(self, done: int, total: int) -> None:
        """Call `on_progress`."""
        if self.on_progress is not None:
            self.on_progress(done, total)

    def window(self, window: Window, state: WindowState) -> None:
        """Call `on_window`."""
        if self.on_window is not None:
            self.on_window(window, state)

    def objects(self, objects: Sequence[SceneObject]) -> None:
        """Call `on_objects`."""
        if self.on_objects is not None:
            self.on_objects(objects)

    def warning(self, text: str) -> None:
        """Call `on_warning`."""
        if self.on_warning is not None:
            self.on_warning(text)


class Observers(Observer):
    """Several observers that get the same calls, one after the other."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def progress(self, done: int, total: int) -> None:
        """Call every observer."""
        for observer in self._observers:
            observer.progress(done, total)

    def window(self, window: Window, state: WindowState) -> None:
        """Call every observer."""
        for observer in self._observers:
            observer.window(window, state)

    def objects(self, objects: Sequence[SceneObject]) -> None:
        """Call every observer."""
        for observer in self._observers:
            observer.objects(objects)

    def warning(self, text: str) -> None:
        """Call every observer."""
        for observer in self._observers:
            observer.warning(text)
