"""Image encoders that run in OpenVINO, on CPUs several times faster than in PyTorch at the same precision.

The converted network is stored beside the checkpoints, because converting takes longer than loading. It is made from
the loaded PyTorch module, so every image encoder works.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import openvino
import torch
from torch import nn

from geosam.segmenters.sam.features import ImageFeatures

if TYPE_CHECKING:
    from torch import Tensor

    from geosam.segmenters.compute import Compute

#: File beside a converted network with the hash of its weights.
_HASH = "encoder.sha256"

logger = logging.getLogger(__name__)


class OpenVinoEncoder(nn.Module):
    """Replacement of an image encoder, with the same input and output. Pictures are encoded one at a time."""

    def __init__(self, encoder: nn.Module, compute: Compute, converted: Path) -> None:
        """Convert `encoder`, or read the network that an earlier call stored in the folder `converted`.

        Args:
            encoder: image encoder in float32, on the CPU.
            compute: device and precision. OpenVINO computes in this precision.
            converted: folder named after the weights. It is created if possible.
        """
        super().__init__()
        self._gives_features = not hasattr(encoder, "trunk")
        self._dtype = compute.dtype
        hint = {"fp32": "f32", "bf16": "bf16"}[compute.precision]
        self._lock = threading.Lock()
        core = openvino.Core()
        network = _network(core, encoder, converted)
        self._network = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": hint})

    def forward(self, pictures: Tensor) -> ImageFeatures | tuple[Tensor, ...]:
        """Encode pictures (B, 3, 1024, 1024). The result is that of the encoder."""
        with self._lock:  # one compiled network runs one request at a time
            outputs = [self._network(picture[None].float().numpy()) for picture in pictures]
        count = len(self._network.outputs)
        maps = [torch.cat([torch.from_numpy(output[i]) for output in outputs]).to(self._dtype) for i in range(count)]
        return ImageFeatures(maps[0], early=tuple(maps[1:])) if self._gives_features else tuple(maps)


class _Flat(nn.Module):
    """An encoder that returns its maps in one plain tuple, as tracing requires."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        maps = self.encoder(pictures)
        return (maps.image, *maps.early) if isinstance(maps, ImageFeatures) else tuple(maps)


def _network(core: openvino.Core, encoder: nn.Module, converted: Path) -> openvino.Model:
    """Read the stored network, or convert the encoder and store the result."""
    file = converted / "encoder.xml"
    if file.is_file():
        try:
            if (converted / _HASH).read_text(encoding="utf-8") == _hash(converted):
                return core.read_model(file)
            logger.warning("%s is damaged and is made again", converted)
        except (OSError, RuntimeError) as error:
            logger.warning("%s cannot be read and is made again: %s", file, error)
    picture = torch.zeros(1, 3, 1024, 1024)
    logger.info("preparing the network for this machine, once: %s", converted)
    with torch.inference_mode(), warnings.catch_warnings():
        # The input has one size, so the branches on shapes that tracing fixes are right.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        network = openvino.convert_model(_Flat(encoder.eval()), example_input=picture, input=[list(picture.shape)])
    _keep(network, converted)
    return network


def _hash(folder: Path) -> str:
    """Return the SHA-256 of the weights. OpenVINO itself does not notice changed weights."""
    with (folder / "encoder.bin").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(network: openvino.Model, converted: Path) -> None:
    """Store the network, complete or not at all. A failure is only a warning: the next start takes longer."""
    try:
        converted.parent.mkdir(parents=True, exist_ok=True)
        # The network is two files that belong together, so a folder is renamed instead of a file.
        draft = Path(tempfile.mkdtemp(dir=converted.parent, prefix=".converting-"))
        try:
            openvino.save_model(network, draft / "encoder.xml", compress_to_fp16=False)
            (draft / _HASH).write_text(_hash(draft), encoding="utf-8")
            shutil.rmtree(converted, ignore_errors=True)
            draft.replace(converted)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except (OSError, RuntimeError) as error:
        logger.warning("the converted network cannot be kept in %s: %s", converted, error)
