"""The entry of the exact segmenter in the list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geosam.segmenters.family import Family, ModelInfo

if TYPE_CHECKING:
    from geosam.segmenters.family import ComputeRequest
    from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


def _load(_: str, __: ComputeRequest) -> ThresholdSegmenter:
    from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

    return ThresholdSegmenter()


FAMILY: Final = Family(
    name="threshold",
    models={"threshold": ModelInfo("areas of exactly equal colour, for flat pictures and tests")},
    load=_load,
    rank=2,
)
