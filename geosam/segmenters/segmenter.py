"""The protocols between geosam and its models: a segmenter knows pixels and nothing else.

A segmenter never sees a CRS, a file or a tile grid. :meth:`Embeds.embed` returns a value that the caller keeps and
passes to the other methods. Every segmenter embeds. A class declares each further capability by having its methods:
:class:`Prompted`, :class:`Proposes`, :class:`Classifies`, :class:`Enlarger`. The caller tests for a capability with
`isinstance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from geosam.errors import ModelError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geosam.segmenters.masks import MaskSet
    from geosam.segmenters.pixel_prompts import PixelPrompts


@dataclass(frozen=True)
class KeepRule:
    """Thresholds that a mask must reach. The decoder applies them too, and does not upsample masks below them.

    The defaults are those of the automatic mask generator of Segment Anything (Kirillov et al., 2023).
    """

    min_predicted_iou: float = 0.88
    """Least :attr:`MaskSet.predicted_iou`, 0 .. 1."""
    min_stability: float = 0.95
    """Least :attr:`MaskSet.stability_score`, 0 .. 1."""
    max_duplicate_iou: float = 0.7
    """Largest IoU between the boxes of two masks of one tile. Above it, only the better mask is kept."""


@dataclass(frozen=True)
class ModelSpec:
    """Facts about a segmenter that geosam needs to run it and to record its results."""

    name: str
    """Name of the model in the registry. It is written into every result."""
    fingerprint: str
    """Identity of the arithmetic. It changes if the same pixels may give another answer (weights, version, options)."""
    input_size: int | None = None
    """Side in pixels to which tiles are padded before `embed`. None: tiles of any size."""
    batch_size: int = 1
    """Best number of tiles in one call of `embed`. An embedding never depends on the other tiles of the call."""
    keep: KeepRule = KeepRule()
    """Default thresholds of the model. Scores of different models are not comparable."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Features of one tile. Only the segmenter that made them can read them."""

    arrays: Mapping[str, NDArray[Any]]
    """Feature arrays by name, in a layout that their segmenter knows."""
    input_hw: tuple[int, int]
    """(height, width) of the tile in pixels."""
    fingerprint: str
    """Fingerprint of the model that made the embedding."""


@runtime_checkable
class Embeds(Protocol):
    """A model that turns tiles into embeddings.

    A segmenter is picklable, so that other processes can load it. It is deterministic for one machine, device and
    precision.

    Threads: several threads may call the methods of one segmenter at the same time, and every call returns what it
    returns alone. A segmenter may keep caches between calls (the decoder state of the last tiles, for example). It
    guards them itself, and no result depends on them.
    """

    @property
    def spec(self) -> ModelSpec:
        """Name, fingerprint, input size and default thresholds."""

    def embed(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> list[Embedding]:
        """Encode a batch of tiles: `rgb` (B, 3, H, W) and `valid` (B, H, W) -> one embedding for each tile."""


@runtime_checkable
class Prompted(Embeds, Protocol):
    """A segmenter that finds the object that a prompt means."""

    def decode(self, embedding: Embedding, prompts: PixelPrompts, *, multimask: bool, keep: KeepRule | None) -> MaskSet:
        """Return masks for prompts in corner-based pixels of the tile.

        Rows are in the order of the prompts. A prompt on no object gives no row. Masks contain valid pixels only.

        Args:
            embedding: embedding of the tile.
            prompts: N prompts.
            multimask: give up to three masks for each prompt (part, whole, group) instead of one.
            keep: leave out masks below these thresholds; None keeps all.
        """


@runtime_checkable
class Proposes(Embeds, Protocol):
    """A segmenter that finds all objects of a tile without prompts.

    To find all objects with a segmenter that only takes prompts, geosam prompts it with a grid of points.
    """

    def propose(self, embedding: Embedding, keep: KeepRule) -> MaskSet:
        """Return all objects of the tile whose masks reach the thresholds of `keep`."""


@runtime_checkable
class Classifies(Embeds, Protocol):
    """A segmenter whose masks have a class.

    Each :class:`MaskSet` with rows has the column `class_id`, and `class_score` if the model knows how probable the
    class is. Masks of different classes are never joined, and never duplicates of each other.
    """

    @property
    def classes(self) -> Mapping[int, str]:
        """Name of each class by its `class_id`."""


@runtime_checkable
class Enlarger(Embeds, Protocol):
    """A segmenter that can enlarge a part of a tile to its whole input, to find smaller objects."""

    def embed_enlarged(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Embedding:
        """Encode one picture (3, h, w) with valid pixels (h, w). Its masks are in pixels of that picture."""


#: Any model. Every segmenter embeds; its capabilities declare what else it can do.
Segmenter: TypeAlias = Embeds


def classes_of(segmenter: Segmenter) -> Mapping[int, str] | None:
    """Return the names of the segmenter's classes by their `class_id`, None if its masks have no class."""
    return segmenter.classes if isinstance(segmenter, Classifies) else None


def class_names(segmenter: Segmenter, class_ids: Iterable[int]) -> list[str] | None:
    """Return the name of each class, None if the segmenter declares no classes.

    Raises:
        ModelError: the segmenter does not declare one of the classes.
    """
    classes = classes_of(segmenter)
    if classes is None:
        return None
    names = []
    for class_id in class_ids:
        if class_id not in classes:
            raise ModelError(
                f"the model {segmenter.spec.name} gave a mask a class that it does not declare: found {class_id}, "
                f"expected one of {', '.join(map(str, classes))}.",
                remedy="Report this to the author of the model.",
                code="undeclared-class",
                model=segmenter.spec.name,
                class_id=class_id,
                classes=dict(classes),
            )
        names.append(classes[class_id])
    return names


def as_prompted(segmenter: Segmenter) -> Prompted:
    """Return the segmenter if prompts can be used with it.

    Raises:
        UsageError: the model takes no prompts.
    """
    if isinstance(segmenter, Prompted):
        return segmenter
    raise UsageError(
        f"the model {segmenter.spec.name} takes no prompts.",
        remedy="Run it without prompts, or choose another `model`.",
        code="model-takes-no-prompts",
        model=segmenter.spec.name,
    )


def as_automatic(segmenter: Segmenter) -> Proposes | Prompted:
    """Return the segmenter if it can find all objects of a tile, by itself or prompted with a grid of points.

    Raises:
        UsageError: the model neither proposes objects nor takes prompts.
    """
    if isinstance(segmenter, Proposes | Prompted):
        return segmenter
    raise UsageError(
        f"the model {segmenter.spec.name} finds no objects: it neither proposes them nor takes prompts.",
        remedy="Choose another `model`.",
        code="model-finds-no-objects",
        model=segmenter.spec.name,
    )
