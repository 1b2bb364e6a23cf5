"""What fine-tuning wants of a network: a mask decoder that answers with gradients, and a way back into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Embedding, Prompted

#: Pixels of a cell, along a side: masks are learnt at the resolution of the logits.
STRIDE = 4


class Attempt(NamedTuple):
    """The masks that a network offers for one prompt, with gradients."""

    prompt: int
    """Row of the prompt."""
    logits: Tensor
    """(M, h, w) at stride 4; one mask, or several to choose from."""
    iou: Tensor
    """(M,) expected IoU of each."""
    cells: tuple[slice, slice]
    """The rows and columns of the tile's cells that the masks show."""
    place: Tensor | None = None
    """(H / 16, W / 16) logits of the coarse cells of the whole tile that hold the object; None where none are made."""


class Pupil(Protocol):
    """A network whose mask decoder learns while its image encoder stays as it is."""

    @property
    def rate(self) -> float:
        """Learning rate to begin with."""

    @property
    def learning(self) -> Mapping[str, nn.Parameter]:
        """What learns, by its name in the network."""

    def received(self, embedding: Embedding) -> Embedding:
        """An embedding of the untuned network in the precision in which this one learns."""

    def segmenter(self) -> Prompted:
        """What has been learnt so far, behind geosam's protocol; it takes received embeddings."""

    def attempts(
        self, embedding: Embedding, prompts: PixelPrompts, bounds_xyxy: NDArray[np.float64], *, multimask: bool
    ) -> list[Attempt]:
        """What :meth:`Segmenter.decode` computes before it thresholds, with gradients.

        Args:
            embedding: received, of one tile.
            prompts: of N objects, in pixels of the tile.
            bounds_xyxy: (N, 4) where the objects are; what is far from them need not be computed.
            multimask: whether several masks are asked for, as for a lone click.
        """

    def save(self, path: Path, facts: Mapping[str, str]) -> None:
        """Write the whole network, the encoder as it was, as safetensors with facts about it."""
