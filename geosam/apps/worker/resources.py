"""Scenes and models that the worker keeps for its clients, within limits."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from geosam.errors import UnreadableScene, UsageError
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geosam.scene import Scene
    from geosam.segmenters.segmenter import Segmenter

#: Largest number of scenes with an id, and of scenes with an open file.
MAX_SCENES, MAX_OPEN = 1000, 16
#: Largest number of loaded models.
MAX_MODELS = 3


class OpenScenes:
    """Scenes by their ids.

    If too many files are open, the scene that was not used for the longest time closes its file, and opens it again
    when it is read. If there are too many scenes, the one that was not used for the longest time is forgotten.
    """

    def __init__(self) -> None:
        self._scenes: OrderedDict[str, Scene] = OrderedDict()
        self._ids: dict[str, str] = {}
        self._open: OrderedDict[str, Scene] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._scenes)

    def open(self, path: str, options: Mapping[str, Any]) -> str:
        """Open a raster and return its id. An unchanged file that is opened again gets the same id.

        Raises:
            GeosamError: as :func:`geosam.scene.open_scene` does.
        """
        source = json.dumps([path, options], sort_keys=True)
        id = self._ids.get(source, "")  # noqa: A001 - the protocol's word
        if id in self._scenes and _is_unchanged(self._scenes[id]):
            return id
        scene = open_scene(path, **options)
        self._count += 1
        self._ids[source] = id = f"scene-{self._count}"  # noqa: A001 - the protocol's word
        self._scenes[id] = scene
        if len(self._scenes) > MAX_SCENES:
            self.close(next(iter(self._scenes)))
        return id

    def get(self, id: str) -> Scene:  # noqa: A002 - the protocol's word
        """Return the scene of an id.

        Raises:
            UsageError: no scene has this id.
        """
        if id not in self._scenes:
            raise UsageError(
                f"no scene has this id: `scene`: {id[:100]!r}.",
                remedy="Open the raster first.",
                code="scene-not-open",
                scene=id[:100],
            )
        self._scenes.move_to_end(id)
        self._open[id] = self._scenes[id]
        self._open.move_to_end(id)
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)[1].close()
        return self._scenes[id]

    def close(self, id: str) -> None:  # noqa: A002 - JSON-RPC's own word
        """Forget a scene, if there is one with this id."""
        scene = self._scenes.pop(id, None)
        self._open.pop(id, None)
        self._ids = {source: other for source, other in self._ids.items() if other != id}
        if scene is not None:
            scene.close()


class LoadedModels:
    """Models by the arguments of `load_segmenter`. A new model replaces the one not used for the longest time."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, Segmenter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    def get(self, arguments: Mapping[str, Any], loading: Callable[[str], None]) -> Segmenter:
        """Return a model, and load it if necessary. Call `loading` with "begun" before and with "ended" after loading.

        Raises:
            GeosamError: as :func:`geosam.segmenters.registry.load_segmenter` does.
        """
        key = json.dumps(arguments, sort_keys=True)
        if key not in self._models:
            if len(self._models) >= MAX_MODELS:
                self._models.popitem(last=False)
            loading("begun")
            try:
                self._models[key] = load_segmenter(**arguments)
            finally:
                loading("ended")
        self._models.move_to_end(key)
        return self._models[key]

    def holds(self, segmenter: Segmenter) -> bool:
        """Return True if a model is still loaded."""
        return any(held is segmenter for held in self._models.values())


def _is_unchanged(scene: Scene) -> bool:
    try:
        scene.verify_unchanged()
    except UnreadableScene:
        return False
    return True
