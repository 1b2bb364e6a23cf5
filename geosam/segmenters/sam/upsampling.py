"""From low-resolution logits to masks: what a mask decoder of the SAM family leaves to be done, box by box.

The reference (`postprocess_masks` of segment_anything/modeling/sam.py, `calculate_stability_score` and
`batched_mask_to_box` of segment_anything/utils/amg.py) enlarges every candidate four times to the whole input, cuts
the padding off, and counts and thresholds what it gets. Here only the part of a candidate that can exceed the lowest
threshold is enlarged. The result is the same to the bit (torch 2.13 rounds three masks that are enlarged as the
channels of one picture otherwise if it has a single thread; here every mask is a picture):

- Enlarging four times weighs neighbours by 1/8, 3/8, 5/8 and 7/8 wherever a patch begins, and a patch is large enough
  that torch takes the kernel it takes for the whole (the other one rounds differently).
- A pixel between values that are all at most `t` is itself at most `t`: rounding is monotonic, and the patch is cut
  where all values stay below `t` by more than rounding can add. So whatever lies outside counts nowhere.

Hence stability needs no estimate from the small logits either: it is counted on the pixels that matter.
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

#: Pixels of the input for one of the logits, along each axis.
SCALE = 4
#: Least side of a patch, in logits: torch interpolates outputs of which height and width sum up to 128 otherwise.
_LEAST_SIDE = 17
#: Pixels enlarged at once: what stays in a CPU's cache, and what keeps any other device busy.
_CPU_PX, _DEVICE_PX = 1 << 20, 1 << 26


class UpsampledMasks(NamedTuple):
    """R masks in the pixels of their tile, in the order of the logits they come from."""

    rows: NDArray[np.int64]
    """(R,) row of the logits of each mask."""
    boxes_xyxy: NDArray[np.int32]
    """(R, 4) tight boxes, right and bottom exclusive."""
    masks: tuple[BoolArray, ...]
    """R arrays (box height, box width)."""
    stability: NDArray[np.float32]
    """(R,) IoU of the masks above a higher and a lower threshold, before invalid pixels are taken off."""


class _Window(NamedTuple):
    """Half-open ranges of logits."""

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
    """The masks of logits that are stable and not empty, equal to the reference's to the bit.

    A mask does not depend on the other rows: any batches give the same masks.

    Args:
        logits: (K, h, w) of an input of 4h x 4w pixels, padded at the bottom and right; any device.
        input_hw: (height, width) of the input without its padding.
        valid: (H, W) pixels that may belong to a mask; all if None. Its size is `output_hw`, or more.
        output_hw: (height, width) of the tile, if it was enlarged for the input; `input_hw` if None.
        min_stability: less stable masks are left out; none are if None.
        threshold: pixels above it belong to the mask.
        offset: distance from `threshold` to the higher and the lower one of the stability score.
    """
    resized = None if output_hw in (None, input_hw) else output_hw
    found: dict[int, tuple[_Box, BoolArray, np.float32]] = {}
    for rows, values, shift_xy in _upsampled(logits.detach().float(), input_hw, resized, threshold - offset):
        stability = _counts(values, threshold + offset) / np.maximum(_counts(values, threshold - offset), 1)
        for row, one, score in zip(rows, values, stability, strict=True):
            if min_stability is None or score >= min_stability:
                cropped = _cropped((one > threshold).cpu().numpy(), shift_xy, valid)
                if cropped is not None:
                    found[row] = *cropped, score
    kept = [found[row] for row in sorted(found)]
    return UpsampledMasks(
        np.array(sorted(found), np.int64),
        np.array([box for box, _, _ in kept], np.int32).reshape(-1, 4),
        tuple(mask for _, mask, _ in kept),
        np.array([score for _, _, score in kept], np.float32),
    )


def _upsampled(
    logits: Tensor, input_hw: tuple[int, int], resized: tuple[int, int] | None, lowest: float
) -> Iterator[tuple[list[int], Tensor, tuple[int, int]]]:
    """Yield (rows, values (n, H, W), (x, y) of their first pixel) wherever logits may exceed `lowest`.

    Resizing is no matter of single patches: its weights depend on where a pixel lies in the tile.
    """
    on_cpu = logits.device.type == "cpu"
    limit = _CPU_PX if on_cpu else _DEVICE_PX
    windows = _windows(logits, input_hw, lowest, patches=on_cpu and resized is None)
    for window, members in windows.items():
        top, bottom, left, right = window
        height, width = SCALE * (bottom - top), SCALE * (right - left)
        seen_hw = input_hw[0] - SCALE * top, input_hw[1] - SCALE * left
        at_once = max(1, limit // (height * width))
        for start in range(0, len(members), at_once):
            rows = members[start : start + at_once]
            patches = torch.stack([logits[row, top:bottom, left:right] for row in rows])
            values = _interpolated(patches[:, None], (height, width))[..., : seen_hw[0], : seen_hw[1]]
            values = values if resized is None else _interpolated(values, resized)
            yield rows, values[:, 0], (SCALE * left, SCALE * top)


def _interpolated(values: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return functional.interpolate(values, size_hw, mode="bilinear", align_corners=False)


def _windows(logits: Tensor, input_hw: tuple[int, int], lowest: float, *, patches: bool) -> dict[_Window, list[int]]:
    """The rows of the logits by the window that holds all their values above `lowest`; rows without any are left out.

    Without `patches` every window is the whole: one large batch suits a device better than many small patches.
    """
    sides = [min(side, (seen - 1) // SCALE + 2) for side, seen in zip(logits.shape[1:], input_hw, strict=True)]
    seen = logits[:, : sides[0], : sides[1]]
    # Rounding may lift an interpolated value by a few units in the last place.
    least = lowest - 1e-6 * abs(lowest)
    in_rows, in_cols = (seen.amax(dim) > least for dim in (2, 1))
    spans = [
        _spans(found.cpu().numpy(), side) for found, side in zip((in_rows, in_cols), logits.shape[1:], strict=True)
    ]
    whole = _Window(0, logits.shape[1], 0, logits.shape[2])
    windows: dict[_Window, list[int]] = {}
    for row in np.flatnonzero(in_rows.any(1).cpu().numpy()).tolist():
        window = _Window(*spans[0][row], *spans[1][row]) if patches else whole
        windows.setdefault(window, []).append(row)
    return windows


def _spans(found: BoolArray, side: int) -> list[tuple[int, int]]:
    """For every row of (K, n): from one before its first true column to one after its last, long enough, in `side`."""
    end = np.minimum(found.shape[1] - np.argmax(found[:, ::-1], axis=1) + 1, side)
    first = np.maximum(np.minimum(np.argmax(found, axis=1) - 1, end - _LEAST_SIDE), 0)
    end = np.minimum(np.maximum(end, first + _LEAST_SIDE), side)
    return list(zip(first.tolist(), end.tolist(), strict=True))


def _counts(values: Tensor, level: float) -> NDArray[np.float32]:
    """(n,) pixels of (n, H, W) above `level`, on the CPU by NumPy, which is five times as fast there."""
    if values.device.type == "cpu":
        return np.array([np.count_nonzero(one > level) for one in values.numpy()], np.float32)
    return torch.count_nonzero(values > level, dim=(1, 2)).cpu().numpy().astype(np.float32)


def _cropped(mask: BoolArray, shift_xy: tuple[int, int], valid: BoolArray | None) -> tuple[_Box, BoolArray] | None:
    """(box, crop) of the valid pixels of a mask whose first pixel is `shift_xy` of the tile, None if there are none."""
    x, y = shift_xy
    if valid is not None:
        mask = mask & valid[y : y + mask.shape[0], x : x + mask.shape[1]]
    box = box_around(mask)
    return None if box is None else (box.shifted(x, y).bounds_xyxy, mask[box.slices_rc].copy())
