"""The seam between the product and the networks: a segmenter knows pixels and nothing else.

It never sees a CRS, a file or a tile grid, and it keeps no state between calls: :meth:`Segmenter.embed` returns a
value that the caller holds and hands back to :meth:`Segmenter.decode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.pixel_prompts import PixelPrompts


@dataclass(frozen=True)
class KeepRule:
    """Which masks are worth keeping; handed to the decoder so that it can act before upsampling."""

    min_predicted_iou: float = 0.88
    """Least predicted IoU."""
    min_stability: float = 0.95
    """Least stability score."""
    max_duplicate_iou: float = 0.7
    """Of two masks of one tile whose boxes agree more than this, the better one stays."""


@dataclass(frozen=True)
class ModelSpec:
    """What the rest of geosam may know about a segmenter."""

    name: str
    """The name it is registered under; written into every result."""
    fingerprint: str
    """Changes whenever the same pixels could give another answer (weights, version, options)."""
    input_size: int | None = None
    """Side in pixels that tiles are padded to before `embed`; None takes any size."""
    batch_size: int = 1
    """Tiles that `embed` likes to get in one call; an embedding never depends on the tiles beside it."""
    keep: KeepRule = KeepRule()
    """Which masks are worth keeping unless the caller knows better: what scores mean differs between models."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """What a segmenter remembers of one tile; opaque except to the segmenter that made it."""

    arrays: Mapping[str, NDArray[Any]]
    """Named feature arrays, layout known to their segmenter."""
    input_hw: tuple[int, int]
    """(height, width) of the tile it was made from."""
    fingerprint: str
    """Fingerprint of the model that made it."""


@runtime_checkable
class Segmenter(Protocol):
    """A promptable model. Stateless, picklable, deterministic for one machine, device and precision."""

    @property
    def spec(self) -> ModelSpec:
        """Name, fingerprint and input size."""

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Look at a batch of tiles once: `rgb` (B, 3, H, W), `valid` (B, H, W) -> one embedding a tile."""

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Masks for prompts in corner-based tile pixels.

        `multimask` asks for up to three masks a prompt (part, whole, group), else there is at most one. A prompt
        on no object gives no row. Rows are ordered by prompt; masks are confined to valid pixels.
        """

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet | None:
        """All objects of the tile, or None from a segmenter that has to be prompted for them."""


@runtime_checkable
class Enlarger(Protocol):
    """A segmenter that can look at a part of a tile enlarged to its whole input, to find smaller objects."""

    def embed_enlarged(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Embedding:
        """Embedding of one picture (3, h, w) with valid pixels (h, w); it is decoded in pixels of that picture."""
