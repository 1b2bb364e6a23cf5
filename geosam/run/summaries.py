"""Summaries of runs, for people and for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunSummary:
    """Summary of :func:`geosam.run.pipeline.segment_scene` and :func:`~geosam.run.pipeline.segment_prompts`."""

    output: Path | None
    """The file that was written. None where the result stays in memory."""
    count: int
    """Number of objects in it."""
    too_small: int
    """Number of objects that `min_area_m2` left out."""
    tiles: int
    """Number of tiles, or of windows with prompts."""
    skipped_tiles: int
    """Number of tiles without a valid pixel."""
    resumed_tiles: int
    """Number of tiles that an interrupted run had finished."""
    failed_tiles: tuple[str, ...]
    """Name and error of each tile that is missing."""
    warnings: tuple[str, ...]
    """Sentences that the user should read."""
    seconds: float
    """Wall time in seconds."""

    def to_json(self) -> dict[str, Any]:
        """Return the summary as values that JSON can hold."""
        return _as_json(self)


@dataclass(frozen=True)
class EmbedSummary:
    """Summary of :func:`geosam.run.embedding.embed_scene`."""

    store: Path
    """Folder of the store."""
    tiles: int
    """Number of tiles of the region."""
    computed: int
    """Number of tiles whose embedding was computed."""
    reused: int
    """Number of tiles whose embedding the store had."""
    skipped: int
    """Number of tiles without a valid pixel; they have no embedding."""
    bytes: int
    """Size of the entries of all tiles."""
    failed_tiles: tuple[str, ...]
    """Name and error of each tile that is missing."""
    warnings: tuple[str, ...]
    """Sentences that the user should read."""
    seconds: float
    """Wall time in seconds."""

    def to_json(self) -> dict[str, Any]:
        """Return the summary as values that JSON can hold."""
        return _as_json(self)


def _as_json(summary: RunSummary | EmbedSummary) -> dict[str, Any]:
    plain = {Path: str, tuple: list}
    values = {**asdict(summary), "seconds": round(summary.seconds, 3)}  # milliseconds are enough for people
    return {
        name: next((turn(value) for kind, turn in plain.items() if isinstance(value, kind)), value)
        for name, value in values.items()
    }
