"""Files of weights of geosam_lite: safetensors with metadata and a digest.

Convolution and linear weights are float16, everything else is float32. Batch norms are not folded, so that training can
go on. The metadata have one entry, `geosam`: a JSON object with `name`, `format`, `licence`, `shape` (of the encoder),
`digest` (of all tensors) and the entries that the writer adds. Equal weights and metadata give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import nn

from geosam.errors import CheckpointMismatch, CheckpointNotFound
from geosam.segmenters.lite.encoder import EncoderShape
from geosam.segmenters.lite.model import LiteModel
from geosam.segmenters.weights.containers import AGAIN, refusal, safetensors_metadata
from geosam.segmenters.weights.file_kind import Kind, kind_of
from geosam.segmenters.weights.folder import check_file, is_there
from geosam.segmenters.weights.manifest import manifest_path
from geosam.segmenters.weights.reading import read_state_dict
from geosam.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

#: Name of the model in the registry and in its files.
NAME: Final = "geosam_lite"
#: Version of the metadata and of the meaning of the tensors.
FORMAT: Final = 1
LICENCE: Final = "Apache-2.0"
#: The one entry of the metadata. Safetensors writes several entries in no fixed order, and bytes would differ.
_FACTS: Final = "geosam"
#: Metadata that :func:`save` writes itself.
_OWN: Final = ("name", "format", "licence", "shape", "digest")


def shipped_path() -> Path:
    """Return the file of weights that comes with the package.

    Raises:
        CheckpointNotFound: the package lacks the file.
    """
    path = manifest_path().with_name(f"{NAME}.safetensors")
    if not is_there(path):
        raise CheckpointNotFound(
            f"the weights of {NAME} are missing: {path}: they come with the package.",
            remedy="Install geosam again, or give a file of weights as `model`.",
            code="shipped-weights-missing",
            path=str(path),
        )
    return path


def save(model: LiteModel, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the weights of a network. The file appears complete or not at all.

    Args:
        model: network in training or evaluation mode, with batch norms that are not folded.
        path: file to write. It is replaced if it exists.
        metadata: further metadata of the file.

    Raises:
        ValueError: the norms are folded, a weight is not finite as float16, or `metadata` has a reserved name.
        OSError: the file cannot be written.
    """
    tensors = {name: _stored(value) for name, value in _state(model).items()}
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"weights: found values that are not finite as {value.dtype} in {name}, expected finite ones"
            )
    if reserved := [key for key in _OWN if key in (metadata or {})]:
        raise ValueError(f"metadata: found the reserved name {reserved[0]!r}, expected none of {', '.join(_OWN)}")
    own = (NAME, FORMAT, LICENCE, asdict(_shape_of(model)), _digest(tensors))
    facts = {**(metadata or {}), **dict(zip(_OWN, own, strict=True))}
    data = to_bytes(tensors, {_FACTS: json.dumps(facts, sort_keys=True)})
    path = Path(path)
    with whole_file(path, synced=True) as draft:
        draft.write_bytes(data)


def load(path: Path) -> LiteModel:
    """Read a network from a file, as float32 in evaluation mode.

    Raises:
        CheckpointNotFound: there is no file.
        UnreadableCheckpoint: the file is damaged or incomplete.
        CheckpointMismatch: the file holds another network.
    """
    path = Path(path)
    if not is_there(path):
        raise CheckpointNotFound(
            f"the weights are missing: {path}: found no file, expected one of {NAME}.",
            remedy="Check the path.",
            code="weights-missing",
            path=str(path),
        )
    facts = facts_of(path)
    if facts is None:
        raise CheckpointMismatch(
            f"the checkpoint is of another network: {path}: expected {NAME}.",
            remedy="Name another file.",
            code="weights-of-another-network",
            path=str(path),
        )
    if facts.get("format") != FORMAT:
        raise CheckpointMismatch(
            f"the checkpoint is of another version: {path}: found format {facts.get('format')!r}, expected {FORMAT!r}.",
            remedy="Update geosam, or use a file of this version.",
            code="weights-of-another-version",
            path=str(path),
            found=facts.get("format"),
            expected=FORMAT,
        )
    with safe_open(path, "pt") as file:
        if _digest({name: file.get_tensor(name) for name in file.keys()}) != facts.get("digest"):  # noqa: SIM118 - a safetensors file is no mapping: it cannot be iterated
            raise refusal(path, "is damaged", "its tensors are not those that were written")
    model = _built(path, facts.get("shape"))
    state = read_state_dict(path, again=True)
    _check_shapes(path, state, _state(model))
    model.load_state_dict(state)
    return model.eval()


def _check_shapes(path: Path, tensors: Mapping[str, Tensor], expected_tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors whose names or shapes are not those of the network.

    Raises:
        CheckpointMismatch: a name or a shape differs.
    """
    for name in {**expected_tensors, **tensors}:
        found, expected = (
            str(tuple(state[name].shape)) if name in state else "nothing" for state in (tensors, expected_tensors)
        )
        if found != expected:
            raise CheckpointMismatch(
                f"the tensors do not fit the network: {path}: {name}: found {found}, expected {expected}.",
                remedy=AGAIN,
                code="weights-do-not-fit",
                path=str(path),
                tensor=name,
                found=found,
                expected=expected,
            )


def facts_of(path: Path) -> dict[str, Any] | None:
    """Return the metadata of a file with weights of this network, None for any other file.

    Raises:
        UnreadableCheckpoint: the file cannot be read, or is damaged.
    """
    check_file(path)
    if kind_of(path) is not Kind.SAFETENSORS:
        return None
    metadata = safetensors_metadata(path)
    try:
        facts = json.loads(metadata[_FACTS])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("name") == NAME else None


def _built(path: Path, shape: Any) -> LiteModel:
    """Build a network from the shape in the metadata of a file. Its weights are arbitrary."""
    try:
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in shape.items()}
        with torch.random.fork_rng(devices=[]):  # loading must not draw from the caller's random numbers
            return LiteModel(EncoderShape(**fields))
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError, ArithmeticError) as error:
        raise refusal(path, "is damaged", f"its metadata give no shape of an encoder: {shape!r}") from error


def _shape_of(model: LiteModel) -> EncoderShape:
    """Return the shape with which a network was built."""
    encoder = model.encoder
    tensors = {name: value.shape[0] for name, value in encoder.named_parameters()}
    return EncoderShape(
        tensors["stem.conv.weight"],
        tuple(tensors[f"stages.{number}.0.second.conv.weight"] for number in range(len(encoder.stages))),
        tuple(len(list(stage.children())) for stage in encoder.stages),
        tuple(tensors[f"smooth.{number}.conv.weight"] for number in range(len(encoder.smooth))),
    )


def _state(model: LiteModel) -> dict[str, Tensor]:
    """Return the tensors of a network by name.

    Raises:
        ValueError: the norms are folded.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise ValueError("network: found one whose norms are folded, expected one with batch norms")
    return model.state_dict()


def _stored(value: Tensor) -> Tensor:
    """Return a tensor as files hold it: matrices and kernels in half precision."""
    half = value.is_floating_point() and value.ndim > 1
    return value.detach().cpu().to(torch.float16 if half else value.dtype).contiguous()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
