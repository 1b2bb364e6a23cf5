"""The value with which a folder of models registers itself.

Each folder below :mod:`geosam.segmenters` has a module `family` with one value `FAMILY`. Another package offers its
own by an entry point in the group `geosam.families`, for example in its pyproject.toml::

    [project.entry-points."geosam.families"]
    my_model = "my_package.family:FAMILY"

The module of a `FAMILY` is imported to list the models. So it imports torch, its segmenter and other heavy modules
inside its functions only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geosam.segmenters.compute import Backend, Device, Precision
    from geosam.segmenters.segmenter import Segmenter
    from geosam.segmenters.weights.tensor_file import TensorFile


class ComputeRequest(NamedTuple):
    """Requested device, precision and backend. `auto` leaves the choice to geosam, which checks the machine."""

    device: Device = "auto"
    precision: Precision = "auto"
    backend: Backend = "auto"


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model that are known before it is loaded."""

    description: str
    """Description in one line."""
    devices: tuple[str, ...] = ("cpu",)
    """Devices that the model can use."""
    backends: tuple[str, ...] = ()
    """Backends that can run the image encoder. Empty for a model that is no network: it has no precision either."""
    licence: str = ""
    """SPDX identifier of the licence of the weights."""
    size_bytes: int | None = None
    """Size of the weights, None if unknown or without weights."""
    classes: Mapping[int, str] = field(default_factory=dict)
    """Name of each class by its number, for a model that classifies."""


def _recognise_nothing(_: TensorFile) -> str | None:
    return None


@dataclass(frozen=True, eq=False)
class Family:
    """Models that one folder implements."""

    name: str
    """Name of the family. The names of its models should begin with it."""
    models: Mapping[str, ModelInfo]
    """The models by name, in the order of the list."""
    load: Callable[[str, ComputeRequest], Segmenter]
    """Loads a model by its name, ready to run. The device is one of the model's, or `auto`."""
    recognise: Callable[[TensorFile], str | None] = _recognise_nothing
    """Returns the name of the model to which a file of weights belongs, None for files of other families.

    It reads metadata, names and shapes only, never values. It raises no error about a file of another family.
    """
    load_file: Callable[[TensorFile, ComputeRequest], Segmenter] | None = None
    """Loads the model of a file that `recognise` has recognised."""
    rank: int = 10
    """Place in the list of models. Families of lower rank come first; so their `recognise` is also called first."""
