"""Tensors from files that may be damaged or hostile.

Pickles are read by PyTorch's restricted reader, which accepts tensors and plain containers only. No option turns this
off.
"""

from __future__ import annotations

import logging
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from geosam.errors import OutOfMemory
from geosam.segmenters.weights.containers import AGAIN, check_safetensors, check_zip, refusal
from geosam.segmenters.weights.file_kind import Kind, kind_of
from geosam.segmenters.weights.folder import is_attested

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

#: Keys under which training scripts put a state dictionary.
_WRAPPERS: Final = ("model", "state_dict")
#: Prefix of all names that `torch.nn.DataParallel` adds.
_PARALLEL_PREFIX: Final = "module."
#: Largest size of all tensors, in sizes of the file. Tensors may share storage, but not without limit.
_MAX_CLAIM: Final = 2
_SAVE_ALONE: Final = "Save the state dictionary alone: torch.save(model.state_dict(), PATH)."


def read_state_dict(path: Path, *, again: bool = False) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint.

    A file with the name of an official checkpoint must be that checkpoint, see
    :mod:`geosam.segmenters.weights.folder`. Any other file is logged as unverified.

    Args:
        path: file that `torch.save` wrote (any extension), or safetensors.
        again: the file was read before, so that its warning is not logged again.

    Returns:
        Tensor name -> tensor in host memory. Names have no prefix of parallel training. Floating point tensors are
        float32 and finite.

    Raises:
        UnreadableCheckpoint: the file is missing, damaged, incomplete, contains code, or holds something else.
        OutOfMemory: there is not enough memory for the tensors.
    """
    path = Path(path)
    if not is_attested(path) and not again:
        logger.warning("the checkpoint is not verified: %s: no attested hash", path)
    named = _unwrapped(path, _content(path))
    return {name: _finite(path, name, value) for name, value in _without_prefix(path, named).items()}


def _content(path: Path) -> object:
    """Read a file with the reader for its kind."""
    kind = kind_of(path)
    promised = path.suffix.lower() == ".safetensors"
    if kind is Kind.SAFETENSORS or (promised and kind is Kind.OTHER):
        return _safetensors(path)
    if promised:
        raise refusal(
            path, "is not what its name promises", f"it is {kind.value}, expected a safetensors file", "Rename it."
        )
    if kind is Kind.ZIP:
        check_zip(path)
    elif kind is Kind.TAR:
        raise refusal(
            path, "may contain code, refused", "it is a tar archive, expected a zip archive of torch.save", _SAVE_ALONE
        )
    elif kind is not Kind.PICKLE:
        raise refusal(path, "is damaged", f"it is {kind.value}, expected a PyTorch or safetensors file")
    return read_pickled(path)


def _safetensors(path: Path) -> object:
    check_safetensors(path)
    try:
        return load_file(path)
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise refusal(
            path, "is damaged", f"its safetensors header does not fit its tensors ({type(error).__name__})"
        ) from error


def read_pickled(path: Path) -> object:
    """Read a file of `torch.save` to the CPU, without running code from it.

    Raises:
        UnreadableCheckpoint: the file is damaged, or holds more than tensors need.
        OutOfMemory: it does not fit into memory.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # torch's default for weights_only can be turned off from the environment. A mapped archive is cut by the
            # declared sizes of tensors: a record that is too short would borrow bytes from the next one.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged pickle can make its reader fail in any way
        # the text itself is not passed on: it advises to read the file unsafely
        text, unpickling = str(error), isinstance(error, pickle.UnpicklingError)
    if "DefaultCPUAllocator" in text:
        raise OutOfMemory(
            f"not enough memory for the checkpoint: {path}.",
            remedy="Use a smaller model or a larger machine.",
            code="checkpoint-out-of-memory",
            path=str(path),
        )
    if name := re.search(r"GLOBAL (\S+)", text):
        found = f"it calls for {name[1]}, expected nothing but tensors"
        raise refusal(path, "contains code, refused", found, f"Use the official file. {_SAVE_ALONE}")
    if unpickling:
        raise refusal(
            path, "contains code or is damaged, refused", "its pickle holds more than tensors need", _SAVE_ALONE
        )
    reason = "a tensor has fewer bytes than it declares" if "record size" in text else "its parts do not fit together"
    raise refusal(path, "is damaged", reason)


def _unwrapped(path: Path, content: object) -> Mapping[str, Any]:
    """Return the state dictionary without the dictionaries that training scripts put around it."""
    for _ in _WRAPPERS:  # one wrapper may be inside another
        inside = content if isinstance(content, Mapping) else {}
        wrapper = next((key for key in _WRAPPERS if isinstance(inside.get(key), Mapping)), None)
        if wrapper is None:
            break
        logger.info("took the entry %r of %s", wrapper, path)
        content = inside[wrapper]
    if not isinstance(content, Mapping):
        found = f"it holds one {type(content).__name__}, expected a dictionary of tensors"
        raise refusal(path, "is no state dictionary", found, _SAVE_ALONE)
    if not content:
        raise refusal(path, "is no state dictionary", "it is empty, expected a dictionary of tensors", _SAVE_ALONE)
    _check_entries(path, content)
    return content


def _check_entries(path: Path, named: Mapping[object, object]) -> None:
    """Check that every entry is a tensor with a name, and that all claim no more bytes than the file can hold."""
    claimed = 0
    for name, value in named.items():
        # subclasses of Tensor can bring code of their own
        plain = type(value) in (torch.Tensor, torch.nn.Parameter)
        if not (isinstance(name, str) and isinstance(value, torch.Tensor) and plain):
            found = f"entry {name!r} is a {type(value).__name__}, expected a tensor"
            raise refusal(path, "is no state dictionary", found, _SAVE_ALONE)
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            found = f'tensor "{name}" is of an unusual kind ({value.dtype}, {value.layout}, {value.device.type})'
            raise refusal(path, "is no state dictionary", f"{found}, expected plain numbers", _SAVE_ALONE)
        claimed += value.numel() * value.element_size()
    size = path.stat().st_size
    if claimed > _MAX_CLAIM * size:
        raise refusal(path, "is damaged, refused", f"its tensors claim {claimed} bytes, the file has {size}")


def _without_prefix(path: Path, named: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Remove the prefix of parallel training, if all names have it."""
    if not all(name.startswith(_PARALLEL_PREFIX) for name in named):
        return named
    logger.info("removed the prefix %r of all names in %s", _PARALLEL_PREFIX, path)
    return {name.removeprefix(_PARALLEL_PREFIX): value for name, value in named.items()}


def _finite(path: Path, name: str, value: Tensor) -> Tensor:
    """Return a floating point tensor as float32 after checking that it is finite; others unchanged."""
    if not value.is_floating_point():
        return value
    value = value.detach().float()  # the network is moved to its precision after it was built
    infinite = value.numel() - int(torch.isfinite(value).sum())
    if infinite:
        found = f'tensor "{name}": {infinite} of {value.numel()} values are not finite, expected none'
        raise refusal(path, "is damaged", found, AGAIN)
    return value
