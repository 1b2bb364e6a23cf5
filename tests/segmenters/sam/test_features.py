"""Feature maps as arrays of an embedding and back."""

import numpy as np
import pytest
import torch

from geosam.segmenters.sam.features import ImageFeatures


def features(dtype, tiles=2):
    draw = torch.Generator().manual_seed(1)

    def made(*shape):
        return torch.randn(tiles, *shape, generator=draw).to(dtype)

    return ImageFeatures(made(8, 4, 4), (made(2, 16, 16), made(4, 8, 8)), (made(3, 4, 4),))


def maps(found):
    return [found.image, *found.high_res, *found.early]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("row", [0, 1])
def test_maps_of_a_tile_come_back_bit_for_bit(dtype, row):
    made = features(dtype)
    found = ImageFeatures.from_arrays(made.to_arrays(row), dtype, "cpu")
    assert [len(found.high_res), len(found.early)] == [2, 1]
    for expected, one in zip(maps(made), maps(found), strict=True):
        assert one.dtype == dtype
        assert torch.equal(one, expected[row : row + 1])


def test_maps_that_a_network_does_not_have_stay_away():
    image = torch.randn(1, 8, 4, 4)
    arrays = ImageFeatures(image).to_arrays(0)
    assert list(arrays) == ["image"]
    found = ImageFeatures.from_arrays(arrays, torch.float32, "cpu")
    assert (found.high_res, found.early) == ((), ())


def test_other_arrays_of_an_embedding_are_left_alone():
    made = features(torch.float32)
    arrays = made.to_arrays(0) | {"valid": np.ones((4, 1), np.uint8), "enlarged_hw": np.array([4, 4])}
    assert len(maps(ImageFeatures.from_arrays(arrays, torch.float32, "cpu"))) == 4


def test_arrays_are_contiguous_copies_that_a_store_can_keep():
    made = features(torch.bfloat16)
    strided = ImageFeatures(made.image.transpose(2, 3))
    arrays = strided.to_arrays(1)
    assert arrays["image"].flags.c_contiguous
    assert arrays["image"].dtype == np.uint16
    found = ImageFeatures.from_arrays(arrays, torch.bfloat16, "cpu")
    assert torch.equal(found.image[0], made.image[1].transpose(1, 2))


def test_read_only_memory_of_a_store_is_read_without_a_warning():
    made = features(torch.float32)
    arrays = made.to_arrays(0)
    for array in arrays.values():
        array.setflags(write=False)
    found = ImageFeatures.from_arrays(arrays, torch.float32, "cpu")
    assert torch.equal(found.image, made.image[:1])
    found.image.add_(1)  # its own memory: the store's stays
    assert np.array_equal(arrays["image"], made.image[0].numpy())
