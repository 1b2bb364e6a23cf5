"""Features that wait on disk: all rows come back, in order, in batches that do not depend on how they came."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geosam.vector import buffer
from geosam.vector.buffer import ROWS, FeatureBuffer

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("text", pa.string())])


def batch_of(numbers):
    return pa.record_batch([pa.array(numbers, pa.int64()), pa.array([str(n) for n in numbers])], schema=SCHEMA)


def numbers_in(features):
    return [batch.column("n").to_pylist() for batch in features]


@given(st.lists(st.integers(0, 9), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_back_in_batches_of_one_size_however_they_were_appended(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(buffer, "ROWS", 5)
    numbers = list(range(sum(sizes)))
    with FeatureBuffer(tmp_path / "features.arrow", SCHEMA) as features:
        start = 0
        for size in sizes:
            features.append(batch_of(numbers[start : start + size]))
            start += size
        features.end()
        assert numbers_in(features) == [numbers[i : i + 5] for i in range(0, len(numbers), 5)]
        assert numbers_in(features) == numbers_in(features)


def test_large_batches_are_cut_and_small_ones_joined(tmp_path):
    with FeatureBuffer(tmp_path / "features.arrow", SCHEMA) as features:
        features.append(batch_of(list(range(2 * ROWS + 10))))
        for number in range(20):
            features.append(batch_of([number]))
        features.end()
        assert [batch.num_rows for batch in features] == [ROWS, ROWS, 30]
        assert all(batch.schema.equals(SCHEMA) for batch in features)


def test_rows_wait_on_the_disk_and_not_in_memory(tmp_path):
    path = tmp_path / "features.arrow"
    with FeatureBuffer(path, SCHEMA) as features:
        before = pa.total_allocated_bytes()
        for start in range(0, 40 * ROWS, ROWS):
            features.append(batch_of(list(range(start, start + ROWS))))
        assert pa.total_allocated_bytes() - before < 10 * batch_of(list(range(ROWS))).nbytes
        features.end()
        assert 0 < path.stat().st_size < 40 * batch_of(list(range(ROWS))).nbytes  # compressed


def test_a_failed_block_closes_the_file_and_keeps_the_error(tmp_path):
    def fail():
        with FeatureBuffer(tmp_path / "features.arrow", SCHEMA) as features:
            features.append(batch_of([1]))
            raise KeyError("half-way")

    with pytest.raises(KeyError, match="half-way"):
        fail()
    (tmp_path / "features.arrow").unlink()


def test_a_buffer_without_rows_is_empty(tmp_path):
    with FeatureBuffer(tmp_path / "features.arrow", SCHEMA) as features:
        features.end()
        assert list(features) == []
