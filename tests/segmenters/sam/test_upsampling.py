"""Upsampling box by box against the official functions on the whole input, to the bit."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchvision_shim  # noqa: F401 - makes the references importable
    from segment_anything.modeling import Sam
    from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

from geosam.segmenters.sam.enlarged_crops import enlarge, enlarged_hw
from geosam.segmenters.sam.upsampling import masks_from_logits


@pytest.fixture(params=[1, 2], ids=lambda count: f"{count} threads")
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def smooth(count, side, seed):
    """(count, side, side) float32: one round hill each, anywhere and of any size, rough to varying degrees."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    row, col = rng.uniform(-3, side + 3, (2, count, 1, 1))
    far = ((y - row) ** 2 + (x - col) ** 2) / rng.uniform(1, side / 2, (count, 1, 1)) ** 2
    rough = functional.avg_pool2d(torch.from_numpy(rng.normal(size=(count, 1, side, side))), 3, 1, 1)[:, 0]
    hills = 3 * (1 - far) * rng.choice([0.5, 2, 30], (count, 1, 1))
    return (torch.from_numpy(hills) + rough * rng.choice([0, 1, 6])).float()


def official(logits, input_hw, output_hw, threshold, offset):
    """(masks (K, H, W), stability (K,), boxes (K, 4) as geosam counts them) of the whole input, one mask a picture."""
    model = SimpleNamespace(image_encoder=SimpleNamespace(img_size=4 * logits.shape[1]))
    values = Sam.postprocess_masks(model, logits[:, None], input_hw, output_hw)[:, 0]
    boxes = batched_mask_to_box(values > threshold) + torch.tensor([0, 0, 1, 1])
    return (values > threshold).numpy(), calculate_stability_score(values, threshold, offset).numpy(), boxes.numpy()


def assert_official(logits, input_hw, output_hw=None, *, threshold=0.0, offset=1.0, min_stability=None):
    masks, stability, boxes = official(logits, input_hw, output_hw or input_hw, threshold, offset)
    rows = np.flatnonzero(masks.any(axis=(1, 2)) & (min_stability is None or stability >= (min_stability or 0)))
    found = masks_from_logits(
        logits, input_hw, output_hw=output_hw, threshold=threshold, offset=offset, min_stability=min_stability
    )
    assert found.rows.tolist() == rows.tolist()
    assert found.stability.tolist() == stability[rows].tolist()
    assert found.stability.dtype == np.float32
    assert found.boxes_xyxy.tolist() == boxes[rows].tolist()
    for row, (x0, y0, x1, y1), mask in zip(rows, found.boxes_xyxy, found.masks, strict=True):
        assert np.array_equal(mask, masks[row, y0:y1, x0:x1])
    return len(rows)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("input_hw", [(256, 256), (192, 256), (256, 131), (18, 255), (1, 1)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_masks_boxes_and_stability_equal_the_official_ones_to_the_bit(input_hw, seed):
    found = assert_official(smooth(24, 64, seed), input_hw)
    assert found > 8 or min(input_hw) < 20


@pytest.mark.usefixtures("threads")
def test_logits_of_full_size_give_the_official_masks():
    assert_official(smooth(10, 256, 7), (1024, 1000))


@pytest.mark.parametrize("side", [4, 16, 17, 20])
def test_inputs_too_small_for_patches_give_the_official_masks(side):
    assert_official(smooth(20, side, 1), (4 * side, 4 * side - 3))


@pytest.mark.parametrize("output_hw", [(171, 171), (128, 170), (40, 30)], ids=str)
def test_enlarged_pictures_give_the_official_masks_of_their_own_size(output_hw):
    assert_official(smooth(24, 64, 3), enlarged_hw(output_hw, 256), output_hw)


@pytest.mark.parametrize(("threshold", "offset"), [(0.0, 1.0), (0.3, 0.7), (-1.7, 0.1), (1.0, 1.0)])
def test_any_thresholds_give_the_official_masks(threshold, offset):
    assert_official(smooth(24, 64, 4), (256, 240), threshold=threshold, offset=offset)


def test_only_masks_that_are_stable_at_full_size_are_kept():
    logits = smooth(60, 64, 5)
    assert assert_official(logits, (256, 256)) > assert_official(logits, (256, 256), min_stability=0.9) > 5


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0, 0.3])
def test_values_next_to_a_threshold_fall_on_the_official_side(level):
    rng = np.random.default_rng(6)
    near = np.nextafter(np.float32(level), np.float32([-9, 9])).tolist()
    logits = torch.from_numpy(rng.choice(np.float32([level, level, *near]), (12, 64, 64)))
    logits[:6] = torch.where(smooth(6, 64, 6) > 0, logits[:6], -5)
    assert_official(logits, (256, 256), threshold=level, offset=1.0)
    assert_official(logits, (256, 256), threshold=level + 1.0, offset=1.0)


def test_a_mask_does_not_depend_on_the_other_rows():
    logits = smooth(20, 64, 8)
    together = masks_from_logits(logits, (256, 256))
    for number, row in enumerate(together.rows):
        alone = masks_from_logits(logits[row : row + 1], (256, 256))
        assert alone.boxes_xyxy[0].tolist() == together.boxes_xyxy[number].tolist()
        assert alone.masks[0].tobytes() == together.masks[number].tobytes()
        assert alone.stability[0] == together.stability[number]


@pytest.mark.fault("P02")
def test_masks_are_confined_to_valid_pixels_after_their_stability_is_known():
    logits = smooth(20, 64, 9)
    valid = np.random.default_rng(9).random((300, 300)) > 0.4
    valid[:, 100:] = False
    everywhere = masks_from_logits(logits, (256, 256))
    found = masks_from_logits(logits, (256, 256), valid)
    stability = dict(zip(everywhere.rows.tolist(), everywhere.stability.tolist(), strict=True))
    assert 0 < len(found.rows) < len(everywhere.rows)
    assert found.stability.tolist() == [stability[row] for row in found.rows.tolist()]
    masks, _, _ = official(logits, (256, 256), (256, 256), 0.0, 1.0)
    for row, (x0, y0, x1, y1), mask in zip(found.rows, found.boxes_xyxy, found.masks, strict=True):
        expected = masks[row] & valid[:256, :256]
        assert np.array_equal(mask, expected[y0:y1, x0:x1])
        assert mask.sum() == expected.sum()
        assert mask.any(axis=0)[[0, -1]].all()
        assert mask.any(axis=1)[[0, -1]].all()


def test_logits_without_a_pixel_give_no_mask():
    found = masks_from_logits(torch.full((3, 64, 64), -0.5), (256, 256))
    assert len(found.rows) == len(found.masks) == len(found.stability) == 0
    assert found.boxes_xyxy.shape == (0, 4)
    assert len(masks_from_logits(torch.zeros(0, 64, 64), (256, 256)).rows) == 0


@pytest.mark.parametrize("shape_hw", [(64, 64), (48, 64), (100, 33)], ids=str)
def test_pictures_are_enlarged_as_the_official_transform_does(shape_hw):
    from segment_anything.utils.transforms import ResizeLongestSide

    rgb = np.random.default_rng(0).integers(0, 256, (3, *shape_hw), dtype=np.uint8)
    expected = ResizeLongestSide(256).apply_image(rgb.transpose(1, 2, 0))
    assert np.array_equal(enlarge(rgb, 256), expected.transpose(2, 0, 1))
    assert enlarged_hw(shape_hw, 256) == expected.shape[:2]
