"""A picture smaller than the network's input, enlarged to it: how crops of a tile are looked at.

It is the resizing of the reference (`ResizeLongestSide` of segment_anything/utils/transforms.py): the longer side
grows to the input's, bilinearly, and the rest of the input is padding at the bottom and right. Tiles themselves are
never enlarged; for them a scene's ground resolution is stated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


def enlarged_hw(shape_hw: tuple[int, int], size: int) -> tuple[int, int]:
    """(height, width) of a picture of `shape_hw` when its longer side is `size`, rounded half up."""
    scale = size / max(shape_hw)
    return int(shape_hw[0] * scale + 0.5), int(shape_hw[1] * scale + 0.5)


def enlarge(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(3, h, w) -> (3, H, W) with (H, W) from :func:`enlarged_hw`, as Pillow interpolates."""
    height, width = enlarged_hw((rgb.shape[1], rgb.shape[2]), size)
    picture = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
