"""The training mixture, the sets it is made of, and the pictures kept on disk; without real data."""

from collections import Counter
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from scenes import NORTH_UP, UTM, picture, write_scene
from test_crops import BLOBS

from geosam.errors import UsageError
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter
from geosam.training.data import corpus
from geosam.training.data import mixture as module
from geosam.training.data.corpus import LabelledSet, held_out_sets, pictures, training_pictures, unlabelled_scenes
from geosam.training.data.loader import Batches, CropOptions, load_batches
from geosam.training.data.mixture import WEIGHTS, mixture
from geosam.training.data.picture_cache import cached_picture

POLYGONS = LabelledSet("roofs", ("*/scene.tif",), "{stem}.gpkg", "polygons", "train", "CC0", "Nobody")
SETS = (
    POLYGONS,
    replace(POLYGONS, name="held", split="held_out"),
    replace(POLYGONS, name="unseen", split="unlabelled", area="area.gpkg"),
)


def write_set(folder, *names):
    """Scenes with two squares each."""
    for name in names:
        (folder / name).mkdir()
        write_scene(folder / name / "scene.tif", picture(60, 50), photometric="rgb")
        squares = [shapely.box(x, 10, x + 12, 22) for x in (5, 30)]
        placed = [shapely.transform(square, lambda xy: np.stack(NORTH_UP @ xy.T, axis=1)) for square in squares]
        geopandas.GeoDataFrame(geometry=placed, crs=UTM).to_file(folder / name / "scene.gpkg")
    return folder


@pytest.fixture
def sets(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "SETS", SETS)
    monkeypatch.setattr(module, "WEIGHTS", {"roofs": 0.7, "synthetic": 0.2, "self_labelled": 0.1})
    (tmp_path / "data").mkdir()
    return write_set(tmp_path / "data", "a", "b")


def test_the_pictures_of_a_set_are_named_after_it_and_have_its_labels(sets):
    found = list(pictures(POLYGONS, sets))
    assert [one.name for one in found] == ["roofs/scene"] * 2
    for one in found:
        assert (one.instances == 1).sum() == (one.instances == 2).sum() == 144
        assert (one.instances[10:22, 5:17] == 1).all()


def test_every_use_of_a_set_gets_its_own_sets(sets):
    assert len(list(training_pictures(sets))) == 2
    assert list(held_out_sets(sets)) == ["held"]
    assert held_out_sets(sets)["held"][0][1] == sets / "a" / "scene.gpkg"
    assert unlabelled_scenes(sets) == [(sets / name / "scene.tif", sets / name / "area.gpkg") for name in "ab"]


def test_sets_that_are_left_out_need_not_be_there(sets):
    assert list(training_pictures(sets / "a", without=["roofs"])) == []
    with pytest.raises(UsageError) as refused:
        list(training_pictures(sets / "a"))
    assert refused.value.code == "training-data-missing"
    assert refused.value.values == {"data": str(sets / "a"), "set": "roofs"}


def test_only_the_first_scenes_of_a_large_set_are_used(sets):
    assert len(list(pictures(replace(POLYGONS, most=1), sets))) == 1


def test_incomplete_labels_leave_the_rest_unknown(sets):
    (first, _) = pictures(replace(POLYGONS, complete=False), sets)
    assert not first.complete.any()


def test_a_set_of_label_maps_is_read_without_a_layer(tmp_path):
    write_scene(tmp_path / "cell.tif", picture(30, 20), transform=Affine.identity(), crs=None, photometric="rgb")
    numbers = np.zeros((1, 20, 30), np.uint8)
    numbers[0, 4:9, 5:11] = 3
    write_scene(tmp_path / "cell.labels.tif", numbers, transform=Affine.identity(), crs=None)
    maps = replace(POLYGONS, name="cells", kind="label_maps", scenes=("cell.tif",), labels="{stem}.labels.tif")
    (found,) = pictures(maps, tmp_path)
    assert found.name == "cells/cell"
    assert (found.instances == 3).sum() == 30
    assert np.isnan(found.gsd)


def test_a_mixture_has_every_set_with_its_weight(sets, tmp_path):
    groups = mixture(sets, tmp_path, synthetic=2, seed=1)
    assert {name: (weight, len(found)) for name, (weight, found) in groups.items()} == {
        "roofs": (0.7, 2),
        "synthetic": (0.2, 2),
    }


def test_rendered_pictures_are_kept_for_the_next_run(sets, tmp_path):
    first = mixture(sets, tmp_path, synthetic=1, seed=1)["synthetic"][1][0]
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "rendered").iterdir()}
    again = mixture(sets, tmp_path, synthetic=1, seed=1)["synthetic"][1][0]
    other = mixture(sets, tmp_path, synthetic=1, seed=2)["synthetic"][1][0]
    assert np.array_equal(first.rgb, again.rgb)
    assert not np.array_equal(first.rgb, other.rgb)
    assert files.items() <= {path: path.stat().st_mtime_ns for path in (tmp_path / "rendered").iterdir()}.items()


