"""The split of the user's polygons."""

import numpy as np
import pytest
from finetune_cases import DISCS, RADIUS, STEP, discs, rng, square

from geosam.errors import PromptError, PromptOutsideScene
from geosam.geometry.geobox import Window
from geosam.geometry.tiles import TileGrid
from geosam.training.finetune.split import draw_held_out, objects_in_scene, training_tiles
from geosam.vector.polygons import PolygonLayer


@pytest.mark.parametrize("seed", range(5))
def test_about_a_quarter_is_held_out_by_whole_blocks(seed):
    places = rng(seed).integers(0, (8000, 5000), (300, 2))
    targets = [square(*place) for place in places.tolist()]
    found = draw_held_out(targets, rng(seed))
    assert 0.2 <= found.mean() <= 0.3
    blocks = [tuple(block) for block in ((places + 10) // 1024).tolist()]
    assert all(len({bool(found[i]) for i in range(300) if blocks[i] == block}) == 1 for block in set(blocks))
    assert np.array_equal(found, draw_held_out(targets, rng(seed)))


def test_another_seed_holds_other_objects_out():
    targets = [square(*place) for place in rng().integers(0, 8000, (200, 2)).tolist()]
    assert not np.array_equal(draw_held_out(targets, rng(1)), draw_held_out(targets, rng(2)))


@pytest.mark.parametrize("gap", [30, 400])
def test_a_small_scene_is_divided_too(gap):
    targets = [square(gap * (k % 3), gap * (k // 3)) for k in range(9)]
    found = draw_held_out(targets, rng())
    assert 1 <= found.sum() <= 4


def test_objects_in_one_place_cannot_be_divided():
    with pytest.raises(PromptError, match="found all 9 polygons in one place"):
        draw_held_out([square(5, 5)] * 9, rng())


def test_objects_are_trained_on_in_tiles_that_show_them_whole():
    grid = TileGrid.over(Window(0, 0, 3000, 2000))
    targets = [square(*place) for place in rng().integers(0, (2980, 1980), (100, 2)).tolist()]
    for target, tiles in zip(targets, training_tiles(targets, grid), strict=True):
        expected = [number for number, window in enumerate(grid) if window.contains(target.window)]
        assert tiles == expected != []


def test_an_object_that_no_tile_shows_whole_is_trained_on_where_its_middle_is():
    grid = TileGrid.over(Window(0, 0, 3000, 1000))
    (tiles,) = training_tiles([square(500, 100, 700)], grid)
    assert [grid.core(tile).col_off <= 850 < grid.core(tile).col_end for tile in tiles] == [True]


def test_all_objects_of_a_layer_are_found(scene, polygons):
    targets = objects_in_scene(scene, polygons, rng())
    assert len(targets) == DISCS
    assert all(abs(target.mask.sum() / (np.pi * RADIUS**2) - 1) < 0.02 for target in targets)


def test_of_very_many_polygons_those_of_some_places_are_taken(scene, polygons, monkeypatch):
    monkeypatch.setattr("geosam.training.finetune.split._MOST_POLYGONS", 8)
    monkeypatch.setattr("geosam.training.finetune.split._BLOCK", STEP * 2)
    targets = objects_in_scene(scene, polygons, rng())
    assert 8 <= len(targets) < DISCS


def test_too_few_polygons_are_refused_with_the_number_that_is_expected(scene, polygons):
    few = polygons.select(np.arange(DISCS) < 7)
    with pytest.raises(
        PromptError, match="found 7 in the scene, expected at least 8; 40 or more are better"
    ) as refused:
        objects_in_scene(scene, few, rng())
    assert "discs.gpkg" in str(refused.value)


def test_polygons_elsewhere_are_refused(scene, polygons):
    elsewhere = PolygonLayer.of([shape.buffer(0) for shape in discs()], "EPSG:32634")
    with pytest.raises(PromptOutsideScene, match="no polygons in the scene"):
        objects_in_scene(scene, elsewhere, rng())
    with pytest.raises(PromptOutsideScene, match="0 of 0"):
        objects_in_scene(scene, polygons.select(np.zeros(DISCS, bool)), rng())
