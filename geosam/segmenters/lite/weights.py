"""Weights of geosam_lite in files: safetensors that say what they are and whether they are whole.

Convolution and linear weights are float16, all else is float32, and batch norms are not folded, so that they can be
trained further. The metadata are one entry, `geosam`, a JSON object with `name`, `format`, `licence`, `shape` (of the
encoder), `digest` (of all tensors) and whatever the writer adds. Equal weights and words give equal bytes.
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

#: The model's name in the registry, and of every file with its weights.
NAME: Final = "geosam_lite"
#: Of the metadata, and of what the tensors mean.
FORMAT: Final = 1
LICENCE: Final = "Apache-2.0"
#: The entry of the metadata; safetensors gives several of them in no fixed order.
_FACTS: Final = "geosam"
#: What :func:`save` says itself.
_OWN: Final = ("name", "format", "licence", "shape", "digest")


def shipped_path() -> Path:
    """The weights that come with the package.

    Raises:
        CheckpointNotFound: this copy of the package has none.
    """
    path = manifest_path().with_name(f"{NAME}.safetensors")
    if not is_there(path):
        raise CheckpointNotFound(
            f"the weights of {NAME} are missing: {path}: they come with the package. Install geosam again, or name a "
            "file of weights with --model"
        )
    return path


def save(model: LiteModel, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a network's weights; the file appears whole or not at all.

    Args:
        model: in training or evaluation mode, norms not folded.
        path: replaced if it exists.
        metadata: what else the file shall say about itself.

    Raises:
        ValueError: the norms are folded, weights are no finite float16 numbers, or metadata that is written anyway.
        OSError: the file cannot be written.
    """
    tensors = {name: _stored(value) for name, value in _state(model).items()}
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"weights that are finite as {value.dtype} expected, got others in {name}")
    if taken := [key for key in _OWN if key in (metadata or {})]:
        raise ValueError(f"metadata besides {', '.join(_OWN)} expected, got {taken[0]!r}")
    own = (NAME, FORMAT, LICENCE, asdict(_shape_of(model)), _digest(tensors))
    facts = {**(metadata or {}), **dict(zip(_OWN, own, strict=True))}
    data = to_bytes(tensors, {_FACTS: json.dumps(facts, sort_keys=True)})
    path = Path(path)
    with whole_file(path, synced=True) as draft:
        draft.write_bytes(data)


def load(path: Path) -> LiteModel:
    """The network whose weights are in a file, as float32 in evaluation mode.

    Raises:
        CheckpointNotFound: there is no file.
        UnreadableCheckpoint: it is damaged or incomplete.
        CheckpointMismatch: it holds another network.
    """
    path = Path(path)
    if not is_there(path):
        raise CheckpointNotFound(f"the weights are missing: {path}: a file of {NAME} wanted. Check the path")
    facts = facts_of(path)
    if facts is None:
        raise CheckpointMismatch(f"the checkpoint is of another network: {path}: {NAME} wanted. Name another file")
    if facts.get("format") != FORMAT:
        raise CheckpointMismatch(
            f"the checkpoint is of another version: {path}: format {facts.get('format')!r} found, {FORMAT!r} wanted. "
            "Update geosam, or use a file of this version"
        )
    with safe_open(path, "pt") as file:
        if _digest({name: file.get_tensor(name) for name in file.keys()}) != facts.get("digest"):  # noqa: SIM118
            raise refusal(path, "is damaged", "its tensors are not those that were written")
    model = _built(path, facts.get("shape"))
    state = read_state_dict(path, again=True)
    found = {name: tuple(value.shape) for name, value in state.items()}
    wanted = {name: tuple(value.shape) for name, value in _state(model).items()}
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            told = found.get(name, "nothing"), wanted.get(name, "nothing")
            raise CheckpointMismatch(
                f"the tensors do not fit the network: {path}: {name}: {told[0]} found, {told[1]} wanted. {AGAIN}"
            )
    model.load_state_dict(state)
    return model.eval()


def facts_of(path: Path) -> dict[str, Any] | None:
    """What a file says about itself if it holds weights of this network; None if it is anything else.

    Raises:
        UnreadableCheckpoint: it is no readable file, or a damaged one.
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
    """The network of a shape, with any weights."""
    try:
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in shape.items()}
        with torch.random.fork_rng(devices=[]):
            return LiteModel(EncoderShape(**fields))
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError, ArithmeticError) as error:
        raise refusal(path, "is damaged", f"its metadata give no shape of an encoder: {shape!r}") from error


def _shape_of(model: LiteModel) -> EncoderShape:
    """The shape that a network was built with."""
    encoder = model.encoder
    tensors = {name: value.shape[0] for name, value in encoder.named_parameters()}
    return EncoderShape(
        tensors["stem.conv.weight"],
        tuple(tensors[f"stages.{number}.0.second.conv.weight"] for number in range(len(encoder.stages))),
        tuple(len(list(stage.children())) for stage in encoder.stages),
        tuple(tensors[f"smooth.{number}.conv.weight"] for number in range(len(encoder.smooth))),
    )


def _state(model: LiteModel) -> dict[str, Tensor]:
    """The tensors of a network by name."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise ValueError("a network with batch norms expected, got one whose norms are folded")
    return model.state_dict()


def _stored(value: Tensor) -> Tensor:
    """A tensor as it is kept: matrices and kernels in half precision."""
    half = value.is_floating_point() and value.ndim > 1
    return value.detach().cpu().to(torch.float16 if half else value.dtype).contiguous()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Of names, kinds, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
