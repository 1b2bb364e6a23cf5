import pickle

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from pyproj import CRS

from geosam.errors import EmptyPrompt, PromptError
from geosam.geobox import Window
from geosam.prompts import MAX_POINTS_PER_OBJECT, PixelPrompts, Prompt, ScenePrompt, prompts_from_options

UTM = CRS(32633)
ONE = np.ones(1, np.int8)


def at(*points):
    return np.array(points, np.float64).reshape(-1, 2)


def scene_prompt(points=(), labels=(), box=None, polygon=None):
    bounds = (0.0, 0.0, 1.0, 1.0)
    return ScenePrompt(0, at(*points), np.array(labels, np.int8), box, polygon, "auto", bounds)


def test_prompt_is_picklable_and_keeps_its_values():
    prompt = Prompt("a", UTM, at((1, 2), (3, 4)), np.array([1, 0], np.int8), (0, 0, 5, 5), attributes={"x": 1})
    again = pickle.loads(pickle.dumps(prompt))  # noqa: S301 - made two lines up
    assert (again.id, again.crs, again.box_xyxy, again.attributes) == ("a", UTM, (0, 0, 5, 5), {"x": 1})
    np.testing.assert_array_equal(again.points_xy, prompt.points_xy)
    np.testing.assert_array_equal(again.labels, prompt.labels)


@pytest.mark.parametrize(
    ("error", "text", "given_parts"),
    [
        (EmptyPrompt, "at least one including point or a box", {}),
        (EmptyPrompt, "at least one including point or a box", {"points_xy": at((1, 1)), "labels": 0 * ONE}),
        (PromptError, "not finite", {"points_xy": at((1, np.nan)), "labels": ONE}),
        (PromptError, "not finite", {"points_xy": at((-np.inf, 1)), "labels": ONE}),
        (PromptError, "unknown label: layer, object 3: 2", {"points_xy": at((1, 1)), "labels": 2 * ONE}),
        (PromptError, "'huge'", {"points_xy": at((1, 1)), "labels": ONE, "granularity": "huge"}),
        (EmptyPrompt, "no area", {"box_xyxy": (1, 0, 1, 5)}),
        (EmptyPrompt, "no area", {"box_xyxy": (0, 5, 1, 4)}),
        (PromptError, "not finite", {"box_xyxy": (0, 0, np.nan, 5)}),
        (PromptError, "LineString", {"polygon": shapely.LineString([(0, 0), (1, 1)])}),
        (EmptyPrompt, "Self-intersection", {"polygon": shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])}),
        (EmptyPrompt, "no area", {"polygon": shapely.Polygon()}),
    ],
)
def test_prompt_refuses_what_selects_nothing(error, text, given_parts):
    with pytest.raises(error) as caught:
        Prompt(3, UTM, **given_parts, source="layer, object 3")
    assert type(caught.value) is error
    assert "layer, object 3" in str(caught.value)
    assert text in str(caught.value)


def test_prompt_refuses_points_without_labels():
    with pytest.raises(ValueError, match="2 labels"):
        Prompt(1, UTM, at((1, 1)), np.ones(2, np.int8))


def test_prompt_takes_the_allowed_number_of_points():
    count = MAX_POINTS_PER_OBJECT
    assert len(Prompt(1, UTM, np.zeros((count, 2)), np.ones(count, np.int8)).labels) == count


def test_options_make_one_object_of_all_points_and_one_of_each_box():
    prompts, warnings = prompts_from_options([(1, 2), (3, 4)], [(5, 6)], [(0, 0, 9, 9), (20, 20, 29, 29)], UTM)
    assert warnings == []
    assert [p.id for p in prompts] == [1, 2, 3]
    assert all(p.crs is UTM for p in prompts)
    np.testing.assert_array_equal(prompts[0].points_xy, [(1, 2), (3, 4), (5, 6)])
    assert prompts[0].labels.tolist() == [1, 1, 0]
    assert [p.box_xyxy for p in prompts] == [None, (0, 0, 9, 9), (20, 20, 29, 29)]
    assert prompts_from_options([], [], [], UTM) == ([], [])


