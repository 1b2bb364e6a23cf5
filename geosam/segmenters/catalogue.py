"""The list of models for people: what they are, where they run, and whether their weights are on this machine."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from geosam.segmenters.registry import registry
from geosam.segmenters.weights.folder import checkpoint_folder, is_there
from geosam.segmenters.weights.manifest import manifest

if TYPE_CHECKING:
    from geosam.segmenters.weights.manifest import Checkpoint

#: Columns of the printed list.
_HEAD = ("model", "description", "devices", "weights")


@dataclass(frozen=True)
class Model:
    """Facts about one model."""

    name: str
    """Name, for `model` of the other functions."""
    description: str
    """Description in one line."""
    devices: tuple[str, ...]
    """Devices that it runs on; empty for a checkpoint that no model of this version uses."""
    licence: str = ""
    """SPDX identifier of the licence of the weights."""
    checkpoint: Mapping[str, Any] | None = None
    """Official file of the weights: path, present, bytes, sha256, attested, licence, url. None without one."""

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "devices": list(self.devices),
            "licence": self.licence,
            "checkpoint": None if self.checkpoint is None else dict(self.checkpoint),
        }

    @property
    def weights(self) -> str:
        """State of the weights in words."""
        if self.checkpoint is None:
            return "ready"
        size = f", {self.checkpoint['bytes'] / 1e6:,.0f} MB" if self.checkpoint["bytes"] else ""
        return f"{'present' if self.checkpoint['present'] else 'not downloaded'}{size}"


class Models(Mapping[str, Model]):
    """All models by name, the default first; prints as a table."""

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about packages whose models cannot be used."""
        return registry.warnings

    @cached_property
    def _models(self) -> dict[str, Model]:
        runnable = {
            name: Model(name, info.description, info.devices, info.licence, _checkpoint(manifest.get(name)))
            for name, info in registry.items()
        }
        unused = {
            name: Model(
                name, "checkpoint only, no model of this version runs it", (), entry.licence, _checkpoint(entry)
            )
            for name, entry in manifest.items()
            if name not in runnable
        }
        return runnable | unused

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def __repr__(self) -> str:
        rows = [_HEAD, *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for model in self.values():
            yield model.name, model.description, ", ".join(model.devices), model.weights

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _HEAD)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in self._rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _checkpoint(entry: Checkpoint | None) -> dict[str, Any] | None:
    """Return the facts about an official checkpoint, see :attr:`Model.checkpoint`."""
    if entry is None:
        return None
    path = checkpoint_folder() / entry.file
    present = is_there(path)
    return {
        "path": str(path),
        "present": present,
        "bytes": path.stat().st_size if present else entry.bytes,
        "sha256": entry.sha256,
        "attested": entry.attested,
        "licence": entry.licence,
        "url": entry.url,
    }
