"""Automatic masks against the official generator, both reading the same made-up network.

Random weights rate all masks alike and so compare nothing. Here encoder and decoder are replaced, on both sides, by
one function that paints logits around a point of a picture; everything after the network is the official code on one
side and geosam's on the other. Small regions need OpenCV in the official code; where it is not installed, SciPy's
labels take its place.
"""

import sys
import warnings
from dataclasses import dataclass
from itertools import compress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchvision_shim  # noqa: F401 - makes the references importable
    from segment_anything import SamAutomaticMaskGenerator
    from segment_anything.modeling import Sam
    from segment_anything.utils.amg import generate_crop_boxes, remove_small_regions

from geosam.geometry.geobox import Window, corner_to_index
from geosam.objects import everything as automatic
from geosam.objects.everything import AutomaticRule, segment_tile
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.sam.enlarged_crops import enlarge, enlarged_hw
from geosam.segmenters.sam.upsampling import masks_from_logits
from geosam.segmenters.segmenter import Embedding, KeepRule, ModelSpec

KEEP = KeepRule()


@pytest.fixture(autouse=True)
def two_threads():
    """On a single thread torch enlarges three masks at once with other rounding than one, two or four."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def picture(shape_hw, seed=0):
    """(H, W, 3) uint8: discs of even grey with soft borders, and specks on them."""
    rng = np.random.default_rng(seed)
    height, width = shape_hw
    grey = np.full(shape_hw, 40.0)
    for radius, count in ((90, 5), (45, 12), (20, 40), (10, 60), (4, 90)):
        for _ in range(-(-count * height * width // 512**2)):
            row, col = rng.uniform(0, height), rng.uniform(0, width)
            top, left = (max(int(centre - radius - 10), 0) for centre in (row, col))
            part = grey[top : int(row + radius + 10), left : int(col + radius + 10)]
            y, x = np.mgrid[: part.shape[0], : part.shape[1]]
            part += (rng.uniform(20, 235) - part) / (1 + np.exp(np.hypot(top + y - row, left + x - col) - radius))
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def seen(rgb):
    """(3, S, S) padded picture -> (S / 4, S / 4) features."""
    return functional.avg_pool2d(torch.as_tensor(rgb, dtype=torch.float32).mean(0, keepdim=True)[None], 4)[0, 0]


def painted(features, points):
    """Features and (B, 2) index coordinates -> (B, 3, S / 4, S / 4) logits and (B, 3) scores, prompt by prompt."""
    points = (points.double() * 64).round() / 64
    cells = ((points + 0.5) / 4).float()
    grey = features[cells[:, 1].long(), cells[:, 0].long()]
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in features.shape), indexing="ij")
    far = (x - cells[:, 0, None, None]) ** 2 + (y - cells[:, 1, None, None]) ** 2
    unlike = (features - grey[:, None, None]).abs()
    levels = [
        torch.minimum(gain * (tolerance - unlike), 400 * (1 - far / reach**2))
        for gain, tolerance, reach in ((1, 12, 14), (1, 24, 30), (0.6, 40, 60))
    ]
    noise = torch.sin(points @ torch.tensor([[12.9898], [78.233]], dtype=torch.float64) + torch.arange(3)) * 43758.5453
    return torch.stack(levels, dim=1), (0.82 + 0.18 * (noise - noise.floor())).float()


class Painter(nn.Module):
    """Stands in for the three parts of the official model."""

    def __init__(self, size):
        super().__init__()
        self.img_size = size

    def forward(self, *args, **named):
        if args:
            return seen(args[0][0])[None, None]
        if "points" in named:
            return named["points"][0], None
        return painted(named["image_embeddings"][0, 0], named["sparse_prompt_embeddings"][:, 0])

    def get_dense_pe(self):
        return None


@dataclass(frozen=True)
class PaintingSegmenter:
    """The same behind geosam's protocol."""

    size: int

    @property
    def spec(self):
        return ModelSpec("painted", "painted-1", self.size)

    def look(self, rgb, valid):
        """Embedding of a tile or crop, enlarged and padded to the input size."""
        big = enlarge(rgb, self.size)
        padded = np.pad(big, ((0, 0), (0, self.size - big.shape[1]), (0, self.size - big.shape[2])))
        return Embedding({"features": seen(padded).numpy(), "valid": valid}, valid.shape, "painted-1")

    def decode(self, embedding, prompts, *, multimask, keep):
        assert multimask
        shape_hw = embedding.input_hw
        input_hw = enlarged_hw(shape_hw, self.size)
        scale_xy = np.array(input_hw[::-1]) / shape_hw[::-1]
        points = torch.from_numpy(corner_to_index(np.concatenate(prompts.points) * scale_xy))
        logits, iou = painted(torch.from_numpy(embedding.arrays["features"]), points)
        expected = iou > keep.min_predicted_iou
        rows, levels = expected.nonzero().numpy().T
        found = masks_from_logits(
            logits[expected],
            input_hw,
            embedding.arrays["valid"],
            output_hw=shape_hw,
            min_stability=keep.min_stability,
        )
        return MaskSet.of(
            shape_hw,
            found.masks,
            found.boxes_xyxy,
            predicted_iou=iou[expected].numpy()[found.rows],
            stability_score=found.stability,
            prompt_index=rows[found.rows],
            granularity=levels[found.rows],
        )


