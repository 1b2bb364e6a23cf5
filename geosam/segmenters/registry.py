"""The models by name, of geosam's own families and of other packages.

A model's segmenter is imported when the model is loaded, so that listing the names costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from geosam import segmenters
from geosam.errors import CheckpointMismatch, DeviceUnavailable, GeosamError, ModelError, UnknownModel, UsageError
from geosam.segmenters.family import ComputeRequest, Family, ModelInfo
from geosam.segmenters.segmenter import Embeds
from geosam.segmenters.third_party import third_party

if TYPE_CHECKING:
    from geosam.segmenters.compute import Backend, Device, Precision
    from geosam.segmenters.segmenter import Segmenter

#: Extensions of files that hold weights.
WEIGHTS = (".pth", ".pt", ".safetensors")


class Registry(Mapping[str, ModelInfo]):
    """Every model by its name, the default first. Models of other packages come last."""

    def __getitem__(self, name: str) -> ModelInfo:
        return self.family_of(name).models[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._others

    def __len__(self) -> int:
        return len(self._own) + len(self._others)

    @property
    def families(self) -> tuple[Family, ...]:
        """All families, geosam's own first."""
        return tuple(dict.fromkeys([*self._own.values(), *third_party().families.values()]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about packages whose models cannot be used."""
        taken = [
            f"the model {name} of the family {family.name} cannot be used: another family has a model of that name."
            for family in third_party().families.values()
            for name in family.models
            if (self._own | self._others).get(name) is not family
        ]
        return (*third_party().broken.values(), *taken)

    def family_of(self, name: str) -> Family:
        """Return the family of a model.

        Raises:
            KeyError: there is no such model.
        """
        # geosam's own come first: to load one of them, no other package is imported
        return self._own[name] if name in self._own else self._others[name]

    @cached_property
    def _own(self) -> dict[str, Family]:
        # a new folder with a module `family` is found here, so that adding one changes no other file
        folders = {path.parent.name for place in segmenters.__path__ for path in Path(place).glob("*/family.py")}
        families: list[Family] = [
            import_module(f"{segmenters.__name__}.{folder}.family").FAMILY for folder in sorted(folders)
        ]
        families.sort(key=lambda family: family.rank)
        return {name: family for family in families for name in family.models}

    @property
    def _others(self) -> dict[str, Family]:
        models: dict[str, Family] = {}
        for family in third_party().families.values():
            models |= {name: family for name in family.models if name not in self._own and name not in models}
        return models


#: The models that can be loaded.
registry = Registry()


def load_segmenter(
    name: str, device: Device = "auto", precision: Precision = "auto", backend: Backend = "auto"
) -> Segmenter:
    """Load the segmenter registered as `name`, or the network whose weights are in the file `name`.

    Args:
        name: one of `registry`, or the path of a checkpoint (.pth, .pt, .safetensors). Tensors of the SAM family may
            have their official names, or those of Hugging Face Transformers.
        device: `auto` takes CUDA if there is one.
        precision: precision of a network. `auto` takes bf16 where the hardware has it.
        backend: backend of a network's image encoder. `auto` takes PyTorch.

    Raises:
        UnknownModel: no model has that name, and it is no file of weights.
        UsageError: `precision` or `backend` is set for a model that is no network.
        DeviceUnavailable: the model does not run that way.
        CheckpointError: the weights are missing or cannot be used.
        ModelError: the package that offers the model is broken.
    """
    request = ComputeRequest(device, precision, backend)
    if name in registry:  # a name wins over a file of that name
        _check_request(name, registry[name], request)
        return _loaded(registry.family_of(name), name, request)
    if Path(name).suffix.lower() in WEIGHTS:
        return _from_file(Path(name), request)
    raise _unknown(name)


def _check_request(name: str, info: ModelInfo, request: ComputeRequest) -> None:
    """Refuse a device that the model cannot use, and a precision or backend for a model that is no network.

    Raises:
        DeviceUnavailable: the model cannot use the device.
        UsageError: the model is no network, and `precision` or `backend` is set.
    """
    if request.device not in ("auto", *info.devices):
        raise DeviceUnavailable(
            f"the model {name} cannot use the device: `device`: found {request.device!r}, expected "
            f"{' or '.join(info.devices)}.",
            remedy=f"Leave `device` out, or set it to {info.devices[0]}.",
            code="device-not-supported",
            model=name,
            device=request.device,
            devices=list(info.devices),
        )
    for parameter, value in (("precision", request.precision), ("backend", request.backend)):
        if value != "auto" and not info.backends:
            raise UsageError(
                f"the model {name} is no network: `{parameter}`: found {value!r}, expected none.",
                remedy=f"Leave `{parameter}` out.",
                code="model-is-no-network",
                model=name,
                parameter=parameter,
                value=value,
            )


def _loaded(family: Family, name: str, request: ComputeRequest) -> Segmenter:
    """Load a model. Turn errors of another package's code into a ModelError.

    Raises:
        ModelError: the family of another package fails, or returns no segmenter.
    """
    try:
        segmenter = family.load(name, request)
    except GeosamError:  # already a message for users
        raise
    except Exception as error:
        if family not in third_party().families.values():
            raise  # a bug of geosam: the traceback is needed
        raise _failure(name, f"{type(error).__name__}: {error}") from error
    if not isinstance(segmenter, Embeds):
        raise _failure(name, f"found {type(segmenter).__name__}, expected a segmenter")
    return segmenter


def _failure(name: str, reason: str) -> ModelError:
    return ModelError(
        f"the model {name} cannot be loaded: {reason}.",
        remedy="Reinstall or update the package that offers the model, or choose another `model`.",
        code="model-package-broken",
        model=name,
        reason=reason,
    )


def _from_file(path: Path, request: ComputeRequest) -> Segmenter:
    """Load the model to which a file of weights belongs.

    Raises:
        CheckpointError: the file cannot be read, or no family recognises it.
        DeviceUnavailable: the machine cannot compute that way.
    """
    from geosam.segmenters.compute import choose
    from geosam.segmenters.weights.tensor_file import TensorFile

    choose(*request)  # refuses what the machine cannot do before a large file is read
    file = TensorFile(path)
    for family in registry.families:
        if family.load_file is not None and family.recognise(file) is not None:
            return family.load_file(file, request)
    names = ", ".join(name for family in registry.families if family.load_file is not None for name in family.models)
    raise CheckpointMismatch(
        f"the checkpoint is of another network: {path}: found an unknown network, expected one of {names}.",
        remedy="Name another file.",
        code="checkpoint-of-unknown-network",
        path=str(path),
    )


def _unknown(name: str) -> GeosamError:
    """Return the error for a name that no model has. The package of such a model may be installed but broken."""
    for family, sentence in third_party().broken.items():
        if name.startswith(family):
            return ModelError(
                sentence,
                remedy="Reinstall or update the package, or choose another `model`.",
                code="model-package-broken",
                model=name,
                reason=sentence,
            )
    return UnknownModel(
        f"unknown model: found {name!r}, expected one of {', '.join(registry)} or a file ({', '.join(WEIGHTS)}).",
        remedy="Run `geosam models` for the list.",
        code="unknown-model",
        model=name,
        models=list(registry),
    )
