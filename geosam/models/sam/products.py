"""Products of batches of matrices, of which a CPU usually has one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from geosam.models.sam.dense import linear

if TYPE_CHECKING:
    from torch import Tensor


def times_transposed(a: Tensor, b: Tensor) -> Tensor:
    """The products `a[i] @ b[i].T`: (B, M, K), (B, N, K) -> (B, M, N)."""
    if len(a) == 1:
        return linear(a[0], b[0])[None]
    return a @ b.transpose(1, 2)


def added(image: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The sums `image[i] + a[i] @ b[i]`: (1 or B, M, N), (B, M, K), (B, K, N) -> (B, M, N)."""
    if len(a) != 1:
        return (a @ b).add_(image)
    if a.dtype == torch.float32:
        return linear(a[0], b[0].T).add_(image[0])[None]
    return torch.addmm(image[0], a[0], b[0])[None]
