"""Stretch: the map of band values of any type to the uint8 picture that models see. Arrays only, no files.

One stretch serves a whole scene, so that a live click, a cached embedding and a batch run see the same picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from geosam.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from geosam._arrays import BoolArray, Bytes

#: Percentiles of the automatic stretch: the cumulative count cut that QGIS shows by default, so that the model
#: sees the scene as the analyst does.
PERCENTILES = (2.0, 98.0)

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}),({_NUMBER})")
_PERCENT = re.compile(rf"p({_NUMBER}),p({_NUMBER})")


@dataclass(frozen=True)
class Stretch:
    """A linear map of band values to 0 .. 255, clipped; one pair of limits per band."""

    low: tuple[float, ...]
    """Values that become 0."""
    high: tuple[float, ...]
    """Values that become 255."""

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not self.low:
            raise ValueError(f"a stretch needs as many low as high values: found {self.low} and {self.high}")

    @classmethod
    def identity(cls, bands: int = 3) -> Stretch:
        """Return the stretch that keeps values 0 .. 255 as they are."""
        return cls((0.0,) * bands, (255.0,) * bands)

    @property
    def is_identity(self) -> bool:
        """True if values 0 .. 255 stay as they are."""
        return self == Stretch.identity(len(self.low))

    def apply(self, bands: NDArray[Any], valid: BoolArray) -> Bytes:
        """Turn band values into a picture.

        Args:
            bands: values (3, H, W) or (1, H, W); a single band is repeated three times.
            valid: valid pixels (H, W); all others become 0.

        Returns:
            The picture (3, H, W); values that are not finite become 0.
        """
        if len(bands) != len(self.low):
            raise ValueError(f"the stretch has {len(self.low)} bands, the picture {len(bands)}")
        picture = np.empty((3, *bands.shape[1:]), np.uint8)
        for index, (band, low, high) in enumerate(zip(bands, self.low, self.high, strict=True)):
            picture[index] = _scaled(band, low, high)
        picture[len(bands) :] = picture[0]
        if not valid.all():
            picture *= valid
        return picture

    def to_json(self) -> dict[str, list[float]]:
        """Return a plain dictionary, which :meth:`from_json` reads."""
        return {"low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]]) -> Stretch:
        """Read what :meth:`to_json` wrote."""
        return cls(tuple(map(float, data["low"])), tuple(map(float, data["high"])))


@dataclass(frozen=True)
class StretchRule:
    """Rule by which the stretch of a scene is chosen: ``auto``, ``none``, ``MIN,MAX`` or ``pLO,pHI``."""

    kind: Literal["auto", "none", "range", "percentiles"]
    """Form of the rule."""
    low: float = PERCENTILES[0]
    """Value or percentile that becomes 0."""
    high: float = PERCENTILES[1]
    """Value or percentile that becomes 255."""

    @classmethod
    def parse(cls, text: str) -> StretchRule:
        """Read a rule from text.

        Raises:
            UsageError: the text is none of the four forms, or the limits are not increasing.
        """
        compact = text.replace(" ", "")
        if compact == "auto":
            return cls("auto")
        if compact == "none":
            return cls("none", 0.0, 255.0)
        percent, plain = _PERCENT.fullmatch(compact), _RANGE.fullmatch(compact)
        match = percent or plain
        low, high = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
        if low >= high or (percent and not 0 <= low < high <= 100):
            raise UsageError(
                f'not a stretch: `stretch`: found "{text}", expected auto, none, MIN,MAX with MIN < MAX, or pLO,pHI '
                "with 0 <= LO < HI <= 100.",
                remedy='For example `stretch="p2,p98"` or `stretch="0,4095"`.',
                code="not-a-stretch",
                stretch=text,
            )
        return cls("percentiles" if percent else "range", low, high)

    def needs_sample(self, *, is_picture: bool) -> bool:
        """Return True if :meth:`resolve` needs samples; `is_picture` is :attr:`BandPlan.is_picture`."""
        return self.kind == "percentiles" or (self.kind == "auto" and not is_picture)

    def resolve(self, samples: Sequence[NDArray[Any]], dtype: DTypeLike, *, is_picture: bool) -> Stretch:
        """Choose the stretch of a scene.

        Args:
            samples: valid values of each band, 1-D; they may be empty if :meth:`needs_sample` is False.
            dtype: type of the bands.
            is_picture: True for uint8 bands that are a picture as they are.
        """
        count = len(samples)
        if self.needs_sample(is_picture=is_picture):
            limits = [_limits(sample, dtype, self.low, self.high) for sample in samples]
            return Stretch(tuple(low for low, _ in limits), tuple(high for _, high in limits))
        if self.kind == "range":
            return Stretch((self.low,) * count, (self.high,) * count)
        return Stretch.identity(count)


def _limits(sample: NDArray[Any], dtype: DTypeLike, low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of the finite values.

    If they are equal, return the extremes instead; if there is no value, the range of `dtype`.
    """
    finite = sample[np.isfinite(sample)].astype(np.float64)
    if not len(finite):
        kind = np.dtype(dtype)
        return (float(np.iinfo(kind).min), float(np.iinfo(kind).max)) if kind.kind in "iu" else (0.0, 1.0)
    first, last = np.percentile(finite, (low, high))
    # On a constant ground, percentiles would cut away the one rare object.
    return (float(first), float(last)) if first < last else (float(finite.min()), float(finite.max()))


def _scaled(band: NDArray[Any], low: float, high: float) -> Bytes:
    if band.dtype == np.uint8 and (low, high) == (0.0, 255.0):  # the identity
        return band
    if band.dtype.kind in "iu" and band.dtype.itemsize <= 2:  # a table is several times faster than arithmetic
        unsigned = np.dtype(f"u{band.dtype.itemsize}")
        return np.take(_table(band.dtype.str, low, high), band.view(unsigned))
    return _linear(band, low, high)


@lru_cache(maxsize=32)
def _table(dtype: str, low: float, high: float) -> Bytes:
    """Return the stretched values of all values of a type of at most 16 bits.

    The index is a value's bits read as an unsigned number.
    """
    size = np.dtype(dtype).itemsize
    return _linear(np.arange(1 << (8 * size), dtype=f"u{size}").view(dtype), low, high)


def _linear(values: NDArray[Any], low: float, high: float) -> Bytes:
    span = high - low if high > low else 1.0  # a constant scene becomes black, and a value above it white
    scaled = values.astype(np.float64)
    scaled -= low
    scaled *= 255.0 / span
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(np.clip(scaled, 0.0, 255.0, out=scaled), out=scaled).astype(np.uint8)
