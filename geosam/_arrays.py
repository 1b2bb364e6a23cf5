"""The array types that several rooms use."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

BoolArray: TypeAlias = NDArray[np.bool_]


Floats: TypeAlias = NDArray[np.float64]


Labels: TypeAlias = NDArray[np.int32]
"""(H, W) number of the area of each pixel, 0 for none."""
