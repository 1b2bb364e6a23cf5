"""Where and how a network computes: device, precision, backend, and the allocator under all of it.

bf16 is chosen by itself only on hardware that multiplies it natively; elsewhere it is slower than fp32.
"""

from __future__ import annotations

import ctypes
import logging
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import torch

from geosam.errors import DeviceUnavailable, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

Device: TypeAlias = Literal["auto", "cpu", "cuda"]
Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]
Backend: TypeAlias = Literal["auto", "torch", "openvino"]

#: Values of the options of the same names.
DEVICES: tuple[Device, ...] = get_args(Device)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
BACKENDS: tuple[Backend, ...] = get_args(Backend)

#: glibc's parameters (malloc.h): no blocks outside the heap, whose end is not given back, and one heap. (A threshold
#: for blocks outside would do in place of none, but older versions refuse large ones.)
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_LARGE = 2**31 - 1
#: What exhausted memory is called where it has no class of its own.
_EXHAUSTED = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Compute:
    """A choice that the machine can carry out."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where tensors live."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of weights and activations; scores and logits are always fp32."""
    backend: Literal["torch", "openvino"] = "torch"
    """What runs the image encoder; the mask decoder always runs in PyTorch."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision as PyTorch calls it."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def __str__(self) -> str:
        return f"{self.device}-{self.precision}-{self.backend}"


def choose(device: Device = "auto", precision: Precision = "auto", backend: Backend = "auto") -> Compute:
    """The machine's best choice for what is `auto`, the given value elsewhere.

    `auto` takes CUDA if there is one, bf16 where it is native, and PyTorch, which has been the faster backend for
    the networks that were measured (benchmarks/encoders.py).

    Raises:
        DeviceUnavailable: the machine has no such device, or it cannot compute that way.
    """
    for option, value, known in (
        ("device", device, DEVICES),
        ("precision", precision, PRECISIONS),
        ("backend", backend, BACKENDS),
    ):
        if value not in known:
            raise DeviceUnavailable(f"unknown value: --{option}: {value!r}, one of {', '.join(known)} wanted.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(
            "no CUDA device can be used: --device: 'cuda', 'cpu' or 'auto' wanted on this machine. "
            "Install a CUDA build of PyTorch and a driver, or leave the option out."
        )
    if precision == "auto":
        precision = "bf16" if _has_native_bf16(device) else "fp32"
    if precision == "fp16" and device == "cpu":
        raise DeviceUnavailable(
            "a CPU does not compute in half precision: --precision: 'fp16', 'fp32' or 'bf16' wanted. "
            "Leave the option out."
        )
    return Compute(device, precision, _backend(backend, device))


def _backend(backend: Backend, device: Device) -> Literal["torch", "openvino"]:
    if backend == "auto":
        return "torch"
    if backend == "openvino" and find_spec("openvino") is None:
        raise DeviceUnavailable(
            "OpenVINO is not installed: --backend: 'openvino', 'torch' or 'auto' wanted. "
            "Install it with `pip install 'geosam-toolkit[openvino]'`, or leave the option out."
        )
    if backend == "openvino" and device == "cuda":
        raise DeviceUnavailable(
            "OpenVINO does not run on CUDA: --backend: 'openvino', 'torch' wanted. Use --device cpu with it."
        )
    return backend


def _has_native_bf16(device: Device) -> bool:
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def arithmetic(compute: Compute) -> str:
    """What else the last digits depend on: the libraries' versions and the processor's instructions, or the GPU."""
    parts = [f"torch{torch.__version__.partition('+')[0]}"]
    if compute.backend == "openvino":
        parts.append(f"openvino{version('openvino')}")
    chip = torch.cuda.get_device_name() if compute.device == "cuda" else torch.backends.cpu.get_cpu_capability()
    return "-".join([*parts, chip.replace(" ", "_")])


@cache
def keep_freed_memory() -> bool:
    """Tell glibc not to give large freed blocks back to the system, once for this process; False on other systems.

    A network frees and takes the same hundreds of megabytes at every layer. glibc returns them each time, and faulting
    their pages in again costs up to half of the run. The price is that the process keeps its peak memory. One arena
    only, because in others blocks of more than 64 MB come from the system again.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGE), (_M_ARENA_MAX, 1))
    taken = [libc.mallopt(name, value) == 1 for name, value in settings]
    if not all(taken):
        logger.info("the allocator keeps its settings, and networks run slower: mallopt took %s", taken)
    return all(taken)


@contextmanager
def computing(name: str, device: str) -> Iterator[None]:
    """Inference in the precision that was chosen, whatever the caller has switched on around it.

    Raises:
        OutOfMemory: in place of what PyTorch raises when the memory of either kind is exhausted.
    """
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    try:
        with torch.inference_mode(), torch.autocast(device, enabled=False), exact:
            yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if isinstance(error, OutOfMemory):
            raise
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(text in str(error) for text in _EXHAUSTED):
            raise OutOfMemory(
                f"{name} does not fit into memory: {str(error).splitlines()[0]}. Use a smaller model, "
                "--precision bf16, fewer --workers, or --device cpu."
            ) from error
        raise
