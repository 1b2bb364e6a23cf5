"""A recipe changes exactly when something changes that the picture depends on."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from scenes import NORTH_UP, SCENES, picture, update, write_scene

from geosam.geometry.geobox import Window
from geosam.scene import open_scene
from geosam.scene.recipe import Recipe

FIELDS = {
    "source": st.text(),
    "grid": st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 8),
    "crs": st.text(),
    "bands": st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    "level": st.tuples(st.none() | st.integers(0, 9), st.booleans(), st.booleans(), st.booleans()),
    "resampling": st.just(()) | st.tuples(*[st.tuples(st.floats(0.01, 100), st.integers(1, 10**6))] * 2),
    "stretch": st.tuples(*[st.tuples(*[st.floats(-1e4, 1e4)] * 3)] * 2),
    "mask_rule": st.text(),
}
RECIPES = st.fixed_dictionaries(FIELDS).map(lambda values: Recipe(**values))


@given(RECIPES)
def test_a_recipe_goes_through_json_and_back_without_loss(recipe):
    read = json.loads(json.dumps(recipe.to_json()))
    assert set(read) == set(FIELDS)
    assert read["grid"] == list(recipe.grid)
    assert read["stretch"] == [list(recipe.stretch[0]), list(recipe.stretch[1])]
    assert read["mask_rule"] == recipe.mask_rule


@given(RECIPES, st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name])))
def test_the_digest_differs_when_any_field_differs(recipe, change):
    name, value = change
    changed = dataclasses.replace(recipe, **{name: value})
    assert (changed.digest == recipe.digest) == (json.dumps(changed.to_json()) == json.dumps(recipe.to_json()))


def test_the_digest_is_the_same_in_every_process_and_version():
    recipe = Recipe("content", (8, 6, 0.5, 0.0, 1.0, 0.0, -0.5, 2.0), "crs", (1,), (None, False, False, True), (),
                    ((0.0,), (255.0,)), "rule")  # fmt: skip
    assert recipe.digest == "cd86b9f12aa97ba8557fc3cd9eda7773617a28bbdff2f178f255cc4fec4a6e3a"


OPENED = {
    "the same once more": ({}, True),
    "the same stretch in other words": ({"stretch": "none"}, True),
    "a region": ({"window": (500_000, 4_999_970, 500_030, 5_000_000)}, True),
    "another stretch": ({"stretch": "0,200"}, False),
    "other bands": ({"bands": (3, 2, 1)}, False),
    "one band": ({"bands": (1,)}, False),
    "another resolution": ({"resolution": 0.7}, False),
}


@pytest.mark.parametrize("case", OPENED)
def test_options_that_change_the_picture_change_the_recipe_and_no_others_do(tmp_path, case):
    options, equal = OPENED[case]
    path = SCENES["nodata"](tmp_path)
    plain, other = open_scene(path), open_scene(path, **options)
    assert (plain.recipe == other.recipe) == equal
    assert (plain.recipe.digest == other.recipe.digest) == equal
    assert (plain.recipe_as_opened == other.recipe_as_opened) == equal


@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask_band"])
def test_the_rule_for_valid_pixels_is_part_of_the_recipe(tmp_path, kind):
    masked, plain = open_scene(SCENES[kind](tmp_path)), open_scene(SCENES["north_up"](tmp_path / ".."))
    assert masked.recipe.mask_rule != plain.recipe.mask_rule


def test_a_palette_is_part_of_the_recipe(tmp_path):
    rules = set()
    for blue in (10, 20):
        path = write_scene(tmp_path / f"{blue}.tif", picture()[:1], photometric="palette")
        update(path)

        with rasterio.open(path, "r+") as ds:
            ds.write_colormap(1, {value: (value, 0, blue, 255) for value in range(256)})
        rules.add(open_scene(path).recipe.mask_rule)
    assert len(rules) == 2


@pytest.mark.parametrize(("kind", "flips"), [("south_up", (False, True)), ("east_west_flipped", (True, False))])
def test_axis_flips_are_part_of_the_recipe_and_the_grid_is_not_flipped(tmp_path, kind, flips):
    north_up = open_scene(SCENES["north_up"](tmp_path)).recipe
    flipped = open_scene(SCENES[kind](tmp_path)).recipe
    assert flipped.level[2:] == flips
    assert flipped.grid == north_up.grid


def test_the_overview_that_is_read_is_part_of_the_recipe(tmp_path):

    path = write_scene(tmp_path / "scene.tif", np.repeat(np.repeat(picture(400, 300), 4, 1), 4, 2), tiled=True)
    coarse = open_scene(path, resolution=2.1).recipe
    with rasterio.open(path, "r+") as ds:
        ds.build_overviews([2, 4])
    from_overview = open_scene(path, resolution=2.1).recipe
    assert coarse.level[0] is None
    assert from_overview.level[0] == 1
    assert from_overview.grid == coarse.grid


def test_a_copy_has_the_recipe_of_its_original_but_was_opened_as_another_file(tmp_path):
    path = SCENES["north_up"](tmp_path)
    shutil.copy(path, tmp_path / "copy.tif")
    scene, copy = open_scene(path), open_scene(tmp_path / "copy.tif")
    assert scene.recipe == copy.recipe
    assert scene.recipe_as_opened != copy.recipe_as_opened


def test_other_content_with_the_same_options_has_another_recipe(tmp_path):
    path = write_scene(tmp_path / "scene.tif", picture(), transform=NORTH_UP)
    before = open_scene(path)
    recipes = before.recipe, before.recipe_as_opened
    write_scene(path, picture(seed=6), transform=NORTH_UP)
    after = open_scene(path)
    assert after.recipe != recipes[0]
    assert after.recipe_as_opened != recipes[1]
    assert dataclasses.replace(after.recipe, source=recipes[0].source) == recipes[0]


def test_the_recipe_as_opened_reads_no_content(tmp_path, monkeypatch):
    scene = open_scene(SCENES["north_up"](tmp_path))

    def fail(paths):
        raise AssertionError(f"reads {list(paths)}")

    monkeypatch.setattr("geosam.scene.scene.content_fingerprint", fail)
    assert scene.recipe_as_opened.digest
    with pytest.raises(AssertionError, match="reads"):
        scene.recipe  # noqa: B018 - the property reads


def test_the_recipe_of_a_window_differs_in_its_grid_alone(tmp_path):
    scene = open_scene(SCENES["rotated"](tmp_path))
    part = scene.geobox.crop(Window(3, 5, 20, 10))
    recipe = scene.recipe.on(part)
    assert recipe.grid == (20, 10, *part.transform[:6])
    assert dataclasses.replace(recipe, grid=scene.recipe.grid) == scene.recipe
    assert scene.recipe.on(scene.geobox) == scene.recipe


def test_a_recipe_travels_with_its_scene_to_another_process(tmp_path):
    scene = open_scene(SCENES["mask_band"](tmp_path), resolution=0.9)
    recipe = scene.recipe
    assert pickle.loads(pickle.dumps(scene)).recipe == recipe  # noqa: S301 - our own bytes
    unread = open_scene(scene.path, resolution=0.9)
    assert pickle.loads(pickle.dumps(unread)).recipe == recipe  # noqa: S301 - our own bytes
