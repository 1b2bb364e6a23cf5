"""Scaled dot product attention, on CPUs with the matrix products of oneDNN, and the division of maps into windows.

PyTorch's own kernel for CPUs multiplies in MKL, at half of oneDNN's speed on AMD processors, and has no bfloat16
instructions. Process time on one Zen 5 core:

    4096 tokens, 4 heads of 96                 float32 246 -> 141 ms    bfloat16 260 -> 120 ms
    25 windows of 196 tokens, 4 heads of 96                             bfloat16  18 ->   9 ms
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from geosam.segmenters.sam.dense import linear, onednn_serves

if TYPE_CHECKING:
    from torch import Tensor

#: Number of keys from which each head gets a matrix product of its own.
MANY_KEYS = 1024
#: Queries whose scores are in memory at once. Against 4096 keys they are 8 MB and stay in cache.
QUERIES_AT_ONCE = 512


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the values weighted by softmax(query . key / sqrt(D)). The arguments may have any strides.

    Args:
        query: (B, heads, Q, D).
        key: (B, heads, K, D).
        value: (B, heads, K, D).

    Returns:
        (B, heads, Q, D).
    """
    if onednn_serves(query):
        if key.shape[2] >= MANY_KEYS:
            return _head_by_head(query, key, value)
        if query.dtype == torch.bfloat16:
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
            return torch.matmul(scores.softmax(dim=-1), value)
    return functional.scaled_dot_product_attention(query, key, value)


def _head_by_head(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute attention to many keys, one head at a time."""
    # Scores are float32 for every type, as in fused kernels. Rounded to bfloat16, they would triple the relative error
    # of the result (2e-3 to 6e-3). Within windows they only double it, and there speed matters more.
    batch, heads, queries, depth = query.shape
    out = query.new_empty(batch, queries, heads, depth).transpose(1, 2)
    for at in product(range(batch), range(heads)):
        wide = query[at].float() * depth**-0.5
        keys, values = key[at].float().contiguous(), value[at].T.contiguous()
        for start in range(0, queries, QUERIES_AT_ONCE):
            block = slice(start, start + QUERIES_AT_ONCE)
            weights = linear(wide[block], keys).softmax(dim=-1).to(value.dtype)
            out[at][block] = linear(weights, values)
    return out


def split_windows(x: Tensor, window: int, fill: Tensor) -> Tensor:
    """Cut a map of tokens into windows, row by row. Windows at the right and lower edge may reach over the map.

    The encoders were trained with windows that are padded with zeros, and attention includes the padding. Every padded
    token has the same value, so layers run on real tokens only, and the padding is filled in here.

    Args:
        x: (B, H, W, C).
        window: tokens per side.
        fill: (C) value of the tokens outside the map.

    Returns:
        (B * windows, window * window, C).
    """
    batch, height, width, channels = x.shape
    rows, columns = -(-height // window), -(-width // window)
    padded = x.new_empty(batch, rows * window, columns * window, channels)
    padded[:, :height, :width] = x
    padded[:, height:] = fill
    padded[:, :height, width:] = fill
    windows: Tensor = padded.unflatten(2, (columns, window)).unflatten(1, (rows, window)).transpose(2, 3)
    return windows.reshape(-1, window * window, channels)


def join_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """Undo `split_windows` and drop the padding: (B * windows, window * window, C) -> (B, height, width, C)."""
    rows, columns = -(-height // window), -(-width // window)
    windows = x.view(-1, rows, columns, window, window, x.shape[-1]).transpose(2, 3)
    return windows.reshape(-1, rows * window, columns * window, x.shape[-1])[:, :height, :width]
