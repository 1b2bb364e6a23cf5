"""The array types that several rooms use."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

BoolArray: TypeAlias = NDArray[np.bool_]
"""Masks, and other answers of yes or no."""

Bytes: TypeAlias = NDArray[np.uint8]
"""Pictures, as 0 .. 255."""

Floats: TypeAlias = NDArray[np.float64]
"""Coordinates, areas, distances: everything that is measured."""

Singles: TypeAlias = NDArray[np.float32]
"""Pictures and maps in the precision of networks."""

Integers: TypeAlias = NDArray[np.int64]
"""Counts and offsets."""

Indexes: TypeAlias = NDArray[np.intp]
"""Numbers of rows, to index other arrays with."""

Labels: TypeAlias = NDArray[np.int32]
"""Numbers of regions or objects (H, W); 0 is none."""

PointLabels: TypeAlias = NDArray[np.int8]
"""Labels of the points of a prompt (K,): 1 includes, 0 excludes."""

Geometries: TypeAlias = NDArray[np.object_]
"""Shapely geometries."""
