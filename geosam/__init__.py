"""geosam: georeferenced imagery into clean polygons.

The public names are resolved when they are first used: importing the package imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geosam.draft import Draft
    from geosam.draft_prompts import draft_of, prompt_of
    from geosam.embedding_memory import EmbeddingMemory
    from geosam.errors import GeosamError
    from geosam.geobox import GeoBox, Window
    from geosam.layers import PolygonLayer, read_polygons
    from geosam.masks import MaskSet
    from geosam.models.registry import load_segmenter
    from geosam.pipeline import RunOptions, embed_scene, segment_prompts, segment_scene
    from geosam.prompt_layer import read_prompts, write_prompts
    from geosam.prompts import PixelPrompts, Prompt, Steps
    from geosam.scene import Scene, Tile, open_scene
    from geosam.segmenter import Embedding, KeepRule, ModelSpec, Segmenter
    from geosam.session import Answer, FoundObject, Session
    from geosam.store import EmbeddingStore
    from geosam.summaries import EmbedSummary, RunSummary

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Draft",
    "EmbedSummary",
    "Embedding",
    "EmbeddingMemory",
    "EmbeddingStore",
    "FoundObject",
    "GeoBox",
    "GeosamError",
    "KeepRule",
    "MaskSet",
    "ModelSpec",
    "PixelPrompts",
    "PolygonLayer",
    "Prompt",
    "RunOptions",
    "RunSummary",
    "Scene",
    "Segmenter",
    "Session",
    "Steps",
    "Tile",
    "Window",
    "draft_of",
    "embed_scene",
    "load_segmenter",
    "open_scene",
    "prompt_of",
    "read_polygons",
    "read_prompts",
    "segment_prompts",
    "segment_scene",
    "write_prompts",
]

_HOMES = {
    "draft": ("Draft",),
    "draft_prompts": ("draft_of", "prompt_of"),
    "embedding_memory": ("EmbeddingMemory",),
    "errors": ("GeosamError",),
    "geobox": ("GeoBox", "Window"),
    "layers": ("PolygonLayer", "read_polygons"),
    "masks": ("MaskSet",),
    "models.registry": ("load_segmenter",),
    "pipeline": ("RunOptions", "embed_scene", "segment_prompts", "segment_scene"),
    "prompt_layer": ("read_prompts", "write_prompts"),
    "prompts": ("PixelPrompts", "Prompt", "Steps"),
    "scene": ("Scene", "Tile", "open_scene"),
    "segmenter": ("Embedding", "KeepRule", "ModelSpec", "Segmenter"),
    "session": ("Answer", "FoundObject", "Session"),
    "store": ("EmbeddingStore",),
    "summaries": ("EmbedSummary", "RunSummary"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'geosam' has no attribute {name!r}")
    return getattr(import_module(f"geosam.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
