"""The masks of one window as aligned columns, each cropped to its box.

Masks stay window-local until they are outlines: no array has the size of the scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from geosam.geometry.geobox import Edge
from geosam.geometry.pixel_sets import box_around
from geosam.packing import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray


class Granularity(IntEnum):
    """Size class of a mask. An ambiguous prompt gives up to three masks, one of each class."""

    PART = 0
    WHOLE = 1
    GROUP = 2


@dataclass(frozen=True, eq=False)
class MaskSet:
    """N masks of one window. Every column has N rows."""

    shape_hw: tuple[int, int]
    """(height, width) of the window in pixels."""
    boxes_xyxy: NDArray[np.int32]
    """(N, 4) tight boxes (x0, y0, x1, y1) in window pixels; x1 and y1 are exclusive."""
    masks: tuple[BoolArray, ...]
    """N masks (box height, box width)."""
    predicted_iou: NDArray[np.float32]
    """(N,) IoU with the true object, as the model predicts it."""
    stability_score: NDArray[np.float32]
    """(N,) IoU of two masks from the same logits, one at a higher and one at a lower threshold."""
    prompt_index: NDArray[np.int32]
    """(N,) row of the prompt of the mask; -1 for proposals."""
    granularity: NDArray[np.int8]
    """(N,) :class:`Granularity` of the mask."""
    class_id: NDArray[np.int32] | None = None
    """(N,) class of the mask; None for models without classes."""
    class_score: NDArray[np.float32] | None = None
    """(N,) probability of that class; None for models without it."""
    object_score: NDArray[np.float32] | None = None
    """(N,) logit of the presence of an object (SAM 2); None for models without it."""
    logits: NDArray[np.float32] | None = None
    """(N, h, w) low-resolution logits of the window, for the next click; None for models without them."""

    def __post_init__(self) -> None:
        count = len(self.masks)
        for name in (*_COLUMNS, *_OPTIONAL):
            column = getattr(self, name)
            if column is not None and len(column) != count:
                raise ValueError(f"MaskSet.{name} has the wrong length: found {len(column)} rows, expected {count}")

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        height, width = self.shape_hw
        scores = self.predicted_iou
        best = f", predicted IoU {scores.min():.3f} to {scores.max():.3f}" if len(self) else ""
        return f"MaskSet({len(self)} masks of {width} x {height} px{best})"

    @classmethod
    def empty(cls, shape_hw: tuple[int, int]) -> MaskSet:
        """Return a set without masks."""
        return cls.of(shape_hw, (), np.zeros((0, 4), np.int32))

    @classmethod
    def of(
        cls,
        shape_hw: tuple[int, int],
        masks: Sequence[BoolArray],
        boxes_xyxy: NDArray[np.int32],
        *,
        predicted_iou: Iterable[float] | None = None,
        stability_score: Iterable[float] | None = None,
        prompt_index: Iterable[int] | None = None,
        granularity: Iterable[int] | None = None,
        **optional: Any,
    ) -> MaskSet:
        """Build a set from masks that are cropped to their boxes.

        Columns that are left out get the defaults: both scores 1.0, prompt index -1, granularity WHOLE.
        """
        count = len(masks)
        return cls(
            shape_hw,
            np.asarray(boxes_xyxy, np.int32).reshape(count, 4),
            tuple(masks),
            _column(predicted_iou, count, 1.0, np.float32),
            _column(stability_score, count, 1.0, np.float32),
            _column(prompt_index, count, -1, np.int32),
            _column(granularity, count, Granularity.WHOLE, np.int8),
            **optional,
        )

    @classmethod
    def from_full(cls, masks: Iterable[BoolArray], shape_hw: tuple[int, int], **columns: Any) -> MaskSet:
        """Build a set from masks of the whole window (H, W).

        Args:
            masks: N masks (H, W), none of them empty.
            shape_hw: (height, width) of the window in pixels.
            **columns: columns for :meth:`of`.

        Raises:
            ValueError: a mask has no pixel.
        """
        boxes, crops = [], []
        for mask in masks:
            box = box_around(mask)
            if box is None:
                raise ValueError("a mask is empty: found 0 pixels, expected at least one. Leave its row out")
            boxes.append(box.bounds_xyxy)
            crops.append(np.ascontiguousarray(mask[box.slices_rc]))
        return cls.of(shape_hw, crops, np.array(boxes, np.int32).reshape(-1, 4), **columns)

    @classmethod
    def from_labels(cls, labels: NDArray[np.integer[Any]], **columns: Any) -> MaskSet:
        """Build a set with one mask for each value of 1 .. N that occurs in a label map (H, W), in this order."""
        boxes, crops = [], []
        for value, place in enumerate(ndimage.find_objects(labels), start=1):
            if place is None:
                continue
            rows, cols = place
            boxes.append((cols.start, rows.start, cols.stop, rows.stop))
            crops.append(labels[place] == value)  # the box may contain pixels of other values
        shape_hw = (int(labels.shape[0]), int(labels.shape[1]))
        return cls.of(shape_hw, crops, np.array(boxes, np.int32).reshape(-1, 4), **columns)

    @classmethod
    def concatenate(cls, shape_hw: tuple[int, int], parts: Sequence[MaskSet]) -> MaskSet:
        """Join sets of one window, rows in order. An optional column stays if all parts with rows have it."""
        parts = [part for part in parts if len(part)] or list(parts[:1])
        if not parts:
            return cls.empty(shape_hw)
        columns: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS}
        for name in _OPTIONAL:
            values = [getattr(part, name) for part in parts]
            columns[name] = None if any(value is None for value in values) else np.concatenate(values)
        return cls(shape_hw, masks=tuple(mask for part in parts for mask in part.masks), **columns)

    @property
    def areas_px(self) -> NDArray[np.int64]:
        """(N,) areas in pixels."""
        return np.array([np.count_nonzero(mask) for mask in self.masks], np.int64)

    @property
    def touches(self) -> NDArray[np.uint8]:
        """(N,) edges of the window that each mask touches, as :class:`Edge` flags."""
        height, width = self.shape_hw
        x0, y0, x1, y1 = self.boxes_xyxy.T
        flags = (x0 == 0) * Edge.LEFT + (y0 == 0) * Edge.TOP + (x1 == width) * Edge.RIGHT + (y1 == height) * Edge.BOTTOM
        return np.asarray(flags, np.uint8)

    def full(self, row: int) -> BoolArray:
        """Return one mask in the whole window (H, W)."""
        mask = np.zeros(self.shape_hw, bool)
        x0, y0, x1, y1 = self.boxes_xyxy[row]
        mask[y0:y1, x0:x1] = self.masks[row]
        return mask

    def select(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_] | Sequence[int]) -> MaskSet:
        """Return the set of some rows: indices (K,), whose order is kept, or a boolean column (N,)."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.intp)
        columns: dict[str, Any] = {name: getattr(self, name)[index] for name in _COLUMNS}
        for name in _OPTIONAL:
            value = getattr(self, name)
            columns[name] = None if value is None else value[index]
        return replace(self, masks=tuple(self.masks[i] for i in index), **columns)

    def to_bytes(self) -> bytes:
        """Compress everything but the logits. :meth:`from_bytes` reads the result."""
        arrays: dict[str, NDArray[Any]] = {"shape_hw": np.array(self.shape_hw)}
        arrays |= {name: getattr(self, name) for name in _COLUMNS}
        arrays |= {name: getattr(self, name) for name in _STORED if getattr(self, name) is not None}
        # all masks share one row of bits: packed one by one, each of them would be padded to a whole byte
        bits = np.concatenate([mask.ravel() for mask in self.masks]) if self.masks else np.zeros(0, bool)
        return pack(arrays | {"bits": np.packbits(bits)})

    @classmethod
    def from_bytes(cls, data: bytes) -> MaskSet:
        """Read a set that :meth:`to_bytes` wrote."""
        columns: dict[str, Any] = unpack(data)
        height, width = columns.pop("shape_hw").tolist()
        x0, y0, x1, y1 = columns["boxes_xyxy"].T.astype(np.int64)
        ends = np.cumsum((y1 - y0) * (x1 - x0))
        bits = np.unpackbits(columns.pop("bits"), count=int(ends[-1]) if len(ends) else 0).view(bool)
        pieces = np.split(bits, ends[:-1]) if len(ends) else []
        shapes = zip((y1 - y0).tolist(), (x1 - x0).tolist(), strict=True)
        masks = tuple(piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True))
        return cls((height, width), masks=masks, **columns)


#: Columns that every set has, optional columns, and the optional columns that :meth:`MaskSet.to_bytes` stores.
_COLUMNS = ("boxes_xyxy", "predicted_iou", "stability_score", "prompt_index", "granularity")
_OPTIONAL = ("class_id", "class_score", "object_score", "logits")
_STORED = ("class_id", "class_score", "object_score")


def _column(values: Iterable[Any] | None, count: int, default: Any, dtype: Any) -> NDArray[Any]:
    """Return the values as an array, or `count` times the default."""
    if values is None:
        return np.full(count, default, dtype)
    return np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype)
