"""The protocol of fine-tuning: a mask decoder that answers with gradients and can be written to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from geosam._arrays import Floats
    from geosam.segmenters.pixel_prompts import PixelPrompts
    from geosam.segmenters.segmenter import Embedding, Prompted


class MaskCandidates(NamedTuple):
    """The masks that a network offers for one prompt, with gradients."""

    prompt: int
    """Row of the prompt."""
    logits: Tensor
    """(M, h, w) logits at stride 4 of one mask, or of several to choose from."""
    iou: Tensor
    """(M,) expected IoU of each mask."""
    cells: tuple[slice, slice]
    """Rows and columns of the tile's cells that the logits show."""
    place: Tensor | None = None
    """(H / 16, W / 16) logits of the coarse cells of the whole tile that hold the object; None for other networks."""


class TrainableDecoder(Protocol):
    """A network whose mask decoder is trained while its image encoder stays as it is."""

    @property
    def learning_rate(self) -> float:
        """Learning rate at the start."""

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Trained parameters by their names in the network."""

    def training_embedding(self, embedding: Embedding) -> Embedding:
        """Convert an embedding of the original network to the precision of the training."""

    def segmenter(self) -> Prompted:
        """Wrap the network in its present state as a segmenter that takes converted embeddings."""

    def candidates(
        self, embedding: Embedding, prompts: PixelPrompts, bounds_xyxy: Floats, *, multimask: bool
    ) -> list[MaskCandidates]:
        """Compute, with gradients, the logits that :meth:`Prompted.decode` thresholds.

        Args:
            embedding: Converted embedding of one tile.
            prompts: Prompts of N objects in pixels of the tile.
            bounds_xyxy: (N, 4) boxes of the objects; masks far from them need not be computed.
            multimask: True for several masks, as for a lone click.
        """

    def save(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the whole network, with the original encoder, as safetensors with metadata."""
