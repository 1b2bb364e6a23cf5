"""Parcels of synthetic farmland: cuts, strips, terraces and circles, against plain geometry."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geosam.training.synthetic import fields
from geosam.training.synthetic.canvas import Canvas, Frame
from geosam.training.synthetic.ground import Warp
from geosam.training.synthetic.palette import TEMPERATE, draw_land, land_of

SEEDS = st.integers(0, 2**32 - 1)
ANGLES = st.floats(0, math.pi)
FEW = settings(max_examples=12, deadline=None)
SIZE = 160
VIEW = shapely.box(0, 0, SIZE, SIZE)


def canvas_of(seed=0, size=SIZE, gsd=0.5):
    return Canvas(size, gsd, np.random.default_rng(seed))


def parcels_of(pattern, seed, angle):
    canvas = canvas_of(seed)
    return list(pattern(canvas, Frame(SIZE / 2, SIZE / 2, angle)))


@settings(max_examples=40, deadline=None)
@given(SEEDS, ANGLES, st.floats(5, 80), st.floats(5, 80), st.sampled_from([0.0, 0.06, 0.2]))
def test_the_halves_of_a_rectangle_make_it_up_without_overlap(seed, angle, half_u, half_v, skew):
    whole = Frame(30, 40, angle).box(0, 0, half_u, half_v)
    parts = fields.halves(whole, np.random.default_rng(seed), skew)
    assert len(parts) == 2
    assert sum(part.area for part in parts) == pytest.approx(whole.area)
    assert shapely.union_all(parts).symmetric_difference(whole).area < 1e-6 * whole.area
    assert min(part.area for part in parts) > 0.05 * whole.area


@FEW
@given(SEEDS, ANGLES)
def test_a_cut_runs_across_the_long_side(seed, angle):
    whole = Frame(0, 0, angle).box(0, 0, 60, 10)
    parts = fields.halves(whole, np.random.default_rng(seed), 0.0)
    cut = parts[0].intersection(parts[1])
    assert cut.length == pytest.approx(20)


def test_a_cut_through_a_concave_parcel_loses_nothing():
    parcel = shapely.Polygon([(0, 0), (90, 0), (90, 40), (60, 40), (60, 12), (30, 12), (30, 40), (0, 40)])
    parts = fields.halves(parcel, np.random.default_rng(4), 0.06)
    assert len(parts) >= 2
    assert sum(part.area for part in parts) == pytest.approx(parcel.area)


@pytest.mark.parametrize("pattern", [fields._mosaic, fields._strips, fields._terraces], ids=lambda p: p.__name__)
@pytest.mark.parametrize("seed", range(8))
def test_parcels_cover_the_view_once_before_they_are_bent(pattern, seed, monkeypatch):
    monkeypatch.setattr(Warp, "bend", lambda _, shape: shape)
    parcels = [parcel for parcel, _ in parcels_of(pattern, seed, 0.4 * seed)]
    shown = shapely.intersection(parcels, VIEW)
    assert shapely.union_all(shown).area == pytest.approx(VIEW.area)
    assert sum(part.area for part in shown) == pytest.approx(VIEW.area)


@FEW
@given(SEEDS, ANGLES)
def test_circles_lie_beside_each_other_and_leave_corners(seed, angle):
    parcels = [parcel for parcel, _ in parcels_of(fields._pivots, seed, angle)]
    union = shapely.union_all(parcels)
    assert union.area == pytest.approx(sum(parcel.area for parcel in parcels), rel=1e-6)
    assert union.intersection(VIEW).area < 0.9 * VIEW.area


@pytest.mark.parametrize("pattern", [fields._mosaic, fields._strips, fields._terraces], ids=lambda p: p.__name__)
def test_rows_follow_the_axes_of_the_pattern(pattern):
    assert {rows for _, rows in parcels_of(pattern, 3, 0.7)} == {0.7}


@FEW
@given(SEEDS, ANGLES)
def test_distances_across_straight_rows_are_exact(seed, rows):
    canvas = canvas_of(seed, 64)
    patch = canvas.patch((5, 9, 50, 40))
    across = fields._across(patch, rows, Warp(np.random.default_rng(seed), 64, 0.0))
    exact = -math.sin(rows) * patch.x + math.cos(rows) * patch.y
    assert np.abs(across - exact).max() < 1e-3


@FEW
@given(SEEDS, st.floats(5, 60))
def test_bent_rows_are_found_well_on_a_coarse_lattice(seed, amount):
    canvas, contours = canvas_of(seed, 200), Warp(np.random.default_rng(seed), 200, amount)
    patch = canvas.whole()
    across = fields._across(patch, 0.3, contours)
    xy = np.stack(np.broadcast_arrays(patch.x, patch.y), axis=-1).reshape(-1, 2).astype(np.float64)
    exact = (contours(xy) @ np.array((-math.sin(0.3), math.cos(0.3)))).reshape(200, 200)
    assert np.abs(across - exact).max() < 0.15 * amount


@FEW
@given(st.integers(2, 9), st.integers(1, 5), SEEDS)
def test_values_between_rows_are_interpolated_linearly(rows, columns, seed):
    rng = np.random.default_rng(seed)
    values, places = rng.normal(size=(rows, columns)), np.sort(rng.uniform(0, rows - 1, 7))
    stretched = fields._stretched(values, places)
    for column in range(columns):
        assert stretched[:, column] == pytest.approx(np.interp(places, np.arange(rows), values[:, column]))


def test_the_rim_of_a_field_changes_and_its_middle_and_number_do_not():
    canvas, land = canvas_of(2, 80), land_of(TEMPERATE)
    shape = shapely.box(10, 10, 70, 70)
    patch = canvas.patch(shape.bounds)
    alpha, number = canvas.coverage(patch, shape), canvas.number()
    canvas.paint(patch, alpha, (90, 120, 60), number=number)
    before, labels = canvas.rgb.copy(), canvas.instances.copy()
    fields._margin(canvas, patch, alpha, shape, fields.draw_crop(canvas, land))
    changed = np.abs(canvas.rgb - before).max(axis=2) > 1e-3
    assert changed.any()
    assert not changed[25:55, 25:55].any()
    assert not changed[:9].any()
    assert np.array_equal(canvas.instances, labels)


@pytest.mark.parametrize("seed", range(4))
def test_grassed_waterways_are_drawn_and_divide_no_field(seed):
    canvas = canvas_of(seed, 120)
    canvas.fill(shapely.box(-1, -1, 121, 121), (120, 100, 80), number=canvas.number())
    before = canvas.rgb.copy()
    fields._waterways(canvas, draw_land(canvas.rng))
    assert (canvas.instances == 1).all()
    assert np.abs(canvas.rgb - before).max() > 1


@pytest.mark.parametrize("seed", range(4))
def test_a_farmstead_has_buildings_and_trees_around_its_place(seed):
    canvas, land = canvas_of(seed, 300, gsd=0.4), land_of(TEMPERATE)
    fields._farmstead(canvas, land, Frame(150, 150, 0.2), 8.0)
    rows, columns = np.nonzero(canvas.instances)
    assert len(rows)
    assert math.hypot(rows.mean() - 150, columns.mean() - 150) < 90
    assert canvas.height[canvas.instances > 0].min() > 0


def test_parcels_are_rounded_and_have_gaps():
    canvas, land = canvas_of(11, 256, gsd=0.5), land_of(TEMPERATE)
    fields.paint_fields(canvas, land)
    share = (canvas.instances > 0).mean()
    assert 0.3 < share < 0.999
