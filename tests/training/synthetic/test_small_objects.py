"""Plants and small things: what gets a number, where it lies, and what it stands on."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geosam.training.synthetic import small_objects
from geosam.training.synthetic.canvas import Canvas, Frame
from geosam.training.synthetic.nature import paint_nature
from geosam.training.synthetic.palette import draw_land
from geosam.training.synthetic.plants import crown, crowns_along, wood
from geosam.training.synthetic.sites import paint_site
from geosam.training.synthetic.towns import paint_town

FEW = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
MIDDLE = Frame(50, 50, 0.4)


def canvas_of(size=100, gsd=0.1, seed=0):
    canvas = Canvas(size, gsd, np.random.default_rng(seed))
    return canvas, draw_land(canvas.rng)


def distances(canvas, x=50.0, y=50.0):
    """Distance of every labelled pixel's middle from a place."""
    rows, columns = np.nonzero(canvas.instances)
    return np.hypot(columns + 0.5 - x, rows + 0.5 - y)


THINGS = {
    "vehicle": (small_objects.vehicle, 8.3),
    "pool": (small_objects.pool, 8.0),
    "container": (small_objects.container, 6.7),
    "solar": (small_objects.solar, 20.3),
}


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.parametrize("seed", range(5))
def test_a_thing_is_one_object_around_its_place_of_the_size_that_things_have(name, seed):
    draw, reach_m = THINGS[name]
    canvas, _ = canvas_of(500, seed=seed)
    draw(canvas, Frame(250, 250, 0.4))
    assert canvas.instances.max() == 1
    assert canvas.instances[250, 250] == 1
    assert distances(canvas, 250, 250).max() <= reach_m / canvas.gsd
    _, pieces = ndimage.label(canvas.instances == 1)
    assert pieces == 1


@pytest.mark.parametrize("name", THINGS)
def test_a_second_thing_finds_no_room_on_the_first(name):
    canvas, _ = canvas_of()
    draw, _ = THINGS[name]
    draw(canvas, MIDDLE)
    before = canvas.instances.copy(), canvas.rgb.copy()
    draw(canvas, MIDDLE)
    assert np.array_equal(canvas.instances, before[0])
    assert np.array_equal(canvas.rgb, before[1])


@pytest.mark.parametrize("name", THINGS)
def test_a_thing_beside_the_canvas_is_not_there(name):
    canvas, _ = canvas_of()
    THINGS[name][0](canvas, Frame(900, 50, 0))
    assert canvas.number() == 1
    assert not canvas.taken.any()


@pytest.mark.parametrize("seed", range(6))
def test_a_thing_of_few_pixels_is_scenery(seed):
    canvas, _ = canvas_of(gsd=0.7, seed=seed)
    small_objects.vehicle(canvas, MIDDLE)
    area = (canvas.rgb[..., 0] > 0).sum()
    assert bool(canvas.instances.any()) == bool(canvas.instances.max() == 1)
    if area < 20:
        assert not canvas.instances.any()


@given(st.floats(0.3, 4), SEEDS)
@FEW
def test_a_tank_is_a_disc(radius_m, seed):
    canvas, _ = canvas_of(seed=seed)
    small_objects.tank(canvas, Frame(50.2, 49.7, 0), radius_m)
    radius = radius_m / canvas.gsd
    assert canvas.instances.max() == int(math.pi * radius**2 >= 36)
    if canvas.instances.any():
        assert distances(canvas, 50.2, 49.7).max() <= radius + 1e-3
        assert (canvas.instances == 1).sum() == pytest.approx(math.pi * radius**2, rel=0.12)
        assert (canvas.height[canvas.instances == 1] > 0).all()


def test_a_tank_of_two_pixels_is_not_drawn():
    canvas, _ = canvas_of(gsd=1.0)
    small_objects.tank(canvas, MIDDLE, 1.0)
    assert not canvas.taken.any()


@FEW
@given(SEEDS)
def test_a_boat_is_a_pointed_hull(seed):
    canvas, _ = canvas_of(400, seed=seed)
    small_objects.boat(canvas, Frame(200, 200, 0.0))
    rows, columns = np.nonzero(canvas.instances == 1)
    if len(rows) < 200 or np.ptp(columns) > 300:
        return
    length, width = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert 0.15 < width / length < 0.5
    bow = (canvas.instances[:, columns.max() - 1] == 1).sum()
    stern = (canvas.instances[:, columns.min() + 1] == 1).sum()
    assert bow < stern


@FEW
@given(SEEDS, st.floats(7, 20))
def test_a_rock_is_a_heap_near_its_place(seed, radius):
    canvas, _ = canvas_of(seed=seed)
    small_objects.rock(canvas, (50, 50), radius)
    assert canvas.instances.max() == 1
    assert distances(canvas).max() < 3 * radius
    assert canvas.height.min() >= 0
    assert canvas.height.max() > 0


