"""What is answered between two clicks; all of it in one thread, one request or one window after the other."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from geosam.apps.worker.objects import MAX_WKB, object_messages
from geosam.apps.worker.resources import LoadedModels, OpenScenes
from geosam.errors import ResourceError
from geosam.objects.embeddings.memory import EmbeddingMemory
from geosam.objects.observer import Observer
from geosam.objects.session import Session
from geosam.prompts.from_draft import prompt_of
from geosam.prompts.layer import write_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from geosam.apps.worker.protocol import Message
    from geosam.apps.worker.tasks import Task
    from geosam.geometry.geobox import Window
    from geosam.objects.observer import WindowState
    from geosam.objects.session import Look
    from geosam.prompts.draft import Draft
    from geosam.segmenters.segmenter import Segmenter

#: Pairs of a scene and a model whose earlier answers are remembered.
MAX_SESSIONS = 16


class Interactive:
    """The service of the lane for short requests.

    Args:
        memory_bytes: what embeddings may take.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory = EmbeddingMemory(memory_bytes)
        self._scenes = OpenScenes()
        self._models = LoadedModels()
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()

    @property
    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """By name."""
        return {
            "open": self.open,
            "close": self.close,
            "segment": self.segment,
            "prefetch": self.prefetch,
            "save_prompts": self.save_prompts,
            "prepare": self.prepare,
        }

    def counts(self) -> Mapping[str, int]:
        """What it holds, from any thread."""
        return {
            "scenes": len(self._scenes),
            "models": len(self._models),
            "windows": len(self._memory),
            "window_bytes": self._memory.nbytes,
        }

    def prepare(self, task: Task, *, model: Mapping[str, Any] | None = None) -> None:
        """Load a model before it is asked for."""
        if model is not None:
            self._model(task, model)

    def open(self, _: Task, *, path: str, options: Mapping[str, Any] | None = None) -> Message:
        """Register a raster."""
        known = self._scenes.open(path, options or {})
        scene = self._scenes.get(known)
        authority = scene.geobox.crs.to_authority()
        return {
            "scene": known,
            "path": scene.path,
            "width": scene.geobox.width,
            "height": scene.geobox.height,
            "crs": scene.geobox.crs.to_wkt(),
            "authority": None if authority is None else ":".join(authority),
            "transform": list(scene.geobox.transform[:6]),
            "bounds": list(scene.geobox.bounds),
            "gsd_m": list(scene.gsd_xy),
            "warnings": list(scene.warnings),
        }

    def close(self, _: Task, *, scene: str) -> Message:
        """Forget a raster."""
        self._scenes.close(scene)
        self._keep_sessions(lambda key, _: key[0] != scene)
        return {}

    def segment(
        self,
        task: Task,
        *,
        scene: str,
        model: Mapping[str, Any],
        draft: Draft,
        look: Look = "whole",
        **shaping: float,
    ) -> Message:
        """The object that a draft describes."""
        session = self._session(task, scene, model)
        answer = session.answer(draft, look, **shaping, observer=_Watch(task, scene, session))
        found: Message | None = None
        if answer.found is not None:
            columns = {name: [value] for name, value in answer.found.columns.items()}
            (found,) = object_messages([answer.found.polygon], columns)
            _check_length(found["wkb"])
        return {
            "ready": answer.ready,
            "complete": answer.complete,
            "object": found,
            "window": session.corners(answer.window).tolist(),
            "warnings": list(answer.warnings),
        }

    def prefetch(
        self,
        task: Task,
        *,
        scene: str,
        model: Mapping[str, Any],
        bounds: tuple[float, float, float, float],
        crs: str,
    ) -> Generator[None, None, Message]:
        """Look at the windows around a view, one a step."""
        session = self._session(task, scene, model)
        windows = made = 0
        for looked_at in session.prefetch(bounds, crs, observer=_Watch(task, scene, session)):
            windows, made = windows + 1, made + looked_at
            yield
            self._scenes.get(scene)  # may have been closed meanwhile
        return {"windows": windows, "made": made}

    def save_prompts(self, _: Task, *, path: str, objects: Sequence[Message], overwrite: bool = False) -> Message:
        """Write drafts as a prompt layer."""
        prompts = [
            prompt_of(item["draft"], item["id"], item.get("attributes"), source=f"objects[{number}]")
            for number, item in enumerate(objects)
        ]
        write_prompts(path, prompts, overwrite=overwrite)
        return {"path": path, "count": len(prompts)}

    def _session(self, task: Task, scene: str, model: Mapping[str, Any]) -> Session:
        opened, segmenter = self._scenes.get(scene), self._model(task, model)
        key = scene, segmenter.spec.fingerprint
        if key not in self._sessions or self._sessions[key].segmenter is not segmenter:
            self._sessions[key] = Session(opened, segmenter, memory=self._memory)
        self._sessions.move_to_end(key)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return self._sessions[key]

    def _model(self, task: Task, wanted: Mapping[str, Any]) -> Segmenter:
        def loading(state: str) -> None:
            task.tell("loading", client=task.client, model=wanted["name"], state=state)

        found = self._models.get(wanted, loading)
        self._keep_sessions(lambda _, session: self._models.holds(session.segmenter))
        return found

    def _keep_sessions(self, wanted: Callable[[tuple[str, str], Session], bool]) -> None:
        """Forget sessions that hold what is not needed any more."""
        self._sessions = OrderedDict((key, held) for key, held in self._sessions.items() if wanted(key, held))


class _Watch(Observer):
    """Tells the client of windows that are looked at; stops where the request is not wanted any more."""

    def __init__(self, task: Task, scene: str, session: Session) -> None:
        self._task, self._scene, self._session = task, scene, session

    def window(self, window: Window, state: WindowState) -> None:
        """Stop, or tell the client."""
        if state != "ended":
            self._task.check()
        if state != "known":
            self._task.tell(
                "looking",
                client=self._task.client,
                scene=self._scene,
                window=self._session.corners(window).tolist(),
                state=state,
            )


def _check_length(wkb: str) -> None:
    """Refuse an outline that fits into no message.

    Raises:
        ResourceError: it does not.
    """
    if len(wkb) > MAX_WKB:
        raise ResourceError(
            f"the object's outline is too long for an answer: {len(wkb)} bytes, at most {MAX_WKB} wanted. "
            "Simplify it, or segment the raster into a file."
        )
