"""Masks from low-resolution logits, enlarged box by box.

The reference (`postprocess_masks` of segment_anything/modeling/sam.py, `calculate_stability_score` and
`batched_mask_to_box` of segment_anything/utils/amg.py) enlarges every mask four times to the whole input, cuts the
padding off, and then counts and thresholds. Here only the part of a mask that can exceed the lowest threshold is
enlarged. The result is the same to the bit:

- Four-fold enlargement weighs neighbours by 1/8, 3/8, 5/8 and 7/8, wherever a patch begins. A patch is large enough
  that torch selects the same kernel as for the whole (the other kernel rounds differently).
- A pixel between values of at most `t` is itself at most `t`, because rounding is monotonic. A patch ends where all
  values are below `t` by more than rounding can add, so no pixel outside of it counts.

So stability is exact too: it is counted on the enlarged pixels. Every mask is enlarged as a picture of its own: with a
single thread, torch 2.13 rounds three masks differently if they are channels of one picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from geosam.geometry.pixel_sets import box_around

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from geosam._arrays import BoolArray

    _Box = tuple[int, int, int, int]

#: Pixels of the input for one logit, along each axis.
SCALE = 4
#: Least side of a patch in logits. Torch has another kernel for outputs whose height and width add up to 128 or less.
_LEAST_SIDE = 17
#: Pixels that are enlarged together: on a CPU as many as stay in cache, elsewhere as many as keep the device busy.
_CPU_PX, _DEVICE_PX = 1 << 20, 1 << 26


class UpsampledMasks(NamedTuple):
    """R masks in pixels of their tile, in the order of their logits."""

    rows: NDArray[np.int64]
    """(R,) row of each mask in the logits."""
    boxes_xyxy: NDArray[np.int32]
    """(R, 4) tight boxes (x0, y0, x1, y1); x1 and y1 are exclusive."""
    masks: tuple[BoolArray, ...]
    """R masks (box height, box width)."""
    stability: NDArray[np.float32]
    """(R,) IoU of the masks above a higher and a lower threshold, before invalid pixels are removed."""


class _Window(NamedTuple):
    """Half-open ranges of rows and columns of logits."""

    top: int
    bottom: int
    left: int
    right: int


def masks_from_logits(
    logits: Tensor,
    input_hw: tuple[int, int],
    valid: BoolArray | None = None,
    *,
    output_hw: tuple[int, int] | None = None,
    min_stability: float | None = None,
    threshold: float = 0.0,
    offset: float = 1.0,
) -> UpsampledMasks:
    """Return the masks that are stable and not empty, equal to those of the reference to the bit.

    A mask does not depend on the other rows.

    Args:
        logits: (K, h, w) logits of an input of 4h x 4w pixels, padded at the bottom and right; on any device.
        input_hw: (height, width) of the input without its padding.
        valid: (H, W) pixels that may belong to a mask; None for all. Its size is at least `output_hw`.
        output_hw: (height, width) of a tile that was enlarged for the input; None for `input_hw`.
        min_stability: least stability score; None for any.
        threshold: logit above which a pixel belongs to the mask.
        offset: distance from `threshold` to the higher and to the lower threshold of the stability score.
    """
    resized = None if output_hw in (None, input_hw) else output_hw
    results: dict[int, tuple[_Box, BoolArray, np.float32]] = {}
    for rows, values, shift_xy in _upsampled(logits.detach().float(), input_hw, resized, threshold - offset):
        stability = _counts(values, threshold + offset) / np.maximum(_counts(values, threshold - offset), 1)
        for row, pixels, score in zip(rows, values, stability, strict=True):
            if min_stability is None or score >= min_stability:
                cropped = _cropped((pixels > threshold).cpu().numpy(), shift_xy, valid)
                if cropped is not None:
                    results[row] = *cropped, score
    ordered = [results[row] for row in sorted(results)]
    return UpsampledMasks(
        np.array(sorted(results), np.int64),
        np.array([box for box, _, _ in ordered], np.int32).reshape(-1, 4),
        tuple(mask for _, mask, _ in ordered),
        np.array([score for _, _, score in ordered], np.float32),
    )


def _upsampled(
    logits: Tensor, input_hw: tuple[int, int], resized: tuple[int, int] | None, lowest: float
) -> Iterator[tuple[list[int], Tensor, tuple[int, int]]]:
    """Yield (rows, values (n, H, W), (x, y) of their first pixel) for the patches that may exceed `lowest`."""
    on_cpu = logits.device.type == "cpu"
    limit = _CPU_PX if on_cpu else _DEVICE_PX
    # The weights of a resizing depend on the place of a pixel in the tile, so it needs whole masks.
    windows = _windows(logits, input_hw, lowest, patches=on_cpu and resized is None)
    for window, members in windows.items():
        top, bottom, left, right = window
        height, width = SCALE * (bottom - top), SCALE * (right - left)
        unpadded_hw = input_hw[0] - SCALE * top, input_hw[1] - SCALE * left
        at_once = max(1, limit // (height * width))
        for start in range(0, len(members), at_once):
            rows = members[start : start + at_once]
            patches = torch.stack([logits[row, top:bottom, left:right] for row in rows])
            values = _interpolated(patches[:, None], (height, width))[..., : unpadded_hw[0], : unpadded_hw[1]]
            values = values if resized is None else _interpolated(values, resized)
            yield rows, values[:, 0], (SCALE * left, SCALE * top)


def _interpolated(values: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return functional.interpolate(values, size_hw, mode="bilinear", align_corners=False)


def _windows(logits: Tensor, input_hw: tuple[int, int], lowest: float, *, patches: bool) -> dict[_Window, list[int]]:
    """Group the rows of the logits by the window that contains all their values above `lowest`.

    Rows without such values are left out. Without `patches`, every window is the whole: one large batch suits a device
    better than many small patches.
    """
    sides = [min(side, (unpadded - 1) // SCALE + 2) for side, unpadded in zip(logits.shape[1:], input_hw, strict=True)]
    unpadded = logits[:, : sides[0], : sides[1]]
    # Rounding may lift an interpolated value by a few units in the last place.
    limit = lowest - 1e-6 * abs(lowest)
    in_rows, in_cols = (unpadded.amax(dim) > limit for dim in (2, 1))
    spans = [
        _spans(above.cpu().numpy(), side) for above, side in zip((in_rows, in_cols), logits.shape[1:], strict=True)
    ]
    whole = _Window(0, logits.shape[1], 0, logits.shape[2])
    windows: dict[_Window, list[int]] = {}
    for row in np.flatnonzero(in_rows.any(1).cpu().numpy()).tolist():
        window = _Window(*spans[0][row], *spans[1][row]) if patches else whole
        windows.setdefault(window, []).append(row)
    return windows


def _spans(above: BoolArray, side: int) -> list[tuple[int, int]]:
    """Return a range within 0 .. `side` for each row (K, n): its True columns and one more at each end, long enough."""
    end = np.minimum(above.shape[1] - np.argmax(above[:, ::-1], axis=1) + 1, side)
    first = np.maximum(np.minimum(np.argmax(above, axis=1) - 1, end - _LEAST_SIDE), 0)
    end = np.minimum(np.maximum(end, first + _LEAST_SIDE), side)
    return list(zip(first.tolist(), end.tolist(), strict=True))


def _counts(values: Tensor, level: float) -> NDArray[np.float32]:
    """Count the pixels above `level` of each of n masks (n, H, W)."""
    if values.device.type == "cpu":
        # NumPy counts five times as fast as torch.
        return np.array([np.count_nonzero(pixels > level) for pixels in values.numpy()], np.float32)
    return torch.count_nonzero(values > level, dim=(1, 2)).cpu().numpy().astype(np.float32)


def _cropped(mask: BoolArray, shift_xy: tuple[int, int], valid: BoolArray | None) -> tuple[_Box, BoolArray] | None:
    """Return (box, crop) of the valid pixels of a mask whose first pixel lies at `shift_xy`; None without any."""
    x, y = shift_xy
    if valid is not None:
        mask = mask & valid[y : y + mask.shape[0], x : x + mask.shape[1]]
    box = box_around(mask)
    return None if box is None else (box.shifted(x, y).bounds_xyxy, mask[box.slices_rc].copy())
