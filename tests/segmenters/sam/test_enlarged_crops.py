"""Enlargement of crops, against the transform of segment_anything."""

import numpy as np
import pytest
import torchvision_shim  # noqa: F401 - lets the references import beside a CPU build of torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anything.utils.transforms import ResizeLongestSide

from geosam.segmenters.sam.enlarged_crops import enlarge, enlarged_hw

SIDES = st.integers(1, 1500)


@given(SIDES, SIDES, st.sampled_from([64, 256, 1024]))
def test_sizes_are_those_of_segment_anything(height, width, size):
    assert enlarged_hw((height, width), size) == ResizeLongestSide.get_preprocess_shape(height, width, size)


@given(SIDES, SIDES)
def test_the_longer_side_fills_the_input_and_the_shape_stays(height, width):
    rows, cols = enlarged_hw((height, width), 1024)
    assert max(rows, cols) == 1024
    assert abs(rows * width - cols * height) <= 0.5 * max(height, width)


@pytest.mark.parametrize("shape_hw", [(20, 31), (64, 64), (7, 50), (100, 30)])
def test_a_crop_is_interpolated_bilinearly_at_pixel_centres(shape_hw):
    rows, cols = np.mgrid[: shape_hw[0], : shape_hw[1]]
    ramp = np.stack([2 * rows, 2 * cols, rows + cols]).astype(np.uint8)
    enlarged = enlarge(ramp, 256).astype(float)
    height, width = enlarged_hw(shape_hw, 256)
    assert enlarged.shape == (3, height, width)
    y = np.clip((np.arange(height) + 0.5) * shape_hw[0] / height - 0.5, 0, shape_hw[0] - 1)
    x = np.clip((np.arange(width) + 0.5) * shape_hw[1] / width - 0.5, 0, shape_hw[1] - 1)
    for found, expected in zip(enlarged, (2 * y[:, None] + 0 * x, 2 * x + 0 * y[:, None], y[:, None] + x), strict=True):
        assert np.abs(found - expected).max() <= 1


def test_a_crop_of_the_size_of_the_input_is_not_touched():
    picture = np.random.default_rng(0).integers(0, 256, (3, 64, 48), dtype=np.uint8)
    assert np.array_equal(enlarge(picture, 64), picture)


def test_strides_of_a_crop_do_not_matter():
    picture = np.random.default_rng(1).integers(0, 256, (3, 40, 60), dtype=np.uint8)
    crop = picture[:, 5:25, 10:50]
    assert not crop.flags.c_contiguous
    assert np.array_equal(enlarge(crop, 128), enlarge(crop.copy(), 128))
