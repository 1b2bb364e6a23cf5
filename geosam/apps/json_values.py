"""Values as JSON knows them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any


def json_value(value: Any) -> Any:
    """Turn a value into one that JSON can hold.

    Numbers that are not finite have no JSON form and become None. Paths become text, numpy's numbers Python's, and
    anything else the text that `str` gives.
    """
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # numpy's numbers and arrays, without importing numpy
        return json_value(value.tolist())
    known = value is None or isinstance(value, (bool, int, str))
    return value if known else os.fsdecode(value) if isinstance(value, (os.PathLike, bytes)) else str(value)
