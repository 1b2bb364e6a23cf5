"""Windows of tokens."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from geosam.segmenters.sam.attention import join_windows, split_windows

SIZES = pytest.mark.parametrize(("height", "width"), [(6, 9), (7, 9), (2, 1), (8, 10)])


def numbered(height, width):
    return torch.arange(2 * height * width * 4.0).reshape(2, height, width, 4)


@SIZES
def test_windows_are_squares_of_the_map_with_the_fill_around_it(height, width):
    tokens, fill = numbered(height, width), torch.tensor([-1.0, -2.0, -3.0, -4.0])
    below, right = -height % 3, -width % 3
    padded = functional.pad(tokens - fill, (0, 0, 0, right, 0, below)) + fill
    expected = [
        image[row : row + 3, column : column + 3].flatten(0, 1)
        for image in padded
        for row in range(0, height, 3)
        for column in range(0, width, 3)
    ]
    assert torch.equal(split_windows(tokens, 3, fill), torch.stack(expected))


@SIZES
def test_joining_undoes_splitting(height, width):
    tokens = numbered(height, width)
    assert torch.equal(join_windows(split_windows(tokens, 3, torch.zeros(4)), 3, height, width), tokens)
