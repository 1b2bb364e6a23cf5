"""The entry of geosam_lite in the list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geosam.segmenters.family import Family, ModelInfo

if TYPE_CHECKING:
    from geosam.segmenters.family import ComputeRequest
    from geosam.segmenters.lite.segmenter import LiteSegmenter
    from geosam.segmenters.weights.tensor_file import TensorFile

#: The name under which `lite/weights` registers the network in its files, too. That module would import torch.
_NAME: Final = "geosam_lite"


def _load(name: str, request: ComputeRequest) -> LiteSegmenter:
    from geosam.segmenters.compute import choose
    from geosam.segmenters.lite.loader import LiteLoader

    return LiteLoader(choose(*request), name)()


def _recognise(file: TensorFile) -> str | None:
    from geosam.segmenters.lite.weights import facts_of

    return _NAME if facts_of(file.path) is not None else None


def _load_file(file: TensorFile, request: ComputeRequest) -> LiteSegmenter:
    from geosam.segmenters.compute import choose
    from geosam.segmenters.lite.loader import LiteLoader

    return LiteLoader(choose(*request), None, file.path).load(file)


FAMILY: Final = Family(
    name="geosam_lite",
    models={
        _NAME: ModelInfo(
            "geosam's own network, small and fast; its weights come with the package",
            devices=("cpu", "cuda"),
            backends=("torch",),
            licence="Apache-2.0",
        )
    },
    load=_load,
    recognise=_recognise,
    load_file=_load_file,
    rank=0,
)
