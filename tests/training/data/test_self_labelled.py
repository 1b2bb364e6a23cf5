import geopandas
import numpy as np
import pytest
import shapely
from known_answers import PromptedOnly

from geosam.errors import UsageError
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter
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
