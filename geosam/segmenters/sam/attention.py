"""Scaled dot product attention, on CPUs with the matrix products of oneDNN.

PyTorch's own kernel for CPUs multiplies in MKL, at half of oneDNN's speed on AMD processors, and knows no bfloat16
instructions. Process time on one Zen 5 core:

    4096 tokens, 4 heads of 96                 float32 246 -> 141 ms    bfloat16 260 -> 120 ms
    25 windows of 196 tokens, 4 heads of 96                             bfloat16  18 ->   9 ms
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from geosam.segmenters.sam.dense import linear, onednn_serves

if TYPE_CHECKING:
    from torch import Tensor

#: Keys from which on one head is work enough for a product of its own.
MANY_KEYS = 1024
#: Queries whose scores are held at once, so that they stay in cache: against 4096 keys 8 MB.
QUERIES_AT_ONCE = 512


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Values weighted by softmax(query . key / sqrt(D)).

    Args:
        query: (B, heads, Q, D), like the others with any strides.
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
    """Attention to many keys.

    Scores are made in float32 whatever the type, as fused kernels do: rounded to bfloat16 they triple the error of the
    result (2e-3 to 6e-3, relative). Within windows, where bfloat16 scores double it, speed goes first.
    """
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
