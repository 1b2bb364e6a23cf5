"""Loading of segmenters with a network of the SAM family from checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geosam.errors import CheckpointMismatch
from geosam.segmenters.compute import arithmetic
from geosam.segmenters.network_loader import REVISION, NetworkLoader
from geosam.segmenters.sam.build import VARIANTS, load
from geosam.segmenters.sam.huggingface import official_names
from geosam.segmenters.sam.identity import identify
from geosam.segmenters.sam.segmenter import PICTURES, SamSegmenter
from geosam.segmenters.weights.folder import checkpoint_folder, checkpoint_path

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from geosam.segmenters.compute import Compute
    from geosam.segmenters.sam.model import SamModel
    from geosam.segmenters.weights.tensor_file import TensorFile


@dataclass(frozen=True)
class SamLoader(NetworkLoader[SamSegmenter]):
    """Recipe for a network of the SAM family, with an official checkpoint or a file of the user."""

    def _official_path(self) -> Path:
        return checkpoint_path(str(self.model))

    def _build(self, file: TensorFile, again: Self) -> SamSegmenter:
        identity = identify(file.shapes)
        if identity is None or self.model not in (None, identity.variant):
            found = identity.variant if identity else "an unknown network"
            raise CheckpointMismatch(
                f"the checkpoint is of another network: {file.path}: found {found}, "
                f"expected {self.model or 'one of ' + ', '.join(VARIANTS)}.",
                remedy="Name the model that it belongs to, or another file.",
                code="checkpoint-of-another-network",
                path=str(file.path),
                found=found,
                expected=self.model,
            )
        tensors = file.tensors if identity.layout == "official" else official_names(file.tensors, str(file.path))
        spec = self._spec(identity.variant, file, again.sha256)
        weights = f"{identity.variant}-{str(again.sha256)[:16]}"
        model = _placed(load(VARIANTS[identity.variant], tensors, str(file.path)), self.compute, weights)
        spec = replace(spec, input_size=model.prompt_encoder.frame, batch_size=PICTURES[self.compute.device])
        return SamSegmenter(model, self.compute, spec, again)


def _placed(model: SamModel, compute: Compute, weights: str) -> SamModel:
    """Move the network to its device, in its precision, and its encoder to its backend."""
    if compute.backend == "torch":
        return model.to(compute.device, compute.dtype)
    from geosam.segmenters.sam.openvino_encoder import OpenVinoEncoder

    converted = checkpoint_folder() / "openvino" / f"{weights}-{arithmetic(compute)}-{REVISION}"
    model.image_encoder = OpenVinoEncoder(model.image_encoder, compute, converted)
    return model.to(compute.dtype)
