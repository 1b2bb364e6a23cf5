"""Device, precision and backend of a network, and the allocator below all of them."""

from __future__ import annotations

import ctypes
import logging
import platform
import threading
from contextlib import ExitStack, contextmanager
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

#: Values of the parameters of the same names.
DEVICES: tuple[Device, ...] = get_args(Device)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
BACKENDS: tuple[Backend, ...] = get_args(Backend)

#: Parameters of glibc's `mallopt` (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_LARGE = 2**31 - 1
#: Texts in errors about exhausted memory that have no class of their own.
_EXHAUSTED = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Compute:
    """Device, precision and backend that this machine can use."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Device that holds the tensors."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of weights and activations. Scores and logits are always fp32."""
    backend: Literal["torch", "openvino"] = "torch"
    """Backend of the image encoder. The mask decoder always runs in PyTorch."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of tensors in this precision."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def __str__(self) -> str:
        return f"{self.device}-{self.precision}-{self.backend}"


def choose(device: Device = "auto", precision: Precision = "auto", backend: Backend = "auto") -> Compute:
    """Choose the machine's best value for each parameter that is `auto`, and check the others.

    `auto` takes CUDA if there is one, bf16 where the hardware multiplies it natively (elsewhere it is slower than
    fp32), and PyTorch, which was the faster backend for all networks that were measured (benchmarks/encoders.py).

    Raises:
        DeviceUnavailable: the machine has no such device, or it cannot compute that way.
    """
    for parameter, value, allowed in (
        ("device", device, DEVICES),
        ("precision", precision, PRECISIONS),
        ("backend", backend, BACKENDS),
    ):
        if value not in allowed:
            raise _unavailable(
                "unknown value", parameter, value, f"one of {', '.join(allowed)}", code="unknown-compute"
            )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise _unavailable(
            "no CUDA device can be used",
            "device",
            device,
            "'cpu' or 'auto' on this machine",
            code="no-cuda-device",
            remedy="Install a CUDA build of PyTorch and a driver, or leave `device` out.",
        )
    if precision == "auto":
        precision = "bf16" if _has_native_bf16(device) else "fp32"
    if precision == "fp16" and device == "cpu":
        wrong = "a CPU does not compute in half precision"
        raise _unavailable(wrong, "precision", precision, "'fp32' or 'bf16'", code="no-fp16-on-cpu")
    return Compute(device, precision, _backend(backend, device))


def _backend(backend: Backend, device: Device) -> Literal["torch", "openvino"]:
    """Return the backend.

    Raises:
        DeviceUnavailable: OpenVINO is not installed, or cannot use the device.
    """
    if backend == "auto":
        return "torch"
    if backend == "openvino" and find_spec("openvino") is None:
        raise _unavailable(
            "OpenVINO is not installed",
            "backend",
            backend,
            "'torch' or 'auto'",
            code="no-openvino",
            remedy="Install it with `pip install 'geosam-toolkit[openvino]'`, or leave `backend` out.",
        )
    if backend == "openvino" and device == "cuda":
        raise _unavailable(
            "OpenVINO does not run on CUDA",
            "backend",
            backend,
            "'torch'",
            code="openvino-on-cuda",
            remedy="Use `device='cpu'` with it.",
        )
    return backend


def _unavailable(
    wrong: str, parameter: str, value: str, expected: str, *, code: str, remedy: str = ""
) -> DeviceUnavailable:
    """Return the error about a parameter's value that this machine cannot use."""
    return DeviceUnavailable(
        f"{wrong}: `{parameter}`: found {value!r}, expected {expected}.",
        remedy=remedy or f"Leave `{parameter}` out.",
        code=code,
        parameter=parameter,
        value=value,
    )


def _has_native_bf16(device: Device) -> bool:
    """Return True if the device multiplies bf16 numbers natively."""
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)  # Ampere, the first generation that has it
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def arithmetic(compute: Compute) -> str:
    """Return a text of the facts, beside the options, that can change the last digits of a result.

    These are the versions of the libraries, and the GPU or the instruction set of the processor.
    """
    parts = [f"torch{torch.__version__.partition('+')[0]}"]
    if compute.backend == "openvino":
        parts.append(f"openvino{version('openvino')}")
    chip = torch.cuda.get_device_name() if compute.device == "cuda" else torch.backends.cpu.get_cpu_capability()
    return "-".join([*parts, chip.replace(" ", "_")])


@cache
def keep_freed_memory() -> bool:
    """Tell glibc once to keep large blocks that are freed. Return False on other systems.

    A network frees and takes the same hundreds of megabytes at every layer. glibc returns them to the system each time,
    and the page faults that follow take up to half of a run. The price: the process keeps its peak memory.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = (
        (_M_MMAP_MAX, 0),  # no blocks outside the heap; older versions refuse a large threshold instead
        (_M_TRIM_THRESHOLD, _LARGE),  # the end of the heap is not returned
        (_M_ARENA_MAX, 1),  # other arenas take blocks of more than 64 MB from the system again
    )
    accepted = [libc.mallopt(name, value) == 1 for name, value in settings]
    if not all(accepted):
        logger.info("the allocator keeps its settings, and networks run slower: mallopt accepted %s", accepted)
    return all(accepted)


class _ExactCudnn:
    """Switch TF32 in cuDNN off while at least one thread computes.

    PyTorch has this flag once for the whole process. If each thread saved and restored it, the first one to finish
    would switch TF32 on again for the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._flags = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._threads == 0:
                self._flags.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._flags.close()


_exact_cudnn = _ExactCudnn()


@contextmanager
def computing(name: str, device: str) -> Iterator[None]:
    """Compute in the chosen precision, without gradients, whatever modes of PyTorch the caller has switched on.

    Args:
        name: name of the model, for the message.
        device: `cpu` or `cuda`.

    Raises:
        OutOfMemory: memory is exhausted; PyTorch reports this by several classes and texts.
    """
    try:
        with torch.inference_mode(), torch.autocast(device, enabled=False), _exact_cudnn:
            yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if isinstance(error, OutOfMemory):
            raise
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(text in str(error) for text in _EXHAUSTED):
            raise OutOfMemory(
                f"{name} does not fit into memory: {str(error).splitlines()[0]}.",
                remedy="Use a smaller model, `precision='bf16'`, fewer `workers`, or `device='cpu'`.",
                code="model-out-of-memory",
                model=name,
                device=device,
            ) from error
        raise
