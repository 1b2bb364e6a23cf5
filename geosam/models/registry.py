"""The models by name: what each of them is, where it runs, and how it is built.

A model's module is imported when the model is loaded, so that listing the names costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geosam.errors import DeviceUnavailable, UnknownModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geosam.segmenter import Segmenter


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be loaded."""

    description: str
    """What it finds, in one line."""
    devices: tuple[str, ...]
    """The devices it runs on; `auto` takes the first."""
    build: Callable[[str], Segmenter]
    """Device -> segmenter."""


def load_segmenter(name: str, device: str = "auto") -> Segmenter:
    """The segmenter registered as `name`, ready to run on `device` (`auto`, `cpu` or `cuda`).

    Raises:
        UnknownModel: no model has that name.
        DeviceUnavailable: the model does not run on that device.
    """
    if name not in registry:
        known = ", ".join(registry)
        raise UnknownModel(f"unknown model: {name!r}, one of {known} wanted. Run `geosam models` for the list.")
    info = registry[name]
    if device not in ("auto", *info.devices):
        able = " or ".join(info.devices)
        raise DeviceUnavailable(
            f"the model {name} cannot use the device: {device!r}, {able} wanted. "
            f"Use --device {info.devices[0]} or leave the option out."
        )
    return info.build(info.devices[0] if device == "auto" else device)


def _threshold(device: str) -> Segmenter:
    from geosam.testing import ThresholdSegmenter

    del device
    return ThresholdSegmenter()


def _regions(device: str) -> Segmenter:
    from geosam.models.regions import RegionsSegmenter

    del device
    return RegionsSegmenter()


#: Every model by its name, the default first.
registry: Mapping[str, ModelInfo] = {
    "regions": ModelInfo("regions of even colour, merged step by step; needs no weights", ("cpu",), _regions),
    "threshold": ModelInfo("areas of exactly equal colour, for flat pictures and tests", ("cpu",), _threshold),
}
