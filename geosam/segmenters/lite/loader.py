"""Loading of geosam_lite from a file of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geosam.errors import DeviceUnavailable
from geosam.segmenters.lite.segmenter import KEEP, PICTURES, LiteSegmenter
from geosam.segmenters.lite.weights import NAME, load, shipped_path
from geosam.segmenters.network_loader import NetworkLoader

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from geosam.segmenters.weights.tensor_file import TensorFile


@dataclass(frozen=True)
class LiteLoader(NetworkLoader[LiteSegmenter]):
    """Recipe for geosam_lite, with the weights of the package or of a file."""

    def _official_path(self) -> Path:
        return shipped_path()

    def _build(self, file: TensorFile, again: Self) -> LiteSegmenter:
        if self.compute.backend == "openvino":
            raise DeviceUnavailable(
                f"{NAME} does not run on OpenVINO: `backend`: found 'openvino', expected 'torch' or 'auto'.",
                remedy="Leave `backend` out.",
                code="backend-not-supported",
                model=NAME,
                backend="openvino",
            )
        spec = self._spec(NAME, file, again.sha256)
        spec = replace(spec, batch_size=PICTURES[self.compute.device], keep=KEEP)
        return LiteSegmenter(load(file.path), self.compute, spec, again)