@pytest.mark.parametrize("seed", range(4))
def test_walls_and_litter_are_no_objects(seed):
    canvas, land = canvas_of(seed=seed)
    small_objects.wall(canvas, shapely.LineString([(5, 50), (95, 50)]), land)
    assert canvas.height[50, 5:95].min() > 0
    assert not canvas.height[:30].any()
    small_objects.litter(canvas, 40, land)
    assert canvas.number() == 1
    assert not canvas.instances.any()


def test_litter_lies_beside_what_stands():
    canvas, land = canvas_of()
    canvas.taken[:] = True
    before = canvas.rgb.copy()
    small_objects.litter(canvas, 50, land)
    assert np.array_equal(canvas.rgb, before)


@FEW
@given(SEEDS, st.floats(1.5, 20))
def test_a_crown_is_an_object_from_four_pixels_of_radius_on(seed, radius):
    canvas, land = canvas_of(seed=seed)
    crown(canvas, (50, 50), radius, land)
    assert canvas.instances.any() == (radius >= 4)
    rows, columns = np.nonzero(canvas.height)
    assert np.hypot(columns + 0.5 - 50, rows + 0.5 - 50).max() < 3 * radius + 3
    assert canvas.instances.max() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_a_crown_has_no_crumbs_around_it(seed):
    canvas, land = canvas_of(seed=seed)
    crown(canvas, (50, 50), 15, land)
    pieces, count = ndimage.label(canvas.instances == 1)
    sizes = np.bincount(pieces.ravel())[1:]
    assert count == 1 or sizes.min() >= sizes.max() / 10


def test_a_crown_may_belong_to_another_object():
    canvas, land = canvas_of()
    crown(canvas, (50, 50), 12, land, number=7)
    assert set(np.unique(canvas.instances)) == {0, 7}
    assert canvas.number() == 1, "no number is spent"


def test_crowns_beside_the_canvas_spend_no_number():
    canvas, land = canvas_of()
    crown(canvas, (300, 300), 12, land)
    assert canvas.number() == 1


def test_trees_along_a_line_stand_near_it_at_the_gap():
    canvas, land = canvas_of(400)
    crowns_along(canvas, shapely.LineString([(20, 200), (380, 200)]), 8, land, gap=60)
    rows, columns = np.nonzero(canvas.instances)
    assert np.abs(rows - 200).max() < 40
    assert 5 <= canvas.instances.max() <= 7
    assert columns.min() < 90


def test_no_tree_of_none_stands():
    canvas, land = canvas_of()
    crowns_along(canvas, shapely.LineString([(0, 50), (100, 50)]), 8, land, gap=10, share=0.0)
    assert not canvas.instances.any()


@pytest.mark.parametrize("seed", range(5))
def test_a_wood_is_one_object_of_its_outline(seed):
    canvas, land = canvas_of(seed=seed)
    shape = shapely.Point(50, 50).buffer(30)
    wood(canvas, shape, 4.0, land)
    assert canvas.instances.max() == 1
    rows, columns = np.nonzero(canvas.instances == 1)
    assert shapely.distance(shapely.points(columns + 0.5, rows + 0.5), shape).max() < 8
    assert (canvas.instances == 1).sum() == pytest.approx(shape.area, rel=0.25)
    assert canvas.taken[50, 50]
    assert np.median(canvas.height[45:55, 45:55]) > 4


@pytest.mark.parametrize("paint", [paint_town, paint_site, paint_nature])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_built_does_not_overlap(paint, seed, monkeypatch):
    """Every shape that claims ground is kept: no pixel that one covers by more than its rim belongs to another."""
    claim, claimed = Canvas.claim, []

    def kept(self, patch, alpha):
        is_free = claim(self, patch, alpha)
        if is_free:
            claimed.append((patch.place, alpha > 0.4))
        return is_free

    monkeypatch.setattr(Canvas, "claim", kept)
    canvas, land = canvas_of(160, gsd=0.3, seed=seed)
    paint(canvas, land)
    counts = np.zeros((160, 160), int)
    for place, pixels in claimed:
        counts[place] += pixels
    assert counts.max() <= 1
    assert np.isfinite(canvas.rgb).all()
    assert canvas.height.min() >= 0


@pytest.mark.parametrize("paint", [paint_town, paint_site, paint_nature])
def test_a_scene_follows_from_its_seed(paint):
    scenes = []
    for seed in (1, 1, 2):
        canvas, land = canvas_of(96, gsd=0.3, seed=seed)
        paint(canvas, land)
        scenes.append((canvas.rgb.copy(), canvas.instances.copy(), canvas.height.copy()))
    assert all(np.array_equal(*pair) for pair in zip(scenes[0], scenes[1], strict=True))
    assert not np.array_equal(scenes[0][0], scenes[2][0])


def test_a_town_is_mostly_houses_and_a_site_has_things_in_rows():
    shares = []
    for seed in range(6):
        canvas, land = canvas_of(200, gsd=0.2, seed=seed)
        paint_town(canvas, land)
        shares.append((canvas.instances > 0).mean())
    assert max(shares) > 0.2
    assert max(shares) < 0.95
