"""What the worker holds for its clients, within limits: rasters that were opened, and models."""

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

#: Scenes that are known by an id, and those of them whose files are held open.
MAX_SCENES, MAX_OPEN = 1000, 16
#: Models that are loaded.
MAX_MODELS = 3


class Scenes:
    """Scenes by the id that was given for them.

    Those not used for the longest time close their files, which they open again when they read, or are forgotten.
    """

    def __init__(self) -> None:
        self._scenes: OrderedDict[str, Scene] = OrderedDict()
        self._ids: dict[str, str] = {}
        self._open: OrderedDict[str, Scene] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._scenes)

    def open(self, path: str, options: Mapping[str, Any]) -> str:
        """Open a raster; returns the id it has as long as its file stays the same.

        Raises:
            GeosamError: as :func:`geosam.scene.open_scene` does.
        """
        asked = json.dumps([path, options], sort_keys=True)
        known = self._ids.get(asked, "")
        if known in self._scenes and _is_unchanged(self._scenes[known]):
            return known
        scene = open_scene(path, **options)
        self._count += 1
        self._ids[asked] = new = f"scene-{self._count}"
        self._scenes[new] = scene
        if len(self._scenes) > MAX_SCENES:
            self.close(next(iter(self._scenes)))
        return new

    def get(self, id: str) -> Scene:  # noqa: A002 - the protocol's word
        """The scene of an id.

        Raises:
            UsageError: there is none.
        """
        if id not in self._scenes:
            raise UsageError(f"no scene is open under this name: scene: {id[:100]!r}. Open the raster first.")
        self._scenes.move_to_end(id)
        self._open[id] = self._scenes[id]
        self._open.move_to_end(id)
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)[1].close()
        return self._scenes[id]

    def close(self, id: str) -> None:  # noqa: A002
        """Forget a scene; nothing happens if it is not known."""
        scene = self._scenes.pop(id, None)
        self._open.pop(id, None)
        self._ids = {asked: other for asked, other in self._ids.items() if other != id}
        if scene is not None:
            scene.close()


class Models:
    """Models by how they were asked for; the one not used for the longest time makes room for another."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, Segmenter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    def get(self, wanted: Mapping[str, Any], loading: Callable[[str], None]) -> Segmenter:
        """The model, loaded if need be; `loading` is told `begun` and `ended` then.

        Raises:
            GeosamError: as :func:`geosam.segmenters.registry.load_segmenter` does.
        """
        key = json.dumps(wanted, sort_keys=True)
        if key not in self._models:
            if len(self._models) >= MAX_MODELS:
                self._models.popitem(last=False)
            loading("begun")
            try:
                self._models[key] = load_segmenter(**wanted)
            finally:
                loading("ended")
        self._models.move_to_end(key)
        return self._models[key]

    def holds(self, segmenter: Segmenter) -> bool:
        """Whether a model has not made room for another."""
        return any(held is segmenter for held in self._models.values())


def _is_unchanged(scene: Scene) -> bool:
    try:
        scene.verify_unchanged()
    except UnreadableScene:
        return False
    return True
