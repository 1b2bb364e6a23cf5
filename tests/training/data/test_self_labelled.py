from contextlib import closing
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from known_answers import PromptedOnly

from geosam.errors import UsageError
from geosam.geometry.geobox import Window
from geosam.scene import open_scene
from geosam.segmenters.masks import MaskSet
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter
from geosam.training.data import self_labelled
from geosam.training.data.self_labelled import self_labelled_pictures
from tests.scenes import write_scene


class OneSided(ThresholdSegmenter):
    """Sees nothing in the left half of what it is shown, so that the mirrored picture says something else."""

    def propose(self, embedding, keep):
        found = super().propose(embedding, keep)
        right = found.boxes_xyxy[:, 0] >= embedding.input_hw[1] // 2
        return found.select(right)


@pytest.fixture
def scene(tmp_path):
    """Ten squares on even ground, in a scene one and a half tiles wide."""
    array = np.full((3, 600, 1536), 90, np.uint8)
    for number in range(10):
        array[:, 100:160, 60 + 150 * number : 120 + 150 * number] = 100 + 10 * number
    return write_scene(tmp_path / "scene.tif", array)


def test_masks_that_are_found_in_the_mirrored_picture_too_are_labels(scene, tmp_path):
    first, second = self_labelled_pictures(scene, None, ThresholdSegmenter(), tmp_path / "pool")
    assert first.instances.shape == second.instances.shape == (600, 1024)
    assert (first.rgb[0][first.instances == first.instances[300, 300]] == 90).all()
    assert len(np.unique(first.instances)) == 8  # the ground and seven squares, of which one is cut
    assert not first.complete.any()


def test_masks_that_are_not_found_again_teach_nothing(scene, tmp_path):
    pictures = self_labelled_pictures(scene, None, OneSided(), tmp_path / "pool")
    assert all(len(np.unique(one.instances[:, :400])) == 1 for one in pictures)


def test_what_has_been_labelled_is_kept(scene, tmp_path):
    (first, *_) = self_labelled_pictures(scene, None, ThresholdSegmenter(), tmp_path / "pool")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "pool").iterdir()}
    (again, *_) = self_labelled_pictures(scene, None, ThresholdSegmenter(), tmp_path / "pool")
    assert (first.instances == again.instances).all()
    assert files.items() <= {path: path.stat().st_mtime_ns for path in (tmp_path / "pool").iterdir()}.items()


def test_tiles_with_better_labels_are_left_out(scene, tmp_path):
    area = tmp_path / "area.geojson"
    geopandas.GeoSeries([shapely.box(500_030, 4_999_920, 500_060, 4_999_950)], crs="EPSG:32633").to_file(area)
    (only,) = self_labelled_pictures(scene, area, ThresholdSegmenter(), tmp_path / "pool")
    assert "column 512" in only.name


def test_a_model_that_has_to_be_asked_is_refused(scene, tmp_path):
    with pytest.raises(UsageError, match="prompted proposes no masks"):
        list(self_labelled_pictures(scene, None, PromptedOnly(), tmp_path / "pool"))


def masks_of(*boxes, shape=(40, 40)):
    full = np.zeros((len(boxes), *shape), bool)
    for mask, (x0, y0, x1, y1) in zip(full, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return MaskSet.from_full(full, shape, predicted_iou=np.full(len(boxes), 0.9, np.float32))


BOXES = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(21, 40)] * 2)


@given(BOXES, st.lists(BOXES, min_size=1, max_size=4))
def test_the_best_iou_is_the_greatest_over_all_other_masks(box, others):
    one, many = masks_of(box), masks_of(*others)
    mask = one.full(0)
    ious = [(mask & many.full(row)).sum() / (mask | many.full(row)).sum() for row in range(len(many))]
    assert self_labelled._best_iou(one, 0, many) == pytest.approx(max(ious))


def test_a_mask_that_meets_no_other_has_no_iou():
    one, others = masks_of((0, 0, 5, 5)), masks_of((5, 0, 10, 5), (20, 20, 30, 30))
    assert self_labelled._best_iou(one, 0, others) == 0
    assert self_labelled._best_iou(one, 0, MaskSet.empty((40, 40))) == 0


@pytest.mark.parametrize(("width", "is_kept"), [(10, True), (12, True), (13, False), (8, True), (7, False)])
def test_masks_agree_from_four_fifths_on(width, is_kept):
    agreed = self_labelled._agreed(masks_of((0, 0, 10, 10)), masks_of((0, 0, width, 10)))
    assert len(agreed) == is_kept


def test_of_masks_that_overlap_the_smaller_one_is_on_top(tmp_path):
    class Nested(ThresholdSegmenter):
        def propose(self, embedding, keep):
            del embedding, keep
            return masks_of((10, 10, 30, 30), (0, 0, 40, 40), (15, 15, 25, 25))

    path = write_scene(tmp_path / "nested.tif", np.full((3, 40, 40), 90, np.uint8))
    (found,) = self_labelled_pictures(path, None, Nested(), tmp_path / "pool")
    assert found.instances[0, 0] == 1, "the largest comes first"
    assert found.instances[12, 12] == 2
    assert found.instances[20, 20] == 3
    assert [int((found.instances == number).sum()) for number in (1, 2, 3)] == [1200, 300, 100]


def test_a_tile_without_a_valid_pixel_has_no_labels(tmp_path):
    values = np.zeros((3, 40, 40), np.uint8)
    values[:, :2, :2] = 90
    with closing(open_scene(write_scene(tmp_path / "empty.tif", values, nodata=0))) as opened:
        tile = opened.read(Window(10, 10, 20, 20))
    assert not tile.valid.any()
    assert len(self_labelled._masks(tile, ThresholdSegmenter())) == 0


def test_labels_of_other_weights_are_kept_apart(scene, tmp_path):
    class Other(ThresholdSegmenter):
        @property
        def spec(self):
            return replace(super().spec, fingerprint="other weights")

    for segmenter in (ThresholdSegmenter(), Other()):
        assert len(list(self_labelled_pictures(scene, None, segmenter, tmp_path / "pool"))) == 2
    assert len(list((tmp_path / "pool").iterdir())) == 4


def test_a_picture_has_the_resolution_of_its_scene(scene, tmp_path):
    (first, _) = self_labelled_pictures(scene, None, ThresholdSegmenter(), tmp_path / "pool")
    with closing(open_scene(scene)) as opened:
        assert first.gsd == pytest.approx(np.sqrt(np.prod(opened.gsd_xy)))
    assert first.name == f"self_labelled/{scene}, column 0, row 0"
