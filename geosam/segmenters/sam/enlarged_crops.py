"""Enlargement of a crop of a tile to the input of the network.

The resizing is that of `ResizeLongestSide` in segment_anything/utils/transforms.py: bilinear, until the longer side has
the size of the input. The rest of the input is padding at the bottom and right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


def enlarged_hw(shape_hw: tuple[int, int], size: int) -> tuple[int, int]:
    """Return (height, width) of a picture of `shape_hw` whose longer side becomes `size`, rounded half up."""
    scale = size / max(shape_hw)
    return int(shape_hw[0] * scale + 0.5), int(shape_hw[1] * scale + 0.5)


def enlarge(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Enlarge a picture (3, h, w) to (3, H, W) from :func:`enlarged_hw`, with Pillow's bilinear interpolation."""
    height, width = enlarged_hw((rgb.shape[1], rgb.shape[2]), size)
    # Tiles are never enlarged: a scene has a stated ground resolution. This is for crops only.
    picture = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
