"""The recipe by which a network is loaded, in this process and again in others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from geosam.errors import CheckpointMismatch
from geosam.segmenters.compute import Compute, arithmetic, keep_freed_memory
from geosam.segmenters.segmenter import ModelSpec, Segmenter
from geosam.segmenters.weights.manifest import manifest
from geosam.segmenters.weights.tensor_file import TensorFile

if TYPE_CHECKING:
    from typing import Self

#: Part of every fingerprint. It changes when geosam's own arithmetic does.
REVISION = 1

S = TypeVar("S", bound=Segmenter)


@dataclass(frozen=True)
class NetworkLoader(ABC, Generic[S]):
    """Picklable recipe for a network. Calling it loads the segmenter."""

    compute: Compute
    """Device, precision and backend."""
    model: str | None
    """Name of the model; None for the model to which the file belongs."""
    path: Path | None = None
    """File of the user; None for the official checkpoint of the model."""
    sha256: str | None = None
    """Hash of the file after it was loaded once. Another process must find the same bytes."""

    def __call__(self) -> S:
        """Load the network.

        Raises:
            CheckpointError: the file is missing, damaged, or of another network.
            DeviceUnavailable: the machine cannot compute that way.
        """
        return self.load(TensorFile(self.path or self._official_path(), again=self.sha256 is not None))

    def load(self, file: TensorFile) -> S:
        """Load the network from a file that may have been read in part.

        Raises:
            CheckpointError: the file is damaged, or of another network.
            DeviceUnavailable: the machine cannot compute that way.
        """
        # `_official_path` has just compared an official file with the manifest, so it is not hashed again
        attested = manifest[str(self.model)].sha256 if self.path is None and self.model in manifest else None
        sha256 = attested or file.sha256
        if self.sha256 not in (None, sha256):
            raise CheckpointMismatch(
                f"the checkpoint has changed during the run: {file.path}: found SHA-256 {sha256}, "
                f"expected {self.sha256}.",
                remedy="Leave the file alone while it is in use. The next run starts anew.",
                code="checkpoint-changed",
                path=str(file.path),
                found=sha256,
                expected=self.sha256,
            )
        keep_freed_memory()  # before the first large block is taken
        return self._build(file, replace(self, sha256=sha256))

    @abstractmethod
    def _official_path(self) -> Path:
        """Return the path of the model's official checkpoint."""

    @abstractmethod
    def _build(self, file: TensorFile, again: Self) -> S:
        """Build the segmenter. `again` is the recipe that loads the same bytes in other processes."""

    def _spec(self, model: str, file: TensorFile, sha256: str | None) -> ModelSpec:
        """Return name and fingerprint of a network."""
        return ModelSpec(
            name=model if self.path is None else f"{model}/{file.path.stem}",
            fingerprint=f"{model}-{str(sha256)[:16]}-{self.compute}-{arithmetic(self.compute)}-{REVISION}",
        )
