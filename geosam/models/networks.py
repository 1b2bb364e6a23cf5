"""From a checkpoint to a segmenter: the networks of the SAM family, by name or by file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from geosam.errors import CheckpointMismatch
from geosam.models.checkpoints import check_file, checkpoint_folder, checkpoint_path, sha256_of
from geosam.models.compute import Compute, arithmetic, keep_freed_memory
from geosam.models.identify import identify
from geosam.models.manifest import manifest
from geosam.models.reading import read_state_dict
from geosam.models.sam.build import VARIANTS, load
from geosam.models.sam.huggingface import official_names
from geosam.models.sam.segmenter import INPUT_SIZE, PICTURES, SamSegmenter
from geosam.segmenter import ModelSpec

if TYPE_CHECKING:
    from geosam.models.sam.model import SamModel

#: Part of every fingerprint: changes when geosam's own arithmetic does.
_REVISION = 1


@dataclass(frozen=True)
class Network:
    """What is needed to load a network here or in another process: calling it gives the segmenter."""

    compute: Compute
    """Where and how it computes."""
    variant: str | None
    """A name of `VARIANTS`; None for whatever the file is."""
    path: Path | None = None
    """A file of the user; None for the official checkpoint of the variant."""
    sha256: str | None = None
    """Of the file, once it was loaded: another process must find the same bytes."""

    def __call__(self) -> SamSegmenter:
        """Load it.

        Raises:
            CheckpointError: the file is missing, damaged, or of another network.
            DeviceUnavailable: the machine cannot compute that way.
        """
        path = self.path or checkpoint_path(str(self.variant))
        check_file(path)
        # checkpoint_path has just compared an official file with the manifest
        sha256 = (manifest[str(self.variant)].sha256 if self.path is None else None) or sha256_of(path)
        if self.sha256 not in (None, sha256):
            raise CheckpointMismatch(
                f"the checkpoint has changed during the run: {path}: SHA-256 {sha256} found, {self.sha256} wanted. "
                "Leave the file alone while it is in use; the next run starts anew"
            )
        keep_freed_memory()
        state = read_state_dict(path, again=self.sha256 is not None)
        identity = identify({name: tuple(value.shape) for name, value in state.items()})
        if identity is None or (self.variant is not None and identity.variant != self.variant):
            raise CheckpointMismatch(
                f"the checkpoint is of another network: {path}: {identity.variant if identity else 'none of ours'} "
                f"found, {self.variant or 'one of ' + ', '.join(VARIANTS)} wanted. "
                "Name the model it belongs to, or another file"
            )
        official = state if identity.layout == "official" else official_names(state, str(path))
        weights = f"{identity.variant}-{sha256[:16]}"
        model = _placed(load(VARIANTS[identity.variant], official, str(path)), self.compute, weights)
        spec = ModelSpec(
            name=identity.variant if self.path is None else f"{identity.variant}/{path.stem}",
            fingerprint=f"{weights}-{self.compute}-{arithmetic(self.compute)}-{_REVISION}",
            input_size=INPUT_SIZE,
            batch_size=PICTURES[self.compute.device],
        )
        return SamSegmenter(model, self.compute, spec, replace(self, sha256=sha256))


def _placed(model: SamModel, compute: Compute, weights: str) -> SamModel:
    """The network where it computes, in its precision."""
    if compute.backend == "torch":
        return model.to(compute.device, compute.dtype)
    from geosam.models.openvino_encoder import OpenVinoEncoder

    converted = checkpoint_folder() / "openvino" / f"{weights}-{arithmetic(compute)}-{_REVISION}"
    model.image_encoder = OpenVinoEncoder(model.image_encoder, compute, converted)
    return model.to(compute.dtype)
