"""What calls of the pipeline did, for people and for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunSummary:
    """What a run did."""

    output: Path | None
    """The file that was written. None where the result stays in memory."""
    count: int
    """Objects in it."""
    too_small: int
    """Objects left out by `min_area_m2`."""
    tiles: int
    """Tiles, or windows with prompts."""
    skipped_tiles: int
    """Of these, the ones without a valid pixel."""
    resumed_tiles: int
    """Of these, the ones an interrupted run had done."""
    failed_tiles: tuple[str, ...]
    """What went wrong with each tile that was left out."""
    warnings: tuple[str, ...]
    """What the user should know."""
    seconds: float
    """Wall time."""

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON-able values."""
        return _as_json(self)


@dataclass(frozen=True)
class EmbedSummary:
    """What :func:`geosam.run.embedding.embed_scene` did."""

    store: Path
    """The store's folder."""
    tiles: int
    """Tiles that were asked for."""
    computed: int
    """Of these, the ones whose embedding was made."""
    reused: int
    """Of these, the ones the store had."""
    skipped: int
    """Of these, the ones without a valid pixel, which have no embedding."""
    bytes: int
    """What the entries of all of them take."""
    failed_tiles: tuple[str, ...]
    """What went wrong with each tile that was left out."""
    warnings: tuple[str, ...]
    """What the user should know."""
    seconds: float
    """Wall time."""

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON-able values."""
        return _as_json(self)


def _as_json(summary: RunSummary | EmbedSummary) -> dict[str, Any]:
    plain = {Path: str, tuple: list}
    values = {**asdict(summary), "seconds": round(summary.seconds, 3)}
    return {
        name: next((turn(value) for kind, turn in plain.items() if isinstance(value, kind)), value)
        for name, value in values.items()
    }
