import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosam.apps.json_values import json_value

trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.builds(Path, st.just("a.tif")),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(trees)
def test_every_value_becomes_one_that_strict_json_holds(value):
    assert json.loads(json.dumps(json_value(value), allow_nan=False)) == json_value(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_values_that_json_knows_stay_as_they_are(value):
    assert json_value(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (-math.inf, None),
        (Path("a") / "b.tif", "a/b.tif"),
        (b"caf\xe9.tif", "caf\udce9.tif"),
        (np.float32(0.5), 0.5),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        ({1: (2, 3)}, {"1": [2, 3]}),
        (ValueError("why"), "why"),
    ],
)
def test_other_values_become_the_nearest_that_json_knows(value, expected):
    assert json_value(value) == expected
