"""A file of weights whose metadata, shapes, tensors and hash are read only when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from geosam.segmenters.weights.containers import safetensors_metadata
from geosam.segmenters.weights.file_kind import Kind, kind_of
from geosam.segmenters.weights.folder import check_file, sha256_of

if TYPE_CHECKING:
    from torch import Tensor


class TensorFile:
    """File of weights. Each property is read once, when it is first used.

    Args:
        path: a file that `torch.save` wrote, or safetensors.
        again: the file was read before, so that its warnings need not be logged again.

    Raises:
        UnreadableCheckpoint: there is no readable file, or it certainly holds no weights.
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        check_file(path)
        self.path = path
        self._again = again

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """Metadata of a safetensors file by name; empty for other files. Does not import torch.

        Raises:
            UnreadableCheckpoint: the file is damaged.
        """
        return safetensors_metadata(self.path) if kind_of(self.path) is Kind.SAFETENSORS else {}

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Tensors by name, as :func:`geosam.segmenters.weights.reading.read_state_dict` returns them.

        Raises:
            UnreadableCheckpoint: the file is damaged, unsafe, or holds something else.
            OutOfMemory: the tensors do not fit into memory.
        """
        # importing torch takes a second, and a family that decides by metadata does not need it
        from geosam.segmenters.weights.reading import read_state_dict

        return read_state_dict(self.path, again=self._again)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the tensors by name.

        Raises:
            UnreadableCheckpoint: as for `tensors`.
            OutOfMemory: as for `tensors`.
        """
        return {name: tuple(value.shape) for name, value in self.tensors.items()}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file in hexadecimal.

        Raises:
            UnreadableCheckpoint: the file cannot be read.
        """
        return sha256_of(self.path)
