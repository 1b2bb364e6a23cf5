"""Fixtures of runs."""

import pytest
from store_bench import bench_in


@pytest.fixture
def bench(tmp_path):
    """A scene of 15 tiles, whose first tile has few valid pixels."""
    return bench_in(tmp_path)
