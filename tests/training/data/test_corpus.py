from collections import Counter
from dataclasses import replace

import geopandas
import numpy as np
import pytest

from geosam.errors import UsageError
from geosam.training.data.corpus import SETS, held_out_sets, pictures, training_pictures, unlabelled_scenes

FIELDS_HELD_OUT = ("42.6575_", "42.6745_", "42.6802_", "38.7482_", "40.1638_", "40.7993_", "43.0237_", "44.0347_")


def files_of(split, data):
    return {path for one in SETS if one.split == split for pair in one.files(data) for path in pair}


def test_every_set_says_whose_it_is_and_none_that_teaches_asks_that_what_is_learnt_has_its_licence():
    for one in SETS:
        assert one.licence
        assert one.attribution
        assert one.split in {"train", "held_out", "unlabelled"}
        if one.split != "held_out":
            assert "BY-SA" not in one.licence
            assert not any(word in name for name in one.scenes for word in ("special", "spacenet", "atlanta"))


def test_nothing_held_out_is_learnt_from(data_dir):
    held_out = files_of("held_out", data_dir)
    assert held_out.isdisjoint(files_of("train", data_dir) | files_of("unlabelled", data_dir))
    assert not any("zanzibar" in str(path) for path in files_of("train", data_dir) | files_of("unlabelled", data_dir))


def test_a_third_of_the_fields_and_two_cities_are_held_out(data_dir):
    sets = held_out_sets(data_dir)
    assert {name: len(files) for name, files in sets.items()} == {
        "buildings_zanzibar_0": 1,
        "buildings_zanzibar_1": 1,
        "buildings_spacenet4_atlanta_pan_u16": 1,
        "fields_naip": 8,
    }
    assert held_out_sets(data_dir, ["fields_naip"]) == {"fields_naip": sets["fields_naip"]}
    assert all(path.is_file() for files in sets.values() for pair in files for path in pair)
    found = [scene.name for scene, _ in sets["fields_naip"]]
    assert all(any(name.startswith(f"naip_{place}") for name in found) for place in FIELDS_HELD_OUT)


def test_every_file_of_the_fields_has_a_side(data_dir):
    files = {path for one in SETS if one.name == "fields_naip" for pair in one.files(data_dir) for path in pair}
    assert files == set((data_dir / "georef" / "fields_naip").iterdir())


def test_scenes_that_may_be_labelled_by_a_network_exist(data_dir):
    assert [scene.parent.name for scene, _ in unlabelled_scenes(data_dir)] == ["buildings_banepa_large"]
    assert all(scene.is_file() and area.is_file() for scene, area in unlabelled_scenes(data_dir))


def test_the_training_pictures_are_all_there_with_their_labels(data_dir):
    seen, objects, boxes, points = Counter(), Counter(), Counter(), Counter()
    for picture in training_pictures(data_dir):
        name, scene = picture.name.split("/")
        assert scene
        seen[name] += 1
        objects[name] += len(np.unique(picture.instances)) - 1
        boxes[name] += len(picture.boxes)
        points[name] += len(picture.points)
        assert picture.valid.mean() > 0.99
        assert picture.complete.any() or len(picture.boxes) or len(picture.points)
        assert (picture.gsd > 0) == (name != "dsb2018_nuclei")
    assert seen == {
        "buildings_kampala_0": 1,
        "buildings_banepa_large": 1,
        "fields_naip": 16,
        "trees_neon_SJER": 8,
        "trees_neon_HARV": 8,
        "trees_urban_naip": 20,
        "water_landsat_ucayali": 3,
        "dsb2018_nuclei": 150,
    }
    georef = data_dir / "georef"
    fields = [geopandas.read_file(labels) for one in SETS if one.name == "fields_naip" and one.split == "train"
              for _, labels in one.files(data_dir)]  # fmt: skip
    assert objects["fields_naip"] == pytest.approx(sum(map(len, fields)), rel=0.01)
    assert objects["buildings_kampala_0"] == 107
    assert objects["water_landsat_ucayali"] == 25 + 21 + 22
    assert 1360 < objects["buildings_banepa_large"] < 1463, "those that the border of the area cuts are left out"
    trees = sum(len(geopandas.read_file(path)) for path in (georef / "trees_urban_naip").glob("*.geojson"))
    assert points == {**dict.fromkeys(seen, 0), "trees_urban_naip": trees}
    for site in ("trees_neon_SJER", "trees_neon_HARV"):
        columns = geopandas.read_file(georef / site / "boxes.gpkg")["image"]
        assert boxes[site] == columns.isin([path.name for path in (georef / site).glob("*.tif")]).sum()


def test_near_infrared_is_not_shown(data_dir):
    """What the labels are derived from would be the answer; vegetation is dark in red and green, bright in infrared."""
    trees = next(one for one in SETS if one.name == "trees_urban_naip")
    water = next(one for one in SETS if one.name == "water_landsat_ucayali")
    assert trees.bands == (1, 2, 3)
    shown = next(pictures(water, data_dir)).rgb
    infrared = next(pictures(replace(water, bands=(2,)), data_dir)).rgb[0]
    correlations = [np.corrcoef(band.reshape(-1), infrared.reshape(-1))[0, 1] for band in shown]
    assert max(correlations) < 0.7


def test_a_set_of_many_scenes_is_cut_to_the_first_by_name(tmp_path):
    for name in "dbac":
        (tmp_path / f"{name}.tif").touch()
    some = replace(SETS[0], scenes=("*.tif",), labels="{stem}.x.png", most=3)
    assert some.files(tmp_path) == [(tmp_path / f"{name}.tif", tmp_path / f"{name}.x.png") for name in "abc"]


def test_a_folder_without_the_sets_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"found 0 scenes of buildings_kampala_0, expected at least 1"):
        next(training_pictures(tmp_path))
    with pytest.raises(UsageError, match="georef/ and masks/"):
        held_out_sets(tmp_path)
