"""Square windows of tokens, within which most attention layers of image encoders look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def split_windows(x: Tensor, window: int, fill: Tensor) -> Tensor:
    """Cut a map of tokens into windows, row by row; those at the right and lower rim may overhang it.

    The encoders were trained with windows padded by zeros, and their attention looks at the padding too. What it sees
    there is the same for every padded token, so layers run on real tokens only and the padding is filled in here.

    Args:
        x: (B, H, W, C).
        window: tokens per side.
        fill: (C) the value of tokens that lie outside the map.

    Returns:
        (B * windows, window * window, C).
    """
    batch, height, width, channels = x.shape
    rows, columns = -(-height // window), -(-width // window)
    padded = x.new_empty(batch, rows * window, columns * window, channels)
    padded[:, :height, :width] = x
    padded[:, height:] = fill
    padded[:, :height, width:] = fill
    tiles: Tensor = padded.unflatten(2, (columns, window)).unflatten(1, (rows, window)).transpose(2, 3)
    return tiles.reshape(-1, window * window, channels)


def join_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """Undo `split_windows`: (B * windows, window * window, C) -> (B, height, width, C), without the padding."""
    rows, columns = -(-height // window), -(-width // window)
    tiles = x.view(-1, rows, columns, window, window, x.shape[-1]).transpose(2, 3)
    return tiles.reshape(-1, rows * window, columns * window, x.shape[-1])[:, :height, :width]
