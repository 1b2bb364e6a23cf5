"""Ground, roads, water, woods, and the fields that lie on it."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geosam.training.synthetic.canvas import Canvas
from geosam.training.synthetic.fields import Crop, draw_crop, field, paint_fields, split_pieces
from geosam.training.synthetic.ground import (
    Warp,
    blob,
    crossing,
    grove,
    is_taken,
    meadow,
    river,
    road,
    spot,
    trodden,
    water,
)
from geosam.training.synthetic.palette import draw_land

FEW = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def canvas_of(size=80, gsd=0.5, seed=0):
    canvas = Canvas(size, gsd, np.random.default_rng(seed))
    return canvas, draw_land(canvas.rng)


def inside(shape, size=80):
    """The pixels whose centres a shape holds."""
    centres = np.arange(size) + 0.5
    return shapely.contains_xy(shape, *np.meshgrid(centres, centres))


@given(SEEDS)
def test_a_warp_of_no_amount_moves_nothing(seed):
    points = np.random.default_rng(seed).uniform(-50, 150, (20, 2))
    assert np.array_equal(Warp(np.random.default_rng(seed), 100, 0.0)(points), points)


@given(SEEDS, st.floats(1, 60))
def test_a_warp_is_smooth_and_bounded(seed, amount):
    rng = np.random.default_rng(seed)
    warp, points = Warp(rng, 100, amount), rng.uniform(-50, 150, (200, 2))
    moved = warp(points)
    assert np.abs(moved - points).max() < 40 * amount
    near = warp(points + 1e-4)
    assert np.abs((near - moved) - 1e-4).max() < 1e-4 * amount, "close points stay close"


@FEW
@given(SEEDS)
def test_bent_edges_keep_the_corners_of_the_warp(seed):
    warp = Warp(np.random.default_rng(seed), 100, 20.0)
    square = shapely.box(10, 10, 60, 60)
    bent = shapely.get_coordinates(warp.bend(square))
    corners = warp(shapely.get_coordinates(square))
    for corner in corners:
        assert np.hypot(*(bent - corner).T).min() < 1e-9
    assert len(bent) > 4 * len(corners)


@given(SEEDS, st.floats(2, 60))
def test_a_blob_is_one_valid_shape_around_its_middle(seed, radius):
    shape = blob((30, 40), radius, np.random.default_rng(seed), rough=0.2)
    assert shape.is_valid
    assert shape.contains(shapely.Point(30, 40))
    reach = np.hypot(*(shapely.get_coordinates(shape) - (30, 40)).T)
    assert 0.1 * radius < reach.min()
    assert reach.max() < 4 * radius


def test_a_smooth_blob_lies_between_a_disc_and_an_ellipse_of_half_the_width():
    for seed in range(20):
        shape = blob((0, 0), 10, np.random.default_rng(seed), rough=0.0)
        assert 0.49 * math.pi * 100 < shape.area < math.pi * 100


def test_spots_lie_on_the_canvas_or_just_beside_it():
    canvas, _ = canvas_of()
    spots = np.array([spot(canvas) for _ in range(500)])
    assert spots.min() >= -4
    assert spots.max() <= 84
    on = ((spots >= 0) & (spots < 80)).all(axis=1).mean()
    assert 0.7 < on < 0.95


def test_a_place_is_taken_where_something_stands_and_beside_it_at_the_edge():
    canvas, _ = canvas_of()
    canvas.taken[10:20, 0:5] = True
    assert is_taken(canvas, 3, 15)
    assert is_taken(canvas, -30, 15)
    assert not is_taken(canvas, 6, 15)
    assert not is_taken(canvas, 500, 500)


@FEW
@given(SEEDS, st.floats(0, math.pi), st.floats(0, 40))
def test_a_crossing_runs_through_the_canvas_from_outside_to_outside(seed, angle, bend):
    canvas, _ = canvas_of(seed=seed)
    line = crossing(canvas, angle, bend)
    ends = shapely.get_coordinates(line)[[0, -1]]
    assert not shapely.box(0, 0, 80, 80).contains(shapely.points(ends)).any()
    assert line.length > 80
    if bend == 0:
        assert line.intersects(shapely.box(0, 0, 80, 80))


@pytest.mark.parametrize("ground", [meadow, trodden])
def test_ground_covers_the_canvas_and_is_no_object(ground):
    canvas, land = canvas_of()
    canvas.rgb[:] = -1000
    ground(canvas, land)
    assert canvas.rgb.min() >= -1e-3
    assert not canvas.instances.any()
    assert not canvas.height.any()
    assert not canvas.taken.any()
    assert canvas.rgb.std(axis=(0, 1)).min() > 1


def test_nothing_is_built_on_a_road_and_a_road_is_no_object():
    canvas, land = canvas_of()
    line = shapely.LineString([(-10, 40), (90, 40)])
    road(canvas, line, 10, land.road, land)
    assert canvas.taken[36:44].all()
    assert not canvas.taken[:30].any()
    assert not canvas.taken[50:].any()
    assert not canvas.instances.any()


def test_a_road_hides_the_object_below_it():
    canvas, land = canvas_of()
    canvas.fill(shapely.box(0, 0, 80, 80), (60, 90, 40), number=canvas.number())
    road(canvas, shapely.LineString([(-10, 40), (90, 40)]), 6, land.road, land)
    assert not canvas.instances[38:42].any()
    assert (canvas.instances[:20] == 1).all()


@FEW
@given(SEEDS)
def test_water_is_one_object_of_its_shape(seed):
    canvas, land = canvas_of(seed=seed)
    shape = blob((40, 40), 20, canvas.rng, rough=0.1)
    water(canvas, shape, land)
    pixels = canvas.instances == 1
    core, hull = inside(shape.buffer(-1)), inside(shape.buffer(1))
    assert pixels[core].all()
    assert not pixels[~hull].any()
    assert canvas.instances.max() == 1
    assert canvas.taken[core].all()
    assert not canvas.height.any()


def test_water_beside_the_canvas_is_not_painted():
    canvas, land = canvas_of()
    water(canvas, shapely.box(200, 200, 240, 240), land)
    water(canvas, shapely.Polygon(), land)
    assert canvas.number() == 1


def test_a_river_is_an_object_across_the_canvas():
    widths = []
    for seed in range(12):
        canvas, land = canvas_of(size=120, gsd=5.0, seed=seed)
        river(canvas, land)
        if (canvas.instances == 1).any():
            widths.append((canvas.instances == 1).mean())
    assert len(widths) >= 8
    assert max(widths) < 0.9


def test_a_grove_is_made_of_woods_within_its_outline():
    canvas, land = canvas_of(size=120)
    shape = blob((60, 60), 40, canvas.rng, rough=0.1)
    grove(canvas, shape, land)
    assert canvas.instances.any()
    rows, columns = np.nonzero(canvas.instances)
    assert shapely.distance(shapely.points(columns + 0.5, rows + 0.5), shape).max() < 20
    assert (canvas.instances > 0).sum() == pytest.approx(shape.area, rel=0.35)


def oracle_pieces(instances):
    """Every 4-connected piece of equal number as a set of pixels."""
    pieces = set()
    for number in np.unique(instances[instances > 0]):
        labels, count = ndimage.label(instances == number)
        pieces |= {np.flatnonzero(labels == piece).tobytes() for piece in range(1, count + 1)}
    return pieces


@given(SEEDS)
def test_after_a_split_every_number_is_one_piece_and_every_piece_has_a_number(seed):
    rng = np.random.default_rng(seed)
    canvas, _ = canvas_of(size=16)
    for _ in range(4):
        canvas.number()
    canvas.instances[:] = rng.integers(0, 4, (16, 16))
    before = canvas.instances.copy()
    split_pieces(canvas)
    assert np.array_equal(canvas.instances > 0, before > 0)
    assert oracle_pieces(canvas.instances) == oracle_pieces(before)
    numbers = np.unique(canvas.instances[canvas.instances > 0])
    assert len(numbers) == len(oracle_pieces(before))


@given(SEEDS, st.floats(0.15, 10))
def test_crops_are_drawn_in_range(seed, gsd):
    canvas, land = canvas_of(size=8, gsd=gsd, seed=seed)
    crop = draw_crop(canvas, land)
    assert 0 <= crop.share <= 1
    assert crop.period >= 2.4, "rows of fewer pixels would be noise"
    assert 0 <= crop.depth <= 0.5
    assert crop.tramlines == 0 or crop.tramlines > 8
    assert crop.swaths == 0 or crop.swaths > 4
    assert crop.ground.shape == crop.plants.shape == (3,)


def plain(**changes):
    colour = np.array((100, 120, 60), np.float32)
    values = {"ground": colour, "plants": colour / 2, "share": 0.5, "period": 8.0, "depth": 0.4, "patchy": 0.0}
    return Crop(**{**values, "tramlines": 0.0, "swaths": 0.0, **changes})


@FEW
@given(SEEDS)
def test_a_field_is_one_object_of_its_parcel(seed):
    canvas, _ = canvas_of(seed=seed)
    parcel = shapely.Polygon([(10, 12), (66, 8), (70, 60), (14, 66)])
    field(canvas, parcel, 0.3, plain(tramlines=12.0, swaths=9.0), Warp(canvas.rng, 80, 0.0))
    assert canvas.instances.max() == 1
    wrong = (canvas.instances == 1) != inside(parcel)
    rows, columns = np.nonzero(wrong)
    assert shapely.distance(shapely.points(columns + 0.5, rows + 0.5), parcel.exterior).max(initial=0) < 0.8
    assert not canvas.height.any()


def test_rows_of_a_field_repeat_by_their_period():
    spectra = []
    for seed in range(12):
        canvas, _ = canvas_of(seed=seed)
        field(canvas, shapely.box(0, 0, 80, 80), 0.0, plain(), Warp(canvas.rng, 80, 0.0))
        light = canvas.rgb[..., 1] - canvas.rgb[..., 1].mean()
        power = np.abs(np.fft.rfft(light, axis=0)).mean(axis=1), np.abs(np.fft.fft(light, axis=1)).mean(axis=0)[:41]
        spectra.append(max(int(np.argmax(one[5:]) + 5) for one in power))
    assert sum(abs(peak - 10) <= 1 for peak in spectra) >= 6, "80 pixels hold ten rows of eight"


def test_a_field_beside_the_canvas_is_not_sown():
    canvas, _ = canvas_of()
    field(canvas, shapely.box(200, 0, 240, 40), 0.0, plain(), Warp(canvas.rng, 80, 0.0))
    assert canvas.number() == 1


@pytest.mark.parametrize("seed", range(6))
def test_farmland_is_parcels_that_hang_together(seed):
    canvas, land = canvas_of(size=160, gsd=3.0, seed=seed)
    paint_fields(canvas, land)
    numbers = np.unique(canvas.instances)[1:]
    assert len(numbers) >= 1
    assert np.isfinite(canvas.rgb).all()
    flat = np.where(canvas.height > 0, 0, canvas.instances)  # what stands may cut a field in two for the eye
    sizes = np.bincount(flat.ravel())[1:]
    assert sizes.max() > 100
