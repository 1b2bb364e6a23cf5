"""Roofs: outlines against an own rasterisation, heights against formulas."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from geosam.training.synthetic.canvas import Canvas, Frame
from geosam.training.synthetic.foundations import foundation
from geosam.training.synthetic.palette import draw_land
from geosam.training.synthetic.roofs import FORMS, MATERIALS, Roof, Wing, building, draw_roof

FEW = settings(max_examples=15, deadline=None)
GREY = np.array((150, 150, 150), np.float32)


def canvas_of(size=80, gsd=0.2, seed=0):
    canvas = Canvas(size, gsd, np.random.default_rng(seed))
    canvas.lean = np.zeros(2)  # straight from above: no facades
    return canvas


def roof_of(form="gable", pitch=0.5, eaves=10.0, material="metal"):
    return Roof(form, material, GREY, pitch, eaves)


def pixels_of(shape, size=80):
    """The pixels whose centres a shape holds, by GDAL."""
    return rasterize([shape], (size, size)) > 0


@given(st.floats(2, 50), st.floats(2, 50), st.floats(-20, 20), st.floats(-20, 20), st.integers(0, 2**32 - 1))
def test_the_parts_of_a_cut_wing_are_the_wing(half_u, half_v, u, v, seed):
    wing = Wing(u, v, half_u, half_v)
    frame = Frame(0, 0, 0)
    one, other = (frame.box(*part) for part in wing.cut(np.random.default_rng(seed)))
    whole = frame.box(*wing)
    assert one.area + other.area == pytest.approx(whole.area, rel=1e-6)
    assert one.intersection(other).area == pytest.approx(0, abs=1e-6 * whole.area)
    assert one.union(other).symmetric_difference(whole).area == pytest.approx(0, abs=1e-6 * whole.area)


@given(st.floats(2, 50), st.floats(2, 50), st.integers(0, 2**32 - 1))
def test_a_wing_is_cut_across_its_longer_side_and_no_part_is_a_sliver(half_u, half_v, seed):
    parts = Wing(0, 0, half_u, half_v).cut(np.random.default_rng(seed))
    for part in parts:
        if half_u > half_v:
            assert part.half_v == half_v
            assert part.half_u >= 0.35 * half_u
        else:
            assert part.half_u == half_u
            assert part.half_v >= 0.35 * half_v


@pytest.mark.parametrize("material", MATERIALS)
def test_builders_with_one_habit_use_one_material(material):
    canvas = canvas_of()
    habits = [float(name == material) for name in MATERIALS]
    roofs = [draw_roof(canvas, GREY, habits) for _ in range(20)]
    assert {roof.material for roof in roofs} == {material}
    assert {roof.form for roof in roofs} <= set(FORMS)
    assert all(0 < roof.pitch <= 0.6 for roof in roofs)
    assert all(2.2 / 0.2 <= roof.eaves <= 12 / 0.2 for roof in roofs)
    assert all(roof.colour.min() >= 8 and roof.colour.max() <= 255 for roof in roofs)


def test_concrete_roofs_are_mostly_flat_and_tiled_roofs_are_mostly_not():
    canvas = canvas_of()
    forms = {
        name: [draw_roof(canvas, GREY, [float(name == other) for other in MATERIALS]).form for _ in range(60)]
        for name in ("concrete", "tiles")
    }
    assert forms["concrete"].count("flat") > 40
    assert forms["tiles"].count("flat") < 10


@pytest.mark.parametrize("form", FORMS)
@FEW
@given(st.floats(0, 3.14), st.floats(8, 25), st.floats(6, 20))
def test_the_label_of_a_house_is_its_outline(form, angle, half_u, half_v):
    canvas, frame = canvas_of(), Frame(40.3, 39.6, angle)
    assert building(canvas, frame, [Wing(0, 0, half_u, half_v)], roof_of(form))
    outline = frame.box(0, 0, half_u, half_v)
    wrong = (canvas.instances == 1) != pixels_of(outline)
    rows, columns = np.nonzero(wrong)
    distances = shapely.distance(shapely.points(columns + 0.5, rows + 0.5), outline.exterior)
    assert distances.max(initial=0) < 0.8, "only pixels on the outline may differ"


def test_a_flat_roof_lies_level_at_the_height_of_the_walls():
    canvas = canvas_of(gsd=1.0)
    assert building(canvas, Frame(40, 40, 0), [Wing(0, 0, 2.6, 2.6)], roof_of("flat", eaves=12))
    heights = canvas.height[canvas.instances == 1]
    assert (heights >= 12).all()
    assert np.median(heights) == 12


@pytest.mark.parametrize("form", ["gable", "hip", "shed"])
def test_a_sloped_roof_rises_from_the_eaves_by_its_pitch(form):
    canvas = canvas_of()
    assert building(canvas, Frame(40, 40, 0), [Wing(0, 0, 25, 12)], roof_of(form, pitch=0.5, eaves=10))
    x, y = np.meshgrid(np.arange(80) + 0.5 - 40, np.arange(80) + 0.5 - 40)
    across, along = 12 - np.abs(y), 25 - np.abs(x)
    rise = {"gable": across, "hip": np.minimum(across, along), "shed": y + 12}[form]
    inside = canvas.instances == 1
    assert canvas.height[inside] == pytest.approx((10 + 0.5 * np.maximum(rise, 0))[inside], abs=1e-3)


def test_the_ridge_runs_along_the_longer_side():
    wide, tall = canvas_of(), canvas_of()
    assert building(wide, Frame(40, 40, 0), [Wing(0, 0, 25, 12)], roof_of())
    assert building(tall, Frame(40, 40, 0), [Wing(0, 0, 12, 25)], roof_of())
    assert np.allclose(wide.height, tall.height.T)


def test_two_wings_meet_at_the_higher_roof():
    canvas = canvas_of()
    wings = [Wing(0, 0, 25, 8), Wing(0, 0, 8, 25)]
    assert building(canvas, Frame(40, 40, 0), wings, roof_of("gable", pitch=0.5, eaves=10))
    alone = [canvas_of(), canvas_of()]
    for one, wing in zip(alone, wings, strict=True):
        assert building(one, Frame(40, 40, 0), [wing], roof_of("gable", pitch=0.5, eaves=10))
    expected = np.maximum(*(one.height for one in alone))
    assert np.allclose(canvas.height, expected, atol=1e-3)
    assert canvas.instances.max() == 1, "one building is one object"


def test_a_house_beside_the_canvas_is_not_built():
    canvas = canvas_of()
    assert not building(canvas, Frame(300, 300, 0), [Wing(0, 0, 10, 10)], roof_of())
    assert not foundation(canvas, draw_land(canvas.rng), Frame(300, 300, 0), [Wing(0, 0, 10, 10)])
    assert not canvas.instances.any()


def test_a_house_over_the_edge_is_built_as_far_as_it_is_seen():
    canvas = canvas_of()
    assert building(canvas, Frame(0, 40, 0), [Wing(0, 0, 20, 10)], roof_of())
    assert (canvas.instances == 1).sum() == 20 * 20


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_house_changes_nothing(form):
    canvas = canvas_of()
    canvas.taken[40, 40] = True
    before = canvas.rgb.copy()
    assert not building(canvas, Frame(40, 40, 0.3), [Wing(0, 0, 20, 10)], roof_of(form))
    assert np.array_equal(canvas.rgb, before)
    assert not canvas.instances.any()
    assert canvas.taken.sum() == 1


def test_a_leaning_camera_sees_a_wall_that_is_no_part_of_the_roof():
    straight, leaning = canvas_of(), canvas_of()
    leaning.lean = np.array((0.3, 0.0))
    for canvas in (straight, leaning):
        canvas.rgb[:] = 30
        assert building(canvas, Frame(40, 40, 0), [Wing(0, 0, 15, 10)], roof_of("gable", eaves=20))
    assert np.array_equal(straight.instances, leaning.instances)
    beside = np.s_[35:45, 20:24]  # the camera leans to the right: the wall shows on the left
    assert (straight.rgb[beside] == 30).all()
    assert not (leaning.rgb[beside] == 30).any()


@pytest.mark.parametrize("material", MATERIALS)
def test_every_material_has_a_texture_in_the_range_of_colours(material):
    canvas = canvas_of(seed=3)
    assert building(canvas, Frame(40, 40, 0.5), [Wing(0, 0, 30, 20)], roof_of("hip", material=material))
    seen = canvas.rgb[canvas.instances == 1]
    assert np.isfinite(seen).all()
    assert seen.min() >= 0
    assert seen.std() > 1