def grid(shape_hw, size, spacing):
    """geosam's points of a crop that begins on its lattice, as the official generator wants them: in 0 .. 1."""
    lattice = [np.arange(spacing // 2, side, spacing) + 0.5 for side in shape_hw[::-1]]
    corners = np.stack(np.meshgrid(*lattice), axis=-1).reshape(-1, 2)
    scale_xy = np.array(enlarged_hw(shape_hw, size)[::-1]) / shape_hw[::-1]
    return (corners * scale_xy - 0.5) / scale_xy / shape_hw[::-1]


def official(rgb, size, **options):
    model = Sam(*(Painter(size) for _ in range(3)), pixel_mean=[0, 0, 0], pixel_std=[1, 1, 1])
    return SamAutomaticMaskGenerator(model, **options).generate(rgb)


def ours(rgb, size, window=None, **rule):
    segmenter = PaintingSegmenter(size)
    planar, valid = np.ascontiguousarray(rgb.transpose(2, 0, 1)), np.ones(rgb.shape[:2], bool)
    window = window or Window(0, 0, rgb.shape[1], rgb.shape[0])

    def looked_at(crop):
        rows, cols = crop.slices_rc
        return segmenter.look(planar[:, rows, cols], valid[rows, cols])

    tile = segmenter.look(planar, valid)
    return segment_tile(segmenter, tile, window, valid, KEEP, rule=AutomaticRule(**rule), enlarge=looked_at)


def assert_equal(masks, records):
    """Same masks, boxes and scores in the same order."""
    assert len(masks) == len(records)
    boxes = np.array([record["bbox"] for record in records])
    boxes[:, 2:] += boxes[:, :2] + 1
    assert masks.boxes_xyxy.tolist() == boxes.tolist()
    assert masks.predicted_iou.tolist() == [record["predicted_iou"] for record in records]
    assert masks.stability_score.tolist() == [record["stability_score"] for record in records]
    for row, record in enumerate(records):
        assert np.array_equal(masks.full(row), record["segmentation"])


def labelled(image, connectivity):
    """`cv2.connectedComponentsWithStats`, as far as the official generator uses it: the last column is the area."""
    assert connectivity == 8
    labels, count = ndimage.label(image, np.ones((3, 3)))
    return count + 1, labels, np.bincount(labels.ravel(), minlength=count + 1)[:, None], None


@pytest.fixture
def opencv(monkeypatch):
    try:
        import cv2  # noqa: F401
    except ImportError:
        monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(connectedComponentsWithStats=labelled))


def test_masks_scores_and_order_are_those_of_the_official_generator():
    rgb = picture((384, 384))
    records = official(rgb, 384, points_per_side=12)
    assert len(records) > 40
    assert_equal(ours(rgb, 384), records)


@pytest.mark.parametrize("shape_hw", [(192, 256), (256, 177)])
def test_a_tile_that_is_padded_gives_the_official_masks(shape_hw):
    rgb = picture(shape_hw, seed=1)
    records = official(rgb, 256, points_per_side=None, point_grids=[grid(shape_hw, 256, 16)])
    assert len(records) > 20
    assert_equal(ours(rgb, 256, spacing_px=16), records)


def test_batches_of_points_change_nothing(monkeypatch):
    rgb = picture((256, 256), seed=2)
    whole = ours(rgb, 256, spacing_px=16)
    monkeypatch.setattr(automatic, "_BATCH", 7)
    assert ours(rgb, 256, spacing_px=16).to_bytes() == whole.to_bytes()
    assert_equal(whole, official(rgb, 256, points_per_side=16, points_per_batch=13))


@pytest.mark.parametrize("shape_hw", [(256, 256), (128, 256)])
def test_crops_give_the_official_masks(shape_hw):
    rgb = picture(shape_hw, seed=3)
    crop_hw = [(side + min(shape_hw) // 4 + 1) // 2 for side in shape_hw]
    records = official(
        rgb,
        256,
        points_per_side=None,
        point_grids=[grid(shape_hw, 256, 16), grid(crop_hw, 256, 16)],
        crop_n_layers=1,
        crop_overlap_ratio=0.25,
    )
    crops = {tuple(record["crop_box"][2:]) for record in records}
    assert crops == {shape_hw[::-1], tuple(crop_hw[::-1])}
    masks = ours(rgb, 256, spacing_px=16, crop_layers=1, crop_overlap=0.25, crop_downscale_points=2)
    assert_equal(masks, records)


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("least", [100, 2000])
def test_small_regions_are_cleared_as_the_official_generator_clears_them(least):
    rgb = picture((256, 256), seed=4)
    records = official(rgb, 256, points_per_side=16, min_mask_region_area=least)
    assert_equal(ours(rgb, 256, spacing_px=16, min_region_px=least), records)
    plain = ours(rgb, 256, spacing_px=16)
    assert sum(mask.sum() for mask in plain.masks) != sum(record["area"] for record in records)


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("least", [1, 2, 9, 30, 10000])
def test_small_regions_are_found_as_in_the_whole_tile(least):
    rng = np.random.default_rng(least)
    whole = []
    for _ in range(60):
        noise = ndimage.uniform_filter(rng.normal(size=(20, 28)), rng.integers(1, 5))
        mask = noise > np.quantile(noise, rng.choice([0.02, 0.2, 0.5, 0.9]))
        mask[rng.integers(0, 20) :] &= rng.random() < 0.7
        whole += [mask] if mask.any() else []
    masks = MaskSet.from_full(whole, (20, 28))
    for row, mask in enumerate(whole):
        filled, had_holes = remove_small_regions(mask, least, "holes")
        expected, had_specks = remove_small_regions(filled, least, "islands")
        found, (x0, y0, x1, y1), changed = automatic._cleared(masks, row, np.ones((20, 28), bool), least)
        assert changed == (had_holes or had_specks)
        assert found.sum() == expected.sum()
        assert np.array_equal(found, expected[y0:y1, x0:x1])


@pytest.mark.parametrize("shape_hw", [(1024, 1024), (768, 1024), (513, 300), (7, 5), (1, 3)], ids=str)
@pytest.mark.parametrize("overlap", [512 / 1500, 0.25, 0.0])
def test_crops_lie_where_the_official_generator_puts_them(shape_hw, overlap):
    tile = Window(300, 700, shape_hw[1], shape_hw[0])
    found = list(automatic._crops(tile, AutomaticRule(crop_layers=2, crop_overlap=overlap)))
    boxes, layers = generate_crop_boxes(shape_hw, 2, overlap)
    not_empty = [box[0] < box[2] and box[1] < box[3] for box in boxes]
    assert list(compress(zip(boxes, layers, strict=True), not_empty)) == [
        ([crop.col_off - 300, crop.row_off - 700, crop.col_end - 300, crop.row_end - 700], layer)
        for crop, layer in found
    ]


@pytest.mark.slow
def test_a_tile_of_full_size_gives_the_official_masks():
    rgb = picture((1024, 1024), seed=5)
    records = official(rgb, 1024)
    assert len(records) > 100
    assert_equal(ours(rgb, 1024), records)
