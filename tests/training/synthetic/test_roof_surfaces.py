"""Surfaces of synthetic roofs: slopes, textures, walls and the clutter on flat roofs."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geosam.training.synthetic import roofs
from geosam.training.synthetic.canvas import Canvas, Frame
from geosam.training.synthetic.roofs import FORMS, MATERIALS, Roof, Wing, building

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=12, deadline=None)
GREY = np.array((150, 150, 150), np.float32)


def canvas_of(size=120, gsd=0.1, seed=0):
    canvas = Canvas(size, gsd, np.random.default_rng(seed))
    canvas.lean = np.zeros(2)
    return canvas


def roof_of(form="flat", material="concrete", pitch=0.4, eaves=20.0):
    return Roof(form, material, GREY, pitch, eaves)


def axes(size=60):
    """Local coordinates of the pixels of a square around the origin."""
    middles = np.arange(size, dtype=np.float32) - size / 2 + 0.5
    return np.broadcast_arrays(middles[None], middles[:, None])


@pytest.mark.parametrize("form", ["gable", "hip", "shed"])
@FEW
@given(st.floats(10, 25), st.floats(10, 25), st.floats(0.1, 0.8))
def test_the_slope_of_a_face_is_the_gradient_of_its_height(form, half_u, half_v, pitch):
    u, v = axes()
    face = roofs._face(u, v, Wing(0, 0, half_u, half_v), roof_of(form, pitch=pitch))
    rise_v, rise_u = np.gradient(face.height)
    # not at ridges, valleys and eaves, where the height has a kink
    smooth = (face.edge > 2) & (np.abs(u) > 2) & (np.abs(v) > 2)
    if form == "hip":
        smooth &= np.abs((half_u - np.abs(u)) - (half_v - np.abs(v))) > 2
        smooth &= np.abs(np.abs(half_u - half_v) - np.where(half_u > half_v, np.abs(u), np.abs(v))) > 2
    for slope, rise in ((face.slope_u, rise_u), (face.slope_v, rise_v)):
        assert np.abs(np.broadcast_to(slope, rise.shape) - rise)[smooth].max(initial=0) < 0.02


@pytest.mark.parametrize("form", FORMS)
def test_no_face_is_lower_than_the_walls(form):
    u, v = axes()
    face = roofs._face(u, v, Wing(0, 0, 22, 14), roof_of(form))
    assert face.height.min() >= 20
    assert face.height[face.alpha > 0].max() <= 20 + 0.4 * 2 * 22


@FEW
@given(st.floats(3, 28), st.floats(3, 28))
def test_the_coverage_of_a_rectangle_sums_up_to_its_area(half_u, half_v):
    u, v = axes()
    assert roofs._box(u, v, half_u, half_v).sum() == pytest.approx(4 * half_u * half_v, rel=1e-3)


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("seed", range(3))
def test_textures_vary_around_the_colour_of_the_roof(material, seed):
    canvas = canvas_of(seed=seed)
    patch = canvas.patch((10, 10, 110, 110))
    u, v = Frame(60, 60, 0.3).axes(patch)
    texture = roofs._texture(canvas, patch, u, v, roof_of("gable", material))
    assert texture.shape == (*patch.shape_hw, 3)
    assert np.isfinite(texture).all()
    assert 40 < texture.mean() < 260
    assert texture.std() > 0.5


@FEW
@given(SEEDS, st.floats(2.5, 20))
def test_stripes_repeat_by_their_period(seed, period):
    across = np.linspace(0, 50, 300, dtype=np.float32)
    one = roofs._wave(across, period, np.random.default_rng(seed))
    later = roofs._wave(across + np.float32(period), period, np.random.default_rng(seed))
    assert np.abs(one - later).max() < 1e-3
    assert np.abs(one).max() <= 1 + 1e-6


def test_stripes_too_fine_for_the_pixels_are_left_out():
    assert not roofs._wave(np.arange(9, dtype=np.float32), 2.1, np.random.default_rng(0)).any()


@FEW
@given(SEEDS, st.floats(2, 12), st.floats(2, 12))
def test_sheets_have_one_shade_each(seed, width, depth):
    u, v = axes(40)
    cells = roofs._cells(u, v, width, depth, np.random.default_rng(seed))
    sheet = np.floor(v / np.float32(depth)) * 1000 + np.floor(u / np.float32(width))
    for name in np.unique(sheet):
        assert len(np.unique(cells[sheet == name])) == 1


@pytest.mark.parametrize("seed", range(6))
def test_clutter_stands_on_its_roof_and_keeps_its_outline(seed):
    canvas = canvas_of(seed=seed)
    frame, wings = Frame(60, 60, 0.2), [Wing(0, 0, 45, 35)]
    assert building(canvas, frame, wings, roof_of())
    outline = frame.box(*wings[0])
    assert canvas.instances.max() == 1
    assert (canvas.instances == 1).sum() == pytest.approx(outline.area, rel=0.02)
    raised = canvas.height > 20
    assert canvas.height[raised].max(initial=20) <= 20 + 2.2 / canvas.gsd + 1e-3
    assert not (raised & (canvas.instances == 0)).any()


def test_no_clutter_stands_in_a_court():
    for seed in range(6):
        canvas = canvas_of(seed=seed)
        assert building(canvas, Frame(60, 60, 0.0), [Wing(0, 0, 50, 50)], roof_of(), Wing(0, 0, 20, 20))
        assert not canvas.height[42:78, 42:78].any()


@pytest.mark.parametrize("lean", [(0.3, 0.0), (0.0, -0.3)])
def test_walls_are_seen_on_the_side_that_the_camera_faces(lean):
    canvas = canvas_of()
    canvas.lean = np.array(lean)
    frame, wings = Frame(60, 60, 0.0), [Wing(0, 0, 20, 20)]
    assert building(canvas, frame, wings, roof_of("gable", "tiles", eaves=30.0))
    walls = (canvas.height == 15.0) & (canvas.instances == 0)
    rows, columns = np.nonzero(walls)
    assert len(rows) > 100
    # the roof leans away from the camera, so its walls show on the opposite side
    assert np.sign(columns.mean() + 0.5 - 60) == -np.sign(lean[0]) or lean[0] == 0
    assert np.sign(rows.mean() + 0.5 - 60) == -np.sign(lean[1]) or lean[1] == 0


def test_seen_from_straight_above_a_building_shows_no_walls():
    canvas = canvas_of()
    roofs._facades(canvas, Frame(60, 60, 0.0), [Wing(0, 0, 20, 20)], roof_of())
    assert not canvas.rgb.any()
    assert not canvas.height.any()


@FEW
@given(SEEDS)
def test_drawn_roofs_have_heights_of_one_to_three_storeys(seed):
    canvas = canvas_of(8, 0.25, seed)
    roof = roofs.draw_roof(canvas, GREY, np.full(6, 1 / 6))
    assert roof.form in FORMS
    assert roof.material in MATERIALS
    assert 2.2 <= roof.eaves * canvas.gsd <= 12
    assert 0 < math.degrees(math.atan(roof.pitch)) < 32
    assert ((roof.colour >= 0) & (roof.colour <= 255)).all()


def test_an_object_on_a_roof_beside_the_canvas_is_not_painted():
    canvas = canvas_of(40)
    roofs._object_on_roof(canvas, shapely.box(90, 90, 95, 95), roof_of())
    assert not canvas.rgb.any()
