"""An image encoder that OpenVINO runs: on CPUs it is several times faster than PyTorch at the same precision.

The converted network is kept beside the checkpoints, since converting takes longer than loading. It is made from the
loaded PyTorch module, so every family works.
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

#: The file beside a converted network that tells its bytes.
_HASH = "encoder.sha256"

logger = logging.getLogger(__name__)


class OpenVinoEncoder(nn.Module):
    """Stands in for an image encoder; the same input and output, one picture at a time."""

    def __init__(self, encoder: nn.Module, compute: Compute, converted: Path) -> None:
        """Convert `encoder`, or take what an earlier call has left in the folder `converted`.

        Args:
            encoder: in float32, on the CPU.
            compute: its precision becomes OpenVINO's.
            converted: a folder named after the weights; made if it can be.
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
        """(B, 3, 1024, 1024) -> what the encoder gives."""
        with self._lock:  # one request at a time
            answers = [self._network(picture[None].float().numpy()) for picture in pictures]
        count = len(self._network.outputs)
        maps = [torch.cat([torch.from_numpy(answer[i]) for answer in answers]).to(self._dtype) for i in range(count)]
        return ImageFeatures(maps[0], early=tuple(maps[1:])) if self._gives_features else tuple(maps)


class _Flat(nn.Module):
    """Gives the maps in one tuple, which is all that tracing understands."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        found = self.encoder(pictures)
        return (found.image, *found.early) if isinstance(found, ImageFeatures) else tuple(found)


def _network(core: openvino.Core, encoder: nn.Module, converted: Path) -> openvino.Model:
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
        # every size is fixed, so branches on shapes are right
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        network = openvino.convert_model(_Flat(encoder.eval()), example_input=picture, input=[list(picture.shape)])
    _keep(network, converted)
    return network


def _hash(folder: Path) -> str:
    """SHA-256 of the weights: OpenVINO does not notice when they are other ones."""
    with (folder / "encoder.bin").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(network: openvino.Model, converted: Path) -> None:
    """Write the network under its final name at once, or not at all; without it the next start takes longer."""
    try:
        converted.parent.mkdir(parents=True, exist_ok=True)
        # The network is two files that belong together, so a folder is renamed and not a file.
        made = Path(tempfile.mkdtemp(dir=converted.parent, prefix=".converting-"))
        try:
            openvino.save_model(network, made / "encoder.xml", compress_to_fp16=False)
            (made / _HASH).write_text(_hash(made), encoding="utf-8")
            shutil.rmtree(converted, ignore_errors=True)
            made.replace(converted)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except (OSError, RuntimeError) as error:
        logger.warning("the converted network cannot be kept in %s: %s", converted, error)
