"""The entry of the regions model in the list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geosam.segmenters.family import Family, ModelInfo

if TYPE_CHECKING:
    from geosam.segmenters.family import ComputeRequest
    from geosam.segmenters.regions.segmenter import RegionsSegmenter


def _load(_: str, __: ComputeRequest) -> RegionsSegmenter:
    from geosam.segmenters.regions.segmenter import RegionsSegmenter

    return RegionsSegmenter()


FAMILY: Final = Family(
    name="regions",
    models={"regions": ModelInfo("regions of even colour, merged step by step; needs no weights")},
    load=_load,
    rank=1,
)
