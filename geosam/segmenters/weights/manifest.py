"""The manifest of official checkpoints: address, licence and hash of each."""

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
    """Name of its model."""
    family: str
    """One of `sam`, `mobile_sam`, `sam2`, `sam2.1` and `sam_hq`."""
    url: str
    """Address at its publisher."""
    licence: str
    """SPDX identifier of the licence of the weights."""
    sha256: str | None = None
    """SHA-256 of the file in hexadecimal; None if nobody has attested one."""
    attested: str | None = None
    """Source of the hash."""
    bytes: int | None = None
    """Size of the file; None if unknown."""

    @property
    def file(self) -> str:
        """Official name of the file."""
        return urlsplit(self.url).path.rpartition("/")[2]


def manifest_path() -> Path:
    """Return the path of the manifest: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parents[2]
    installed = package / "checkpoints" / "manifest.toml"
    # the wheel carries the folder of checkpoints inside the package
    return installed if installed.exists() else package.parent / "checkpoints" / "manifest.toml"


class _Manifest(Mapping[str, Checkpoint]):
    """Manifest file. It is read when it is first used: `geosam --help` needs no list of checkpoints."""

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


#: Official checkpoints by the name of the model, in the order of the file.
manifest: Mapping[str, Checkpoint] = _Manifest()


def official(name: str) -> Checkpoint:
    """Return the official checkpoint of the model `name`.

    Raises:
        UnknownModel: the manifest has no such model.
    """
    if name not in manifest:
        raise UnknownModel(
            f"no checkpoint of that name: found {name!r}, expected one of {', '.join(manifest)}.",
            remedy="Run `geosam models` for the list.",
            code="unknown-checkpoint",
            model=name,
            models=list(manifest),
        )
    return manifest[name]
