"""The entries of the SAM family in the list of models, one for each official checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geosam.segmenters.family import Family, ModelInfo
from geosam.segmenters.weights.manifest import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geosam.segmenters.family import ComputeRequest
    from geosam.segmenters.sam.segmenter import SamSegmenter
    from geosam.segmenters.weights.tensor_file import TensorFile

#: Description of the models by the family that the manifest states.
_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "sam": "Segment Anything",
    "mobile_sam": "MobileSAM, small and fast",
    "sam2": "Segment Anything 2",
    "sam2.1": "Segment Anything 2.1",
    "sam_hq": "HQ-SAM, finer outlines",
}


def _load(name: str, request: ComputeRequest) -> SamSegmenter:
    from geosam.segmenters.compute import choose
    from geosam.segmenters.sam.loader import SamLoader

    return SamLoader(choose(*request), name)()


def _recognise(file: TensorFile) -> str | None:
    from geosam.segmenters.sam.identity import identify

    identity = identify(file.shapes)
    return None if identity is None else identity.variant


def _load_file(file: TensorFile, request: ComputeRequest) -> SamSegmenter:
    from geosam.segmenters.compute import choose
    from geosam.segmenters.sam.loader import SamLoader

    return SamLoader(choose(*request), None, file.path).load(file)


FAMILY: Final = Family(
    name="sam",
    models={
        name: ModelInfo(
            _DESCRIPTIONS[checkpoint.family],
            devices=("cpu", "cuda"),
            backends=("torch", "openvino"),
            licence=checkpoint.licence,
            size_bytes=checkpoint.bytes,
        )
        for name, checkpoint in manifest.items()
    },
    load=_load,
    recognise=_recognise,
    load_file=_load_file,
    rank=3,
)
