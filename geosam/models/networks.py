"""From a checkpoint to a segmenter: the networks of the SAM family, by name or by file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geosam.errors import CheckpointMismatch
from geosam.models.checkpoints import checkpoint_folder, checkpoint_path, sha256_of
from geosam.models.compute import Compute, keep_freed_memory
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

    def __call__(self) -> SamSegmenter:
        """Load it.

        Raises:
            CheckpointError: the file is missing, damaged, or of another network.
            DeviceUnavailable: the machine cannot compute that way.
        """
        keep_freed_memory()
        path = self.path or checkpoint_path(str(self.variant))
        state = read_state_dict(path)
        identity = identify({name: tuple(value.shape) for name, value in state.items()})
        if identity is None or (self.variant is not None and identity.variant != self.variant):
            raise CheckpointMismatch(
                f"the checkpoint is of another network: {path}: {identity.variant if identity else 'none of ours'} "
                f"found, {self.variant or 'one of ' + ', '.join(VARIANTS)} wanted. "
                "Name the model it belongs to, or another file"
            )
        official = state if identity.layout == "official" else official_names(state, str(path))
        model = load(VARIANTS[identity.variant], official, str(path))
        sha256 = _sha256(path, None if self.path else identity.variant)
        spec = ModelSpec(
            name=identity.variant if self.path is None else f"{identity.variant}/{path.stem}",
            fingerprint=f"{identity.variant}-{sha256[:16]}-{self.compute}-{_REVISION}",
            input_size=INPUT_SIZE,
            batch_size=PICTURES[self.compute.device],
        )
        return SamSegmenter(_placed(model, self.compute, f"{identity.variant}-{sha256[:16]}"), self.compute, spec, self)


def _sha256(path: Path, variant: str | None) -> str:
    """The file's hash; that of the manifest where the file has just been compared with it."""
    known = None if variant is None else manifest[variant].sha256
    return known or sha256_of(path)


def _placed(model: SamModel, compute: Compute, weights: str) -> SamModel:
    """The network where it computes, in its precision."""
    if compute.backend == "torch":
        return model.to(compute.device, compute.dtype)
    import openvino

    from geosam.models.openvino_encoder import OpenVinoEncoder

    converted = checkpoint_folder() / "openvino" / f"{weights}-{openvino.__version__.split('-')[0]}"
    model.image_encoder = OpenVinoEncoder(model.image_encoder, compute, converted)
    return model.to(compute.dtype)
