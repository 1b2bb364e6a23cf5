"""From a checkpoint to a segmenter: geosam_lite and the networks of the SAM family, by name or by file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from geosam.errors import CheckpointMismatch, DeviceUnavailable
from geosam.segmenters.compute import Compute, arithmetic, keep_freed_memory
from geosam.segmenters.lite import weights as lite
from geosam.segmenters.lite.segmenter import KEEP, LiteSegmenter
from geosam.segmenters.lite.segmenter import PICTURES as LITE_PICTURES
from geosam.segmenters.sam.build import VARIANTS, load
from geosam.segmenters.sam.huggingface import official_names
from geosam.segmenters.sam.segmenter import PICTURES, SamSegmenter
from geosam.segmenters.segmenter import ModelSpec
from geosam.segmenters.weights.folder import check_file, checkpoint_folder, checkpoint_path, sha256_of
from geosam.segmenters.weights.identify import identify
from geosam.segmenters.weights.manifest import manifest
from geosam.segmenters.weights.reading import read_state_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from geosam.segmenters.sam.model import SamModel
    from geosam.segmenters.segmenter import Segmenter

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

    def __call__(self) -> Segmenter:
        """Load it.

        Raises:
            CheckpointError: the file is missing, damaged, or of another network.
            DeviceUnavailable: the machine cannot compute that way.
        """
        path = self.path or (lite.shipped_path() if self.variant == lite.NAME else checkpoint_path(str(self.variant)))
        check_file(path)
        # checkpoint_path has just compared an official file with the manifest
        attested = manifest[str(self.variant)].sha256 if self.path is None and self.variant in manifest else None
        sha256 = attested or sha256_of(path)
        if self.sha256 not in (None, sha256):
            raise CheckpointMismatch(
                f"the checkpoint has changed during the run: {path}: SHA-256 {sha256} found, {self.sha256} wanted. "
                "Leave the file alone while it is in use; the next run starts anew"
            )
        keep_freed_memory()
        loaded = self._lite if lite.facts_of(path) is not None else self._sam
        return loaded(path, sha256)

    def _lite(self, path: Path, sha256: str) -> LiteSegmenter:
        """geosam_lite with the weights in a file."""
        if self.variant not in (None, lite.NAME):
            raise self._other(path, lite.NAME)
        if self.compute.backend == "openvino":
            raise DeviceUnavailable(
                f"{lite.NAME} does not run on OpenVINO: --backend: 'openvino', 'torch' or 'auto' wanted. "
                "Leave the option out."
            )
        spec = replace(self._spec(path, lite.NAME, sha256), batch_size=LITE_PICTURES[self.compute.device], keep=KEEP)
        return LiteSegmenter(lite.load(path), self.compute, spec, replace(self, sha256=sha256))

    def _sam(self, path: Path, sha256: str) -> SamSegmenter:
        """A network of the SAM family with the weights in a file."""
        state = read_state_dict(path, again=self.sha256 is not None)
        identity = identify({name: tuple(value.shape) for name, value in state.items()})
        if identity is None or self.variant not in (None, identity.variant):
            raise self._other(path, identity.variant if identity else "none of ours")
        official = state if identity.layout == "official" else official_names(state, str(path))
        spec = self._spec(path, identity.variant, sha256)
        weights = f"{identity.variant}-{sha256[:16]}"
        model = _placed(load(VARIANTS[identity.variant], official, str(path)), self.compute, weights)
        spec = replace(spec, input_size=model.prompt_encoder.frame, batch_size=PICTURES[self.compute.device])
        again = cast("Callable[[], SamSegmenter]", replace(self, sha256=sha256))
        return SamSegmenter(model, self.compute, spec, again)

    def _spec(self, path: Path, variant: str, sha256: str) -> ModelSpec:
        """What every network says about itself."""
        return ModelSpec(
            name=variant if self.path is None else f"{variant}/{path.stem}",
            fingerprint=f"{variant}-{sha256[:16]}-{self.compute}-{arithmetic(self.compute)}-{_REVISION}",
        )

    def _other(self, path: Path, found: str) -> CheckpointMismatch:
        return CheckpointMismatch(
            f"the checkpoint is of another network: {path}: {found} found, "
            f"{self.variant or 'one of ' + ', '.join((*VARIANTS, lite.NAME))} wanted. "
            "Name the model it belongs to, or another file"
        )


def _placed(model: SamModel, compute: Compute, weights: str) -> SamModel:
    """The network where it computes, in its precision."""
    if compute.backend == "torch":
        return model.to(compute.device, compute.dtype)
    from geosam.segmenters.openvino_encoder import OpenVinoEncoder

    converted = checkpoint_folder() / "openvino" / f"{weights}-{arithmetic(compute)}-{_REVISION}"
    model.image_encoder = OpenVinoEncoder(model.image_encoder, compute, converted)
    return model.to(compute.dtype)
