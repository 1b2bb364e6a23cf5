"""Embeddings of networks as arrays, in batches, and in the cache of the decoder."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geosam.errors import ModelError, OutOfMemory
from geosam.segmenters.segmenter import Embedding, ModelSpec
from geosam.segmenters.torch_arrays import (
    DecoderCache,
    TileBatches,
    check_finite,
    embeddings,
    from_array,
    to_array,
    valid_pixels,
)

SPEC = ModelSpec("some", "some-1")


def counted(sizes, limit=100):
    """An encoder that notes the size of each batch and runs out of memory above a limit."""

    def encode(rgb, valid, size):
        assert len(rgb) == len(valid) <= size
        if size > limit:
            raise OutOfMemory("full")
        sizes.append((len(rgb), size))
        return embeddings([{"first": picture[0, :1, 0]} for picture in rgb], valid, SPEC)

    return encode


def pictures(count):
    rgb = np.zeros((count, 3, 2, 5), np.uint8)
    rgb[:, 0, 0, 0] = np.arange(count)
    return rgb, np.ones((count, 2, 5), bool)


@given(st.integers(0, 20), st.integers(1, 7))
def test_every_tile_is_embedded_once_and_in_order_whatever_the_batch(count, size):
    sizes = []
    made = TileBatches(size).embed(counted(sizes), *pictures(count))
    assert [int(embedding.arrays["first"][0]) for embedding in made] == list(range(count))
    assert sum(length for length, _ in sizes) == count
    assert all(length == size for length, _ in sizes[:-1])
    assert {asked for _, asked in sizes} <= {size}


@given(st.integers(1, 20), st.integers(1, 16), st.integers(1, 16))
def test_a_batch_that_does_not_fit_is_halved_for_good(count, size, limit):
    sizes, batches = [], TileBatches(size)
    made = batches.embed(counted(sizes, limit), *pictures(count))
    assert [int(embedding.arrays["first"][0]) for embedding in made] == list(range(count))
    while size > limit:
        size //= 2
    assert {asked for _, asked in sizes} == {size}
    again = []
    batches.embed(counted(again, limit), *pictures(count))
    assert again == sizes


def test_memory_that_is_too_small_for_one_tile_is_an_error():
    with pytest.raises(OutOfMemory):
        TileBatches(4).embed(counted([], limit=0), *pictures(3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_are_refused_with_the_precision(value):
    maps = [torch.zeros(2, 3), torch.tensor([0.0, value])]
    with pytest.raises(
        ModelError, match=r"some gives values that are not finite: `precision`: found 'bf16'\. "
    ) as refused:
        check_finite(maps, "some", "bf16")
    assert refused.value.code == "features-not-finite"
    assert refused.value.values == {"model": "some", "precision": "bf16"}
    check_finite(maps[:1], "some", "bf16")


@given(arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 20))))
def test_valid_pixels_survive_the_packing_at_any_width(valid):
    made = embeddings([{} for _ in valid], valid, SPEC)
    assert [embedding.input_hw for embedding in made] == [valid.shape[1:]] * len(valid)
    for embedding, mask in zip(made, valid, strict=True):
        assert embedding.fingerprint == "some-1"
        assert np.array_equal(valid_pixels(embedding), mask)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("read_only", [False, True])
def test_maps_come_back_bit_by_bit_from_their_arrays(dtype, read_only):
    maps = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1)).to(dtype).transpose(0, 2)
    array = to_array(maps).copy()
    assert array.dtype == (np.uint16 if dtype == torch.bfloat16 else np.dtype(str(dtype).removeprefix("torch.")))
    array.flags.writeable = not read_only
    assert torch.equal(from_array(array, dtype, "cpu"), maps)


def test_the_cache_computes_a_state_once_while_its_embedding_is_among_the_last_two():
    cache, computed = DecoderCache("some-1"), []

    def compute(embedding):
        computed.append(embedding.input_hw[0])
        return object()

    one, two, three = (Embedding({}, (number, 1), "some-1") for number in (1, 2, 3))
    first = cache.of(one, compute)
    assert cache.of(one, compute) is first
    cache.of(two, compute)
    assert cache.of(one, compute) is first
    assert computed == [1, 2]
    cache.of(three, compute)
    cache.of(two, compute)
    assert computed == [1, 2, 3]
    cache.of(one, compute)
    assert computed == [1, 2, 3, 1]


def test_equal_embeddings_are_not_the_same_one():
    cache = DecoderCache("some-1")
    one, copy = Embedding({}, (1, 1), "some-1"), Embedding({}, (1, 1), "some-1")
    assert cache.of(one, lambda _: "one") == "one"
    assert cache.of(copy, lambda _: "copy") == "copy"


def test_the_cache_keeps_no_embedding_alive():
    cache = DecoderCache("some-1")
    embedding = Embedding({}, (1, 1), "some-1")
    cache.of(embedding, lambda _: "state")
    gone = weakref.ref(embedding)
    del embedding
    gc.collect()
    assert gone() is None


def test_an_embedding_of_another_model_is_refused():
    with pytest.raises(ValueError, match="found an embedding of other-1, expected one of some-1"):
        DecoderCache("some-1").of(Embedding({}, (1, 1), "other-1"), lambda _: None)
