"""The models by name: what each of them is, where it runs, and how it is built.

A model's module is imported when the model is loaded, so that listing the names costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geosam.errors import DeviceUnavailable, UnknownModel, UsageError
from geosam.segmenters.weights.manifest import manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geosam.segmenters.compute import Backend, Device, Precision
    from geosam.segmenters.segmenter import Segmenter

#: Files that hold weights.
WEIGHTS = (".pth", ".pt", ".safetensors")


class Wanted(NamedTuple):
    """How a model shall compute; `auto` leaves it to the machine."""

    device: Device = "auto"
    precision: Precision = "auto"
    backend: Backend = "auto"


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be loaded."""

    description: str
    """What it is, in one line."""
    devices: tuple[str, ...]
    """The devices it runs on."""
    build: Callable[[Wanted], Segmenter]
    """How it shall compute -> segmenter."""


def load_segmenter(
    name: str, device: Device = "auto", precision: Precision = "auto", backend: Backend = "auto"
) -> Segmenter:
    """The segmenter registered as `name`, or the network whose weights lie in the file `name`, ready to run.

    Args:
        name: one of `registry`, or the path of a checkpoint (.pth, .pt, .safetensors) with official names or those of
            Hugging Face Transformers.
        device: `auto` takes CUDA if there is one.
        precision: of a network; `auto` takes bf16 where the hardware has it.
        backend: of a network's image encoder; `auto` takes PyTorch.

    Raises:
        UnknownModel: no model has that name, and it is no file of weights.
        UsageError: a precision or backend was named for a model that is no network.
        DeviceUnavailable: the model does not run that way.
        CheckpointError: the weights are missing or cannot be used.
    """
    wanted = Wanted(device, precision, backend)
    if name in registry:
        info = registry[name]
        if device not in ("auto", *info.devices):
            able = " or ".join(info.devices)
            raise DeviceUnavailable(
                f"the model {name} cannot use the device: {device!r}, {able} wanted. "
                f"Use --device {info.devices[0]} or leave the option out."
            )
        return info.build(wanted)
    if Path(name).suffix.lower() in WEIGHTS:
        return _network(wanted, path=Path(name))
    known = ", ".join(registry)
    raise UnknownModel(
        f"unknown model: {name!r}, one of {known} or a file ({', '.join(WEIGHTS)}) wanted. "
        "Run `geosam models` for the list."
    )


def _plain(name: str, wanted: Wanted) -> None:
    """Refuse what only networks have.

    Raises:
        UsageError: naming the option.
    """
    for option, value in (("--precision", wanted.precision), ("--backend", wanted.backend)):
        if value != "auto":
            raise UsageError(f"the model {name} is no network: {option}: {value!r}. Leave the option out.")


def _threshold(wanted: Wanted) -> Segmenter:
    from geosam.segmenters.threshold import ThresholdSegmenter

    _plain("threshold", wanted)
    return ThresholdSegmenter()


def _regions(wanted: Wanted) -> Segmenter:
    from geosam.segmenters.regions.segmenter import RegionsSegmenter

    _plain("regions", wanted)
    return RegionsSegmenter()


def _network(wanted: Wanted, variant: str | None = None, path: Path | None = None) -> Segmenter:
    from geosam.segmenters.compute import choose
    from geosam.segmenters.networks import Network

    return Network(choose(*wanted), variant, path)()


#: What the checkpoints of a family are.
_FAMILIES: Mapping[str, str] = {
    "sam": "Segment Anything",
    "mobile_sam": "MobileSAM, small and fast",
    "sam2": "Segment Anything 2",
    "sam2.1": "Segment Anything 2.1",
    "sam_hq": "HQ-SAM, finer outlines",
}


#: Every model by its name, the default first.
registry: Mapping[str, ModelInfo] = {
    "geosam_lite": ModelInfo(
        "geosam's own network, small and fast; its weights come with the package",
        ("cpu", "cuda"),
        partial(_network, variant="geosam_lite"),
    ),
    "regions": ModelInfo("regions of even colour, merged step by step; needs no weights", ("cpu",), _regions),
    "threshold": ModelInfo("areas of exactly equal colour, for flat pictures and tests", ("cpu",), _threshold),
    **{
        name: ModelInfo(_FAMILIES[found.family], ("cpu", "cuda"), partial(_network, variant=name))
        for name, found in manifest.items()
    },
}
