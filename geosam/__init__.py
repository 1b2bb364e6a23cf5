"""geosam: georeferenced imagery into clean polygons.

The public names are resolved when they are first used: importing the package imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geosam._version import __version__ as __version__

if TYPE_CHECKING:
    from geosam.api import evaluate, finetune, models, preview, segment, session
    from geosam.errors import GeosamError
    from geosam.geometry.geobox import GeoBox, Window
    from geosam.objects.click_session import ClickSession
    from geosam.objects.embeddings.memory import EmbeddingMemory
    from geosam.objects.embeddings.store import EmbeddingStore
    from geosam.objects.observer import Observer
    from geosam.objects.session import Answer, FoundObject, Session
    from geosam.prompts.draft import Draft
    from geosam.prompts.from_draft import draft_of, prompt_of
    from geosam.prompts.layer import read_prompts, write_prompts
    from geosam.prompts.prompt import Prompt, Steps
    from geosam.run.embedding import embed_scene
    from geosam.run.executor import Executor
    from geosam.run.options import RunOptions
    from geosam.run.pipeline import segment_prompts, segment_scene
    from geosam.run.result import Result
    from geosam.run.summaries import EmbedSummary, RunSummary
    from geosam.scene import Scene, Tile, open_scene
    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.registry import load_segmenter
    from geosam.segmenters.segmenter import (
        Classifies,
        Embedding,
        Embeds,
        KeepRule,
        ModelSpec,
        Prompted,
        Proposes,
        Segmenter,
    )
    from geosam.vector.polygons import PolygonLayer, read_polygons


__all__ = [
    "Answer",
    "Classifies",
    "ClickSession",
    "Draft",
    "EmbedSummary",
    "Embedding",
    "EmbeddingMemory",
    "EmbeddingStore",
    "Embeds",
    "Executor",
    "FoundObject",
    "GeoBox",
    "GeosamError",
    "KeepRule",
    "MaskSet",
    "ModelSpec",
    "Observer",
    "PixelPrompts",
    "PolygonLayer",
    "Prompt",
    "Prompted",
    "Proposes",
    "Result",
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
    "evaluate",
    "finetune",
    "load_segmenter",
    "models",
    "open_scene",
    "preview",
    "prompt_of",
    "read_polygons",
    "read_prompts",
    "segment",
    "segment_prompts",
    "segment_scene",
    "session",
    "write_prompts",
]

#: Public names by the module that defines them: a table, so that the list of names needs no import.
_HOMES = {
    "api": ("evaluate", "finetune", "models", "preview", "segment", "session"),
    "errors": ("GeosamError",),
    "geometry.geobox": ("GeoBox", "Window"),
    "objects.click_session": ("ClickSession",),
    "objects.embeddings.memory": ("EmbeddingMemory",),
    "objects.embeddings.store": ("EmbeddingStore",),
    "objects.observer": ("Observer",),
    "objects.session": ("Answer", "FoundObject", "Session"),
    "prompts.draft": ("Draft",),
    "prompts.from_draft": ("draft_of", "prompt_of"),
    "prompts.layer": ("read_prompts", "write_prompts"),
    "prompts.prompt": ("Prompt", "Steps"),
    "run.embedding": ("embed_scene",),
    "run.executor": ("Executor",),
    "run.options": ("RunOptions",),
    "run.pipeline": ("segment_prompts", "segment_scene"),
    "run.result": ("Result",),
    "run.summaries": ("EmbedSummary", "RunSummary"),
    "scene": ("Scene", "Tile", "open_scene"),
    "segmenters.masks": ("MaskSet",),
    "segmenters.pixel_prompts": ("PixelPrompts",),
    "segmenters.registry": ("load_segmenter",),
    "segmenters.segmenter": (
        "Classifies",
        "Embedding",
        "Embeds",
        "KeepRule",
        "ModelSpec",
        "Prompted",
        "Proposes",
        "Segmenter",
    ),
    "vector.polygons": ("PolygonLayer", "read_polygons"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'geosam' has no attribute {name!r}")
    return getattr(import_module(f"geosam.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
