"""The canvas: patches, coverage, noise, light and shadows, each against an independent computation."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geosam.training.synthetic.canvas import Canvas, Frame, Sun

FEW = settings(max_examples=20, deadline=None)
#: Places on and around a canvas of 40 pixels.
PLACES = st.floats(-30, 70, allow_nan=False)
ANGLES = st.floats(-math.tau, math.tau, allow_nan=False)


def canvas_of(size=40, gsd=0.5, seed=0):
    return Canvas(size, gsd, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def shared():
    """A canvas that no test changes."""
    return canvas_of()


@given(st.tuples(PLACES, PLACES), st.tuples(st.floats(0, 50), st.floats(0, 50)), st.floats(0, 5))
def test_a_patch_holds_every_pixel_that_meets_the_bounds_and_no_pixel_outside_the_canvas(shared, place, size, margin):
    (x, y), (w, h) = place, size
    patch = shared.patch((x, y, x + w, y + h), margin)
    low, high = np.arange(40), np.arange(1, 41)
    columns = np.flatnonzero((high > x - margin) & (low < x + w + margin))
    rows = np.flatnonzero((high > y - margin) & (low < y + h + margin))
    if patch is None:
        assert len(columns) * len(rows) == 0
        return
    assert 0 <= patch.place[0].start < patch.place[0].stop <= 40
    assert 0 <= patch.place[1].start < patch.place[1].stop <= 40
    assert set(rows) <= set(range(40)[patch.place[0]])
    assert set(columns) <= set(range(40)[patch.place[1]])


def test_a_patch_knows_the_middles_of_its_pixels(shared):
    patch = shared.patch((3, 10, 7, 12), 0)
    assert patch.place == (slice(10, 12), slice(3, 7))
    assert patch.x.tolist() == [[3.5, 4.5, 5.5, 6.5]]
    assert patch.y.tolist() == [[10.5], [11.5]]
    assert patch.shape_hw == (2, 4)


def test_the_whole_canvas_is_a_patch(shared):
    whole = shared.whole()
    assert whole.shape_hw == (40, 40)
    assert shared.rgb[whole.place].shape == (40, 40, 3)


@pytest.mark.parametrize("bounds", [(40, 0, 50, 10), (0, 45, 10, 50), (-9, -9, -3, -3)])
def test_bounds_beside_the_canvas_have_no_patch(shared, bounds):
    assert shared.patch(bounds, 0) is None


def test_objects_are_numbered_in_sequence():
    canvas = canvas_of()
    assert [canvas.number() for _ in range(4)] == [1, 2, 3, 4]


@given(PLACES, PLACES, ANGLES, st.floats(-50, 50), st.floats(-50, 50))
def test_local_axes_are_a_rigid_motion(x, y, angle, u, v):
    frame = Frame(x, y, angle)
    here, there = frame.at(0, 0), frame.at(u, v)
    assert here == pytest.approx((x, y))
    assert math.dist(here, there) == pytest.approx(math.hypot(u, v), abs=1e-9)


@FEW
@given(PLACES, PLACES, ANGLES)
def test_the_axes_of_a_patch_are_the_inverse_of_local_coordinates(shared, x, y, angle):
    frame, patch = Frame(x, y, angle), shared.patch((5, 6, 12, 11), 0)
    u, v = frame.axes(patch)
    for row, column in ((0, 0), (2, 5), (4, 6)):
        back = frame.at(float(u[row, column]), float(v[row, column]))
        assert back == pytest.approx((float(patch.x[0, column]), float(patch.y[row, 0])), abs=1e-3)


@given(PLACES, PLACES, ANGLES, st.floats(0.5, 20), st.floats(0.5, 20))
def test_a_box_in_local_axes_has_its_size_and_its_middle(x, y, angle, half_u, half_v):
    box = Frame(x, y, angle).box(2, -3, half_u, half_v)
    assert box.area == pytest.approx(4 * half_u * half_v, rel=1e-6)
    assert (box.centroid.x, box.centroid.y) == pytest.approx(Frame(x, y, angle).at(2, -3), abs=1e-6)
    assert box.length == pytest.approx(4 * (half_u + half_v), rel=1e-6)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 10), st.integers(1, 10))
def test_coverage_of_a_box_along_pixel_edges_is_its_pixels(shared, x, y, width, height):
    alpha = shared.coverage(shared.whole(), shapely.box(x, y, x + width, y + height))
    expected = np.zeros((40, 40))
    expected[y : y + height, x : x + width] = 1
    assert np.array_equal(alpha, expected)


@FEW
@given(st.floats(10, 30), st.floats(10, 30), ANGLES, st.tuples(st.floats(1, 8), st.floats(1, 8)))
def test_coverage_lies_between_nothing_and_all_and_only_on_the_shape(shared, x, y, angle, half):
    shape = Frame(x, y, angle).box(0, 0, *half)
    alpha = shared.coverage(shared.whole(), shape)
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    rows, columns = np.nonzero(alpha > 0)
    assert shapely.distance(shapely.points(columns + 0.5, rows + 0.5), shape).max() <= 0.5 * math.sqrt(2) + 1e-3
    inside = shapely.contains_xy(shape.buffer(-1), *np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5))
    assert (alpha[inside] == 1).all()


def test_coverage_of_a_hole_and_of_the_rest_add_up(shared):
    outer, hole = shapely.box(4, 4, 36, 30), shapely.Point(20, 17).buffer(8)
    alphas = [shared.coverage(shared.whole(), shape) for shape in (outer, outer.difference(hole), hole)]
    assert np.abs(alphas[0] - alphas[1] - alphas[2]).max() < 0.34  # a subpixel row more or less on a slanted edge
    assert alphas[1].sum() + alphas[2].sum() == pytest.approx(alphas[0].sum(), rel=0.01)


def test_a_concave_shape_is_not_covered_in_its_bay(shared):
    bay = shapely.Polygon([(5, 5), (35, 5), (35, 35), (20, 12), (5, 35)])
    alpha = shared.coverage(shared.whole(), bay)
    assert alpha[30, 20] == 0
    assert alpha[8, 20] == 1
    assert alpha.sum() == pytest.approx(bay.area, rel=0.02)


def test_paint_covers_by_its_share_and_labels_where_most_is_covered():
    canvas = canvas_of()
    canvas.rgb[:] = 100
    patch = canvas.patch((10, 10, 14, 11), 0)
    alpha = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    canvas.paint(patch, alpha, (200, 0, 100), height=7, number=3)
    assert canvas.rgb[10, 10:14, 0].tolist() == [100, 125, 150, 200]
    assert canvas.rgb[10, 10:14, 1].tolist() == [100, 75, 50, 0]
    assert canvas.instances[10, 10:14].tolist() == [0, 0, 3, 3]
    assert canvas.height[10, 10:14].tolist() == [0, 0, 7, 7]
    assert canvas.instances.sum() == 6


def test_what_is_painted_later_hides_what_was_there():
    canvas = canvas_of()
    canvas.fill(shapely.box(5, 5, 20, 20), (50, 50, 50), number=1, height=4)
    canvas.fill(shapely.box(10, 10, 25, 25), (90, 90, 90), number=2)
    canvas.fill(shapely.box(15, 15, 18, 18), (10, 10, 10))
    assert canvas.instances[12, 12] == 2
    assert canvas.instances[7, 7] == 1
    assert canvas.instances[16, 16] == 0, "a thing without a number hides the object below"
    assert canvas.height[12, 12] == 0
    assert (canvas.instances == 1).sum() == 15 * 15 - 10 * 10
    assert (canvas.instances == 2).sum() == 15 * 15 - 9


def test_a_filled_shape_beside_the_canvas_changes_nothing():
    canvas = canvas_of()
    before = canvas.rgb.copy()
    canvas.fill(shapely.box(100, 100, 120, 120), (255, 0, 0), number=1)
    canvas.fill(shapely.Polygon(), (255, 0, 0), number=1)
    assert np.array_equal(canvas.rgb, before)
    assert not canvas.instances.any()


def test_a_shape_that_hangs_over_the_edge_is_cut_there():
    canvas = canvas_of()
    canvas.fill(shapely.box(-10, -10, 6, 8), (80, 80, 80), number=1)
    assert (canvas.instances == 1).sum() == 6 * 8


def test_rough_colour_varies_around_the_colour():
    canvas = canvas_of(128)
    canvas.fill(shapely.box(0, 0, 128, 128), (100, 150, 50), rough=0.05)
    assert canvas.rgb.mean(axis=(0, 1)) == pytest.approx((100, 150, 50), rel=0.1)
    assert 1 < canvas.rgb[..., 0].std() < 15
    assert np.corrcoef(canvas.rgb[..., 0].ravel(), canvas.rgb[..., 1].ravel())[0, 1] == pytest.approx(1, abs=1e-3)


def test_opacity_lets_the_ground_through():
    canvas = canvas_of()
    canvas.rgb[:] = 100
    canvas.fill(shapely.box(0, 0, 40, 40), (200, 200, 200), opacity=0.25)
    assert canvas.rgb == pytest.approx(125)


def test_ground_is_taken_once():
    canvas = canvas_of()
    first, second = shapely.box(5, 5, 15, 15), shapely.box(14, 14, 20, 20)
    whole = canvas.whole()
    assert canvas.claim(whole, canvas.coverage(whole, first))
    assert canvas.taken.sum() == 100
    assert not canvas.claim(whole, canvas.coverage(whole, second))
    assert canvas.taken.sum() == 100, "a refused shape takes nothing"
    assert canvas.claim(whole, canvas.coverage(whole, shapely.box(15, 15, 20, 20)))
    assert canvas.taken.sum() == 125


@FEW
@given(st.integers(0, 2**32 - 1))
def test_noise_is_a_seeded_field_of_unit_spread(seed):
    fields = [canvas_of(64, seed=seed) for _ in range(2)]
    one, other = (canvas.noise(canvas.whole(), 2, 8) for canvas in fields)
    assert np.array_equal(one, other)
    assert one.shape == (64, 64)
    assert one.dtype == np.float32
    assert 0.4 < one.std() < 1.7
    assert abs(one.mean()) < 0.8


def test_two_draws_of_noise_differ():
    canvas = canvas_of(64)
    one, other = (canvas.noise(canvas.whole(), 2, 8) for _ in range(2))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(("finest", "coarsest"), [(0.1, 0.2), (5000, 9000)])
def test_noise_finer_or_coarser_than_there_is_gets_the_nearest_wavelength(finest, coarsest):
    canvas = canvas_of(64)
    assert np.isfinite(canvas.noise(canvas.whole(), finest, coarsest)).all()


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_light_is_never_negative_and_never_glaring(shared, slope_x, slope_y):
    light = float(shared.light(slope_x, slope_y))
    assert shared.sun.ambient - 1e-6 <= light <= 1.7 + 1e-6


def test_a_slope_that_faces_away_far_enough_has_the_light_of_the_sky_alone(shared):
    steep = 10 / shared.sun.reach
    light = shared.light(steep * shared.sun.x, steep * shared.sun.y)
    assert float(light) == pytest.approx(shared.sun.ambient, abs=1e-6)


@pytest.mark.parametrize(("x", "y"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_shadows_fall_on_the_side_away_from_the_sun(x, y):
    canvas = canvas_of(80)
    canvas.sun = Sun(x, y, 1.0, (0.5, 0.5, 0.5), 0.5)
    canvas.rgb[:] = 100
    canvas.fill(shapely.box(36, 36, 44, 44), (100, 100, 100), height=10)
    canvas.cast_shadows()
    dark = canvas.rgb[..., 0] < 75
    rows, columns = np.nonzero(dark)
    assert len(rows) > 40
    assert (columns.mean() - 39.5) * -x >= (5 if x else -1)
    assert (rows.mean() - 39.5) * -y >= (5 if y else -1)


def test_a_plain_throws_no_shadow_and_neither_does_a_plateau_on_itself():
    canvas = canvas_of(50)
    canvas.rgb[:] = 100
    canvas.cast_shadows()
    assert (canvas.rgb == 100).all()
    canvas.height[:] = 9
    canvas.cast_shadows()
    assert (canvas.rgb[20:30, 20:30] == 100).all()


def test_shadows_never_brighten_and_take_no_more_than_the_sun_gives():
    canvas = canvas_of(60)
    canvas.rgb[:] = 100
    canvas.height[:] = np.random.default_rng(1).uniform(0, 12, (60, 60))
    canvas.cast_shadows()
    least = 100 * (1 - np.array(canvas.sun.dark))
    assert (canvas.rgb <= 100).all()
    assert (canvas.rgb >= least - 1e-3).all()


@given(st.integers(0, 2**32 - 1))
@FEW
def test_the_sun_stands_in_a_direction_and_above_the_horizon(seed):
    sun = canvas_of(8, seed=seed).sun
    assert math.hypot(sun.x, sun.y) == pytest.approx(1)
    assert 0.3 <= sun.reach <= 1.7
    assert all(0 <= share < 1 for share in sun.dark)
    assert 0 < sun.ambient < 1