def test_no_rendered_pictures_is_no_set(sets, tmp_path):
    assert "synthetic" not in mixture(sets, tmp_path, synthetic=0, seed=1)
    assert "synthetic" not in mixture(sets, tmp_path, synthetic=2, seed=1, without=["synthetic"])


def test_a_teacher_labels_the_unlabelled_scenes_outside_of_their_labels(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_segmenter", lambda _name: ThresholdSegmenter())
    for name in "ab":
        elsewhere = shapely.box(600_000, 5_000_000, 600_010, 5_000_010)
        geopandas.GeoDataFrame(geometry=[elsewhere], crs=UTM).to_file(sets / name / "area.gpkg")
    groups = mixture(sets, tmp_path, synthetic=0, seed=1, teacher="threshold")
    weight, found = groups["self_labelled"]
    assert weight == 0.1
    assert len(found) == 2
    assert all(one.instances.any() and not one.complete.any() for one in found)


def test_a_teacher_of_a_set_that_is_left_out_is_not_loaded(sets, tmp_path):
    groups = mixture(sets, tmp_path, synthetic=0, seed=1, teacher="nothing", without=["self_labelled"])
    assert groups.keys() == {"roofs"}


def test_a_mixture_of_nothing_is_refused(sets, tmp_path):
    with pytest.raises(UsageError) as refused:
        mixture(sets, tmp_path, synthetic=0, seed=1, without=["roofs"])
    assert refused.value.code == "no-training-sets"
    assert refused.value.values == {"without": ["roofs"]}


def test_the_weights_of_all_sets_are_positive():
    assert all(weight > 0 for weight in WEIGHTS.values())
    assert {entry.name for entry in corpus.SETS if entry.split == "train"} <= WEIGHTS.keys()


def test_a_kept_picture_is_the_picture_that_was_made(tmp_path):
    points = np.array([(3.5, 4.25)], np.float32)
    made = replace(BLOBS, points=points, gsd=0.25, name="a picture")
    path = tmp_path / "pool" / "one.npz"
    for _ in range(2):
        found = cached_picture(path, lambda: made)
        assert (found.name, found.gsd) == ("a picture", 0.25)
        for name in ("rgb", "valid", "instances", "complete", "boxes", "points"):
            assert np.array_equal(getattr(found, name), getattr(made, name))
            assert getattr(found, name).dtype == getattr(made, name).dtype


def test_a_picture_is_made_once(tmp_path):
    calls = []
    for _ in range(3):
        cached_picture(tmp_path / "one.npz", lambda: calls.append(1) or BLOBS)
    assert len(calls) == 1


def test_a_picture_that_fails_leaves_no_file(tmp_path):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_picture(tmp_path / "one.npz", fail)
    assert not list(tmp_path.glob("*.npz"))
    assert cached_picture(tmp_path / "one.npz", lambda: BLOBS).name == "blobs"


def coloured(value):
    return replace(BLOBS, rgb=np.full_like(BLOBS.rgb, value))


def test_sets_are_drawn_by_their_weights_and_pictures_of_a_set_alike(monkeypatch):
    monkeypatch.setattr("geosam.training.data.loader.augment", lambda rgb, _valid, _rng: rgb)
    groups = {"dark": (3.0, [coloured(40)]), "bright": (1.0, [coloured(150), coloured(200)])}
    crops = CropOptions(sizes=(32,), batch_px=8 * 32 * 32)
    batches = Batches(groups, crops, seed=0)
    seen = Counter(int(crop.max()) for step in range(40) for crop in batches[step][0].rgb)
    total = sum(seen.values())
    assert seen[40] / total == pytest.approx(0.75, abs=0.08)
    assert seen[150] / total == pytest.approx(0.125, abs=0.06)
    assert seen[200] / total == pytest.approx(0.125, abs=0.06)


def test_a_batch_has_one_crop_at_least():
    batches = Batches({"blobs": (1.0, [BLOBS])}, CropOptions(sizes=(96,), batch_px=100), seed=0)
    assert batches[0][0].rgb.shape == (1, 3, 96, 96)


def test_batches_come_in_the_order_of_the_steps():
    crops = CropOptions(sizes=(64,), batch_px=64 * 64)
    batches = Batches({"blobs": (1.0, [BLOBS])}, crops, seed=0)
    for step, (batch,) in zip((5, 6, 7), load_batches(batches, range(5, 8), workers=0), strict=True):
        assert batch.rgb.equal(batches[step][0].rgb)
