"""Arrays and blocks of bytes survive packing, and equal ones give equal bytes."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geosam.packing import join, pack, plain, split, unpack

DTYPES = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(sizes=(32, 64))
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
NAMED = st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4)


def bits(array):
    return array.dtype, array.shape, array.tobytes()


@given(NAMED)
def test_packed_arrays_come_back_with_names_order_types_and_shapes(arrays):
    unpacked = unpack(pack(arrays))
    assert list(unpacked) == list(arrays)
    assert {name: bits(array) for name, array in unpacked.items()} == {name: bits(a) for name, a in arrays.items()}


@given(NAMED)
def test_equal_arrays_give_equal_bytes_in_whatever_order_they_lie_in_memory(arrays):
    turned = {name: np.asfortranarray(array) if array.ndim else array for name, array in arrays.items()}
    assert pack(turned) == pack(arrays)


@given(ARRAYS, st.binary(max_size=9))
def test_arrays_that_differ_give_other_bytes(array, extra):
    longer = np.frombuffer(array.tobytes() + extra + b"x", np.uint8)
    assert pack({"a": array}) != pack({"a": longer}) or bits(array) == bits(longer)
    assert pack({"a": array}) != pack({"b": array})


def test_packed_zeros_take_little_room():
    assert len(pack({"mask": np.zeros((1000, 1000), bool)})) < 10_000


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_joined_blocks_come_back_one_by_one(blocks):
    assert split(join(blocks)) == blocks
    assert join(iter(blocks)) == join(blocks)
    assert len(join(blocks)) == sum(map(len, blocks)) + 8 * len(blocks)


@given(st.lists(NAMED, max_size=3))
def test_packed_arrays_may_be_joined(several):
    assert [list(unpack(block)) for block in split(join(map(pack, several)))] == [list(arrays) for arrays in several]


@pytest.mark.parametrize("order", ["<", ">"])
@given(values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=12))
def test_plain_arrays_are_as_if_they_had_gone_through_a_file(order, values):
    array = np.array(values, f"{order}i4")[::-1]
    file = io.BytesIO(plain(array).tobytes())
    assert plain(array).dtype.isnative
    assert plain(array).flags.c_contiguous
    assert plain(array).tolist() == array.tolist()
    assert np.frombuffer(file.read(), np.int32).tolist() == array.tolist()
