"""State dictionaries from files that may be damaged or hostile.

Pickles go through torch's restricted reader, which knows tensors and plain containers only; there is no other way in,
and no option for one. `weights_only=True` is always said, because torch's own default can be turned off from the
environment. Files are not mapped into memory: a mapped archive is cut up by declared sizes, without a look at the
sizes of its records, so that a record that is too short would lend bytes from the next one.
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

#: What training scripts put around a state dictionary.
_WRAPPERS: Final = ("model", "state_dict")
#: What `torch.nn.DataParallel` puts before each name.
_PARALLEL_PREFIX: Final = "module."
#: Tensors may share storage, but not so that a small file claims many bytes.
_MAX_CLAIM: Final = 2
_SAVE_ALONE: Final = "Save the state dictionary alone: torch.save(model.state_dict(), PATH)"


def read_state_dict(path: Path, *, again: bool = False) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name.

    A file with the official name of a checkpoint has to be that checkpoint (see
    :mod:`geosam.segmenters.weights.folder`); any other is logged as unverified.

    Args:
        path: A file that `torch.save` wrote (any extension), or safetensors.
        again: The file was read before, so what there was to log has been logged.

    Returns:
        Tensor name -> tensor in host memory. Names come without what parallel training puts before them; floating
        point tensors are float32 and finite.

    Raises:
        UnreadableCheckpoint: the file is missing, damaged, incomplete, contains code, or holds something else.
        OutOfMemory: there is not enough memory for the tensors.
    """
    path = Path(path)
    if not is_attested(path) and not again:
        logger.warning("the checkpoint is not verified: %s: no attested hash", path)
    named = _unwrapped(path, _content(path))
    return {name: _sound(path, name, value) for name, value in _names_restored(path, named).items()}


def _content(path: Path) -> object:
    """What the file holds, by the reader for its kind."""
    kind = kind_of(path)
    promised = path.suffix.lower() == ".safetensors"
    if kind is Kind.SAFETENSORS or (promised and kind is Kind.OTHER):
        return _safetensors(path)
    if promised:
        raise refusal(
            path, "is not what its name promises", f"it is {kind.value}, a safetensors file wanted", "Rename it"
        )
    if kind is Kind.ZIP:
        check_zip(path)
    elif kind is Kind.TAR:
        raise refusal(
            path, "may contain code, refused", "it is a tar archive, a zip archive of torch.save wanted", _SAVE_ALONE
        )
    elif kind is not Kind.PICKLE:
        raise refusal(path, "is damaged", f"it is {kind.value}, a PyTorch or safetensors file wanted")
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
    """What `torch.save` wrote, on the CPU, without running code from it.

    torch's messages advise to read the file unsafely, so none of them is passed on.

    Raises:
        UnreadableCheckpoint: the file is damaged, or holds more than tensors need.
        OutOfMemory: it does not fit into memory.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged pickle can make its reader fail in any way
        said, unpickling = str(error), isinstance(error, pickle.UnpicklingError)
    if "DefaultCPUAllocator" in said:
        raise OutOfMemory(f"not enough memory for the checkpoint: {path}. Use a smaller model or a larger machine")
    if named := re.search(r"GLOBAL (\S+)", said):
        found = f"it calls for {named[1]}, nothing but tensors wanted"
        raise refusal(path, "contains code, refused", found, f"Use the official file. {_SAVE_ALONE}")
    if unpickling:
        raise refusal(
            path, "contains code or is damaged, refused", "its pickle holds more than tensors need", _SAVE_ALONE
        )
    short = "a tensor has fewer bytes than it declares" if "record size" in said else "its parts do not fit together"
    raise refusal(path, "is damaged", short)


def _unwrapped(path: Path, content: object) -> Mapping[str, Any]:
    """The state dictionary inside what training scripts put around it."""
    for _ in _WRAPPERS:
        inside = content if isinstance(content, Mapping) else {}
        wrapper = next((key for key in _WRAPPERS if isinstance(inside.get(key), Mapping)), None)
        if wrapper is None:
            break
        logger.info("took the entry %r of %s", wrapper, path)
        content = inside[wrapper]
    if not isinstance(content, Mapping):
        found = f"it holds one {type(content).__name__}, a dictionary of tensors wanted"
        raise refusal(path, "is no state dictionary", found, _SAVE_ALONE)
    if not content:
        raise refusal(path, "is no state dictionary", "it is empty, a dictionary of tensors wanted", _SAVE_ALONE)
    _check_entries(path, content)
    return content


def _check_entries(path: Path, named: Mapping[object, object]) -> None:
    """Every entry is a tensor with a name, and together they claim no more bytes than the file can hold."""
    claimed = 0
    for name, value in named.items():
        plain = type(value) in (torch.Tensor, torch.nn.Parameter)
        if not (isinstance(name, str) and isinstance(value, torch.Tensor) and plain):
            found = f"entry {name!r} is a {type(value).__name__}, a tensor wanted"
            raise refusal(path, "is no state dictionary", found, _SAVE_ALONE)
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            found = f'tensor "{name}" is of an unusual kind ({value.dtype}, {value.layout}, {value.device.type})'
            raise refusal(path, "is no state dictionary", f"{found}, plain numbers wanted", _SAVE_ALONE)
        claimed += value.numel() * value.element_size()
    size = path.stat().st_size
    if claimed > _MAX_CLAIM * size:
        raise refusal(path, "is damaged, refused", f"its tensors claim {claimed} bytes, the file has {size}")


def _names_restored(path: Path, named: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if not all(name.startswith(_PARALLEL_PREFIX) for name in named):
        return named
    logger.info("removed the prefix %r of all names in %s", _PARALLEL_PREFIX, path)
    return {name.removeprefix(_PARALLEL_PREFIX): value for name, value in named.items()}


def _sound(path: Path, name: str, value: Tensor) -> Tensor:
    """The tensor as float32 where it is floating point; it has to be finite."""
    if not value.is_floating_point():
        return value
    value = value.detach().float()
    bad = value.numel() - int(torch.isfinite(value).sum())
    if bad:
        found = f'tensor "{name}": {bad} of {value.numel()} values are not finite, all of them wanted'
        raise refusal(path, "is damaged", found, AGAIN)
    return value
