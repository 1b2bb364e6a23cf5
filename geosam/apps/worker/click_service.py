"""The service for short requests: scenes, clicks, prompt layers. One thread does one request or window at a time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from geosam.apps.worker.object_messages import MAX_WKB, object_messages
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
    from geosam.objects.session import Scope
    from geosam.prompts.draft import Draft
    from geosam.segmenters.segmenter import Segmenter

#: Largest number of sessions (pairs of a scene and a model) whose earlier answers are kept.
MAX_SESSIONS = 16


class ClickService:
    """The service of the lane for short requests.

    Args:
        memory_bytes: memory for embeddings.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory = EmbeddingMemory(memory_bytes)
        self._scenes = OpenScenes()
        self._models = LoadedModels()
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()

    @property
    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """Functions by the name of the method."""
        return {
            "open": self.open,
            "close": self.close,
            "segment": self.segment,
            "prefetch": self.prefetch,
            "save_prompts": self.save_prompts,
            "prepare": self.prepare,
        }

    def counts(self) -> Mapping[str, int]:
        """Return the numbers of scenes, models and embeddings. Any thread may call this."""
        return {
            "scenes": len(self._scenes),
            "models": len(self._models),
            "windows": len(self._memory),
            "window_bytes": self._memory.nbytes,
        }

    def prepare(self, task: Task, *, model: Mapping[str, Any] | None = None) -> None:
        """Load a model before the first click."""
        if model is not None:
            self._model(task, model)

    def open(self, _: Task, *, path: str, options: Mapping[str, Any] | None = None) -> Message:
        """Open a raster and describe it."""
        id = self._scenes.open(path, options or {})  # noqa: A001 - the protocol's word
        scene = self._scenes.get(id)
        authority = scene.geobox.crs.to_authority()
        return {
            "scene": id,
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
        """Forget a scene."""
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
        look: Scope = "whole",
        **shaping: float,
    ) -> Message:
        """Find the object that a draft describes.

        Args:
            task: the request.
            scene: id of the scene.
            model: arguments of `load_segmenter`.
            draft: clicks, box and polygons of the object, in any CRS.
            look: windows that may be used; see :meth:`Session.answer`.
            **shaping: simplification (metres) and filling of holes (square metres).
        """
        session = self._session(task, scene, model)
        answer = session.answer(draft, look, **shaping, observer=_WindowReporter(task, scene, session))
        message: Message | None = None
        if answer.found is not None:
            columns = {name: [value] for name, value in answer.found.columns.items()}
            (message,) = object_messages([answer.found.polygon], columns)
            _check_length(message["wkb"])
        return {
            "ready": answer.ready,
            "complete": answer.complete,
            "object": message,
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
        """Embed the windows that clicks inside a view would use, one window in each step."""
        session = self._session(task, scene, model)
        windows = computed = 0
        for is_new in session.prefetch(bounds, crs, observer=_WindowReporter(task, scene, session)):
            windows, computed = windows + 1, computed + is_new
            yield
            self._scenes.get(scene)  # the client may have closed it between two steps
        return {"windows": windows, "made": computed}

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

    def _model(self, task: Task, arguments: Mapping[str, Any]) -> Segmenter:
        def loading(state: str) -> None:
            task.tell("loading", client=task.client, model=arguments["name"], state=state)

        segmenter = self._models.get(arguments, loading)
        # A session holds its model. So sessions of models that were unloaded are forgotten, which frees the memory.
        self._keep_sessions(lambda _, session: self._models.holds(session.segmenter))
        return segmenter

    def _keep_sessions(self, needed: Callable[[tuple[str, str], Session], bool]) -> None:
        """Forget all sessions but those for which `needed` is true."""
        self._sessions = OrderedDict((key, session) for key, session in self._sessions.items() if needed(key, session))


class _WindowReporter(Observer):
    """Tells the client which windows are embedded, and stops when the request is cancelled or replaced."""

    def __init__(self, task: Task, scene: str, session: Session) -> None:
        self._task, self._scene, self._session = task, scene, session

    def window(self, window: Window, state: WindowState) -> None:
        """Send the state of a window, unless its embedding was in memory already."""
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
    """Refuse an outline that is too long for a message.

    Raises:
        ResourceError: it is too long.
    """
    if len(wkb) > MAX_WKB:
        raise ResourceError(
            f"the object's outline is too long for an answer: found {len(wkb)} bytes, expected at most {MAX_WKB}.",
            remedy="Simplify it, or segment the raster into a file.",
            code="outline-too-long",
            bytes=len(wkb),
            limit=MAX_WKB,
        )
