"""The manifest of official checkpoints: where each comes from and which bytes it must have."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from geosam.errors import UnknownModel


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One official checkpoint."""

    name: str
    """The model it belongs to."""
    family: str
    """`sam`, `mobile_sam`, `sam2`, `sam2.1` or `sam_hq`."""
    url: str
    """Where its publisher offers it."""
    licence: str
    """SPDX identifier of the licence of the weights."""
    sha256: str | None = None
    """Hash of the file in hexadecimal; None where nobody has attested one."""
    attested: str | None = None
    """Who says that this is the hash."""
    bytes: int | None = None
    """Size of the file, where it is known."""

    @property
    def file(self) -> str:
        """The official file name."""
        return urlsplit(self.url).path.rpartition("/")[2]


def manifest_path() -> Path:
    """The manifest file: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parents[2]
    installed = package / "checkpoints" / "manifest.toml"
    return installed if installed.exists() else package.parent / "checkpoints" / "manifest.toml"


class _Manifest(Mapping[str, Checkpoint]):
    """The manifest file, read when it is first looked into."""

    @cached_property
    def _entries(self) -> dict[str, Checkpoint]:
        tables = tomllib.loads(manifest_path().read_text(encoding="utf-8"))
        return {name: Checkpoint(name=name, **fields) for name, fields in tables.items()}

    def __getitem__(self, name: str) -> Checkpoint:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


#: Every official checkpoint by the name of its model, in the order of the file.
manifest: Mapping[str, Checkpoint] = _Manifest()


def official(name: str) -> Checkpoint:
    """The checkpoint of the model `name`.

    Raises:
        UnknownModel: the manifest has no such model.
    """
    if name not in manifest:
        raise UnknownModel(
            f"no checkpoint of that name: {name!r}, one of {', '.join(manifest)} wanted. "
            "Run `geosam models` for the list."
        )
    return manifest[name]
