"""Resampling on a fixed grid: the value of an output pixel depends only on its place. Arrays only.

GDAL warps in chunks and rounds differently in each. Here every output pixel is a weighted mean. Its weights come from
its absolute position and its terms are added in a fixed order, so overlapping windows agree to the byte. Coarser pixels
average the area that they cover, finer ones are interpolated between the nearest centres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geosam._arrays import BoolArray, Floats

#: Least share of an output pixel's weight that must come from valid input pixels.
MIN_VALID_SHARE = 0.5
#: Means are rounded to this many decimals, so that a flipped copy, whose terms are added backwards, agrees.
_DECIMALS = 6


@dataclass(frozen=True)
class AxisScale:
    """One axis of the output grid: output pixel i covers the input pixels ``i * scale .. (i + 1) * scale``."""

    scale: float
    """Input pixels per output pixel."""
    size: int
    """Number of input pixels."""

    def support(self, begin: int, end: int) -> tuple[int, int]:
        """Return the half-open range of input pixels that outputs ``begin .. end`` depend on."""
        margin = 0.0 if self.scale >= 1 else 1.0
        low = math.floor(begin * self.scale - margin)
        high = math.ceil(end * self.scale + margin)
        return max(0, min(low, self.size - 1)), max(1, min(high, self.size))

    def weights(self, begin: int, end: int) -> sparse.csr_matrix:
        """Return the weights of the inputs of :meth:`support` for the outputs ``begin .. end``.

        Returns:
            Sparse matrix (outputs, inputs). A row sums to 1, or to less if the output pixel reaches over the end of the
            input.
        """
        low, high = self.support(begin, end)
        outputs = np.arange(begin, end, dtype=np.float64)
        if self.scale >= 1:  # the mean of the area that the output pixel covers
            first, last = outputs * self.scale, (outputs + 1) * self.scale
            inputs = np.floor(first)[:, None] + np.arange(min(math.ceil(self.scale), self.size) + 1)
            covered = np.minimum(last[:, None], inputs + 1) - np.maximum(first[:, None], inputs)
            values = np.maximum(covered, 0.0) / self.scale
        else:  # linear interpolation between the two nearest centres, constant beyond the outermost
            centre = np.clip((outputs + 0.5) * self.scale, 0.5, self.size - 0.5) - 0.5
            inputs = np.floor(centre)[:, None] + np.arange(2)
            values = 1.0 - np.abs(inputs - centre[:, None])
        values[(inputs < low) | (inputs >= high)] = 0.0
        columns = np.clip(inputs - low, 0, high - low - 1).astype(np.int32)
        ends = np.arange(0, values.size + 1, values.shape[1])
        return sparse.csr_matrix((values.ravel(), columns.ravel(), ends), shape=(end - begin, high - low))


def resample(
    bands: NDArray[Any], valid: BoolArray, rows: sparse.csr_matrix, cols: sparse.csr_matrix
) -> tuple[Floats, BoolArray]:
    """Average the valid pixels that each output pixel covers.

    Args:
        bands: values (B, h, w); values of invalid pixels have no influence.
        valid: valid pixels (h, w).
        rows: weights (H, h) of :meth:`AxisScale.weights`.
        cols: weights (W, w) along x.

    Returns:
        Means (B, H, W), and True (H, W) where enough of the pixel is valid.
    """
    full = bool(valid.all())  # then integers need no copy with the invalid pixels set to 0
    share = _weighted(valid.astype(np.float64), rows, cols)
    divisor = np.where(share > 0, share, 1.0)
    means = np.empty((len(bands), *share.shape))
    for mean, band in zip(means, bands, strict=True):
        usable = band if full and band.dtype.kind in "iu" else np.where(valid & np.isfinite(band), band, 0)
        np.round(_weighted(usable.astype(np.float64), rows, cols) / divisor, _DECIMALS, out=mean)
    return means, np.round(share, _DECIMALS) >= MIN_VALID_SHARE


def _weighted(values: Floats, rows: sparse.csr_matrix, cols: sparse.csr_matrix) -> Floats:
    return np.asarray((cols @ (rows @ values).T).T)
