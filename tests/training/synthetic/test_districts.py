"""Towns, built sites and open country of synthetic scenes: where houses, vehicles, lakes and trees may stand."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geosam.training.synthetic import foundations, nature, sites, towns
from geosam.training.synthetic.canvas import Canvas, Frame
from geosam.training.synthetic.ground import blob
from geosam.training.synthetic.palette import TEMPERATE, land_of
from geosam.training.synthetic.roofs import Wing

LAND = land_of(TEMPERATE)
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=12, deadline=None)
TILES = np.array((0, 0, 0, 1.0, 0, 0))


def canvas_of(seed=0, size=160, gsd=0.25):
    return Canvas(size, gsd, np.random.default_rng(seed))


def builders_of(style=1, unfinished=0.0):
    return towns.Builders(towns._STYLES[style], TILES, unfinished)


def sizes(canvas):
    return np.bincount(canvas.instances.ravel())[1:]


# ---- towns ----


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(8, 60), st.floats(8, 60))
def test_a_house_of_several_wings_keeps_to_its_rectangle(seed, half_u, half_v):
    wings, court = towns._shape(half_u, half_v, np.random.default_rng(seed))
    frame = Frame(0, 0, 0)
    outline = shapely.union_all([frame.box(*wing) for wing in wings])
    assert frame.box(0, 0, half_u + 1e-6, half_v + 1e-6).contains(outline)
    assert outline.geom_type == "Polygon"
    assert min(min(wing.half_u, wing.half_v) for wing in wings) > 0.15 * min(half_u, half_v)
    if court is not None:
        assert frame.box(0, 0, half_u, half_v).contains_properly(frame.box(*court))
        assert len(wings) == 1


@pytest.mark.parametrize("style", range(5))
def test_rows_of_houses_are_as_large_as_their_style_says(style):
    canvas = canvas_of(style, 400, gsd=0.3)
    builders = builders_of(style)
    middles, turns = np.array([(200.0, 200.0)]), np.array([0.3])
    towns._rows(canvas, LAND, builders, middles, turns)
    areas_m2 = sizes(canvas) * canvas.gsd**2
    longest = builders.style.long_m[1]
    assert len(areas_m2) > 0
    assert areas_m2.max() <= 1.05 * longest**2
    assert canvas.height.max() > 2 / canvas.gsd


def test_houses_of_a_town_stand_on_ground_of_their_own():
    canvas = canvas_of(3, 300, gsd=0.3)
    towns._rows(canvas, LAND, builders_of(0), np.array([(150.0, 150.0)]), np.array([0.0]))
    towns._fillers(canvas, LAND, builders_of(0), np.array([(150.0, 150.0)]), np.array([0.0]))
    assert (canvas.taken | (canvas.instances == 0)).mean() > 0.99


def test_attempts_fill_gaps_and_move_no_house():
    canvas = canvas_of(5, 300, gsd=0.3)
    towns._house(canvas, LAND, builders_of(), Frame(150, 150, 0.2))
    before = canvas.instances.copy()
    towns._fillers(canvas, LAND, builders_of(0), np.array([(150.0, 150.0)]), np.array([0.2]))
    built = before > 0
    assert canvas.instances.max() > before.max()
    assert (canvas.instances[built] == before[built]).mean() > 0.9  # walls of a leaning neighbour may hide some


def test_nobody_builds_where_ground_is_taken():
    canvas = canvas_of(1)
    canvas.taken[:] = True
    towns._house(canvas, LAND, builders_of(), Frame(80, 80, 0.0))
    towns._fillers(canvas, LAND, builders_of(), np.array([(80.0, 80.0)]), np.array([0.0]))
    towns._extras(canvas, 0.0, 4.0)
    assert not canvas.instances.any()


def test_all_houses_are_foundations_where_nothing_is_finished():
    canvas = canvas_of(2, 200, gsd=0.2)
    builders = towns.Builders(towns._STYLES[1]._replace(wings=0.0), TILES, 1.0)
    towns._house(canvas, LAND, builders, Frame(100, 100, 0.0))
    inside = canvas.instances == 1
    assert inside.any()
    assert 0.02 < (canvas.height[inside] > 0).mean() < 0.9  # walls stand, rooms are open


def test_a_plot_of_an_old_town_is_filled_to_its_edge():
    areas = []
    for seed in range(12):
        canvas = canvas_of(seed, 120)
        canvas.lean = np.zeros(2)
        towns._fitted(canvas, LAND, builders_of(2), Frame(60, 60, 0.0), Wing(0, 0, 30, 24))
        assert not canvas.instances[:, :29].any()
        assert not canvas.instances[:, 91:].any()
        areas.append((canvas.instances > 0).sum() / (60 * 48))
    assert max(areas) > 0.9
    assert np.median(areas) > 0.6


def test_a_plot_too_narrow_for_a_house_stays_empty():
    canvas = canvas_of()
    towns._fitted(canvas, LAND, builders_of(2), Frame(60, 60, 0.0), Wing(0, 0, 30, 2.5))
    assert not canvas.instances.any()


def test_streets_and_yards_are_scenery():
    canvas = canvas_of(4, 200)
    towns._yards(canvas, LAND, towns._STYLES[1], 0.4)
    towns._streets(canvas, LAND, 0.4)
    assert not canvas.instances.any()
    assert canvas.taken.any()
    assert canvas.rgb.any()


def test_trees_in_gardens_are_objects_beside_houses():
    canvas = canvas_of(6, 300, gsd=0.15)
    canvas.taken[:, :150] = True
    towns._garden_trees(canvas, LAND, towns._STYLES[4], 20.0)
    left, right = (canvas.instances[:, :150] > 0).sum(), (canvas.instances[:, 150:] > 0).sum()
    assert right > 3 * left


# ---- foundations ----


@FEW
@given(SEEDS, st.floats(10, 60), st.floats(10, 60), st.floats(5, 30))
def test_rooms_fill_a_building_and_are_about_as_large_as_asked_for(seed, half_u, half_v, side):
    frame, wings = Frame(0, 0, 0.5), [Wing(0, 0, half_u, half_v)]
    rooms = list(foundations._rooms(frame, wings, side, np.random.default_rng(seed)))
    outline = frame.box(*wings[0])
    assert sum(room.area for room in rooms) == pytest.approx(outline.area, rel=0.2)
    assert shapely.union_all(rooms).difference(outline).area < 1e-6
    assert max(room.area for room in rooms) <= (1.4 * side) ** 2 + 1e-6


def test_rooms_of_overlapping_wings_do_not_overlap():
    wings = [Wing(0, 0, 40, 20), Wing(10, 10, 20, 40)]
    rooms = list(foundations._rooms(Frame(0, 0, 0.0), wings, 12.0, np.random.default_rng(3)))
    assert shapely.union_all(rooms).area == pytest.approx(sum(room.area for room in rooms))


# ---- sites ----


@pytest.mark.parametrize("kind", range(5))
def test_rows_hold_objects_of_one_kind_and_size(kind):
    counts = []
    for seed in range(8):
        canvas = canvas_of(seed, 500, gsd=0.2)
        sites._grid(canvas, Frame(250, 250, 0.3), kind)
        areas = sizes(canvas)
        counts.append(len(areas))
        assert areas.max(initial=0) * canvas.gsd**2 < 700
    assert max(counts) >= (2 if kind == 4 else 3)  # pools come in fours at most


def test_lines_between_parked_cars_are_paint_and_no_objects():
    canvas = canvas_of(0, 200, gsd=0.1)
    canvas.rgb[:] = 80
    sites._bays(canvas, Frame(40, 40, 0.0), (55.0, 27.0), (2, 4))
    assert not canvas.instances.any()
    marked = (canvas.rgb[..., 0] > 81).any(axis=1)
    _, lines = ndimage.label(marked)
    assert lines == 5  # one more than there are bays in a row


@pytest.mark.parametrize("seed", range(3))
def test_a_site_has_objects_on_paved_ground(seed):
    canvas = canvas_of(seed, 256, gsd=0.2)
    sites.paint_site(canvas, LAND)
    assert canvas.instances.max() > 3
    assert (canvas.rgb.min(axis=2) > 0).mean() > 0.99


# ---- open country ----


@pytest.mark.parametrize("seed", range(6))
def test_a_lake_takes_its_ground_and_lies_level(seed):
    canvas = canvas_of(seed, 200, gsd=2.0)  # too coarse for boats
    shape = blob((100, 100), 60, np.random.default_rng(seed), rough=0.1)
    nature._lake(canvas, shape, LAND)
    water = canvas.instances == 1
    assert water.sum() <= 1.05 * shape.area
    assert water.sum() > 0.75 * shape.area  # an island may be left out
    assert (canvas.height[water] == 0).all()
    assert canvas.taken[water].mean() > 0.95


def test_a_second_lake_does_not_flood_the_first():
    canvas = canvas_of(0, 200, gsd=2.0)
    for _ in range(2):
        nature._lake(canvas, shapely.Point(100, 100).buffer(40), LAND)
    assert canvas.instances.max() == 1


@pytest.mark.parametrize("typical", [3.0, 8.0, 15.0])
def test_crowns_have_about_the_typical_radius(typical):
    canvas = canvas_of(int(typical), 400)
    nature._trees(canvas, LAND, typical)
    labels, _ = ndimage.label(canvas.instances > 0)
    radii = np.sqrt(sizes(canvas) / math.pi)
    assert len(radii) == 0 or np.percentile(radii, 95) < 3 * typical
    assert typical < 4 or labels.any()


@pytest.mark.parametrize("gsd", [0.1, 0.6, 5.0])
def test_open_country_is_drawn_at_every_resolution(gsd):
    canvas = canvas_of(9, 160, gsd)
    nature.paint_nature(canvas, LAND)
    assert (canvas.rgb.min(axis=2) > 0).mean() > 0.98
    assert np.isfinite(canvas.height).all()