def test_pixel_prompts_are_shifted_into_the_window_and_keep_their_order():
    prompts = [
        scene_prompt([(10.5, 20.25), (0, 0)], [1, 0]),
        scene_prompt(box=(4.0, 5.0, 16.5, 17.5)),
        scene_prompt([(7, 7)], [1], (1.0, 2.0, 3.0, 4.0)),
    ]
    pixels = PixelPrompts.of(prompts, Window(4, 5, 30, 20))
    assert len(pixels) == 3
    np.testing.assert_array_equal(pixels.points[0], [(6.5, 15.25), (-4, -5)])
    np.testing.assert_array_equal(pixels.labels[0], [1, 0])
    assert pixels.points[1].shape == (0, 2)
    expected = [[np.nan] * 4, [0, 0, 12.5, 12.5], [-3, -3, -1, -1]]
    np.testing.assert_array_equal(pixels.boxes_xyxy, expected)
    assert pixels.masks == (None, None, None)
    np.testing.assert_array_equal(prompts[0].points_xy[0], (10.5, 20.25))


def test_pixel_prompts_of_nothing_are_empty():
    pixels = PixelPrompts.of([], Window(0, 0, 5, 5))
    assert len(pixels) == 0
    assert pixels.boxes_xyxy.shape == (0, 4)


def test_pixel_prompts_refuse_columns_of_different_length():
    with pytest.raises(ValueError, match="same number"):
        PixelPrompts((at((1, 1)),), (ONE,), np.zeros((2, 4)), (None,))


coordinates = st.floats(0, 40).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=8), st.integers(0, 20), st.integers(0, 20))
@example([(0, 0), (2, 0), (39.531, 37.531)], 1, 0)  # an edge through the centre of a pixel
def test_masks_of_windows_are_crops_of_one_mask(ring, col, row):
    prompt = scene_prompt(polygon=shapely.convex_hull(shapely.MultiPoint(ring)))
    whole, window = PixelPrompts.of([prompt], Window(0, 0, 45, 40)).masks[0], Window(col, row, 25, 20)
    mask = PixelPrompts.of([prompt], window).masks[0]
    assert mask.shape == window.shape_hw
    if mask.any() and whole[window.slices_rc].any():  # else it is too thin to cover a centre
        np.testing.assert_array_equal(mask, whole[window.slices_rc])


def test_masks_are_the_pixels_whose_centres_the_polygon_covers():
    polygon = shapely.Polygon([(3.3, 2.1), (38.2, 9.7), (20.4, 33.8)])
    mask = PixelPrompts.of([scene_prompt(polygon=polygon)], Window(5, 4, 30, 25)).masks[0]
    rows, cols = np.mgrid[4:29, 5:35] + 0.5
    np.testing.assert_array_equal(mask, shapely.contains_xy(polygon, cols, rows))


def test_a_polygon_smaller_than_a_pixel_still_marks_one():
    mask = PixelPrompts.of([scene_prompt(polygon=shapely.box(3.1, 4.1, 3.3, 4.3))], Window(0, 0, 9, 9)).masks[0]
    assert np.argwhere(mask).tolist() == [[4, 3]]


def test_a_polygon_mask_keeps_its_holes():
    ring = shapely.difference(shapely.box(0, 0, 9, 9), shapely.box(3, 3, 6, 6))
    mask = PixelPrompts.of([scene_prompt(polygon=ring)], Window(0, 0, 9, 9)).masks[0]
    assert mask.sum() == 81 - 9
    assert not mask[3:6, 3:6].any()


def test_a_polygon_smaller_than_the_grid_it_is_burnt_from_marks_its_pixel():
    mask = PixelPrompts.of([scene_prompt(polygon=shapely.box(3.1, 4.1, 3.1001, 4.1001))], Window(0, 0, 9, 9)).masks[0]
    assert np.argwhere(mask).tolist() == [[4, 3]]
