import pickle

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from pyproj import CRS

from geosam.apps.cli.options.prompts import prompts_from_options
from geosam.errors import EmptyPrompt, PromptError
from geosam.geometry.geobox import Window
from geosam.objects.growth import points_inside
from geosam.prompts.in_window import in_window
from geosam.prompts.prompt import MAX_POINTS_PER_OBJECT, Prompt, ScenePrompt, Steps, with_granularity
from geosam.segmenters.pixel_prompts import PixelPrompts

UTM = CRS(32633)
ONE = np.ones(1, np.int8)


def at(*points):
    return np.array(points, np.float64).reshape(-1, 2)


def scene_prompt(points=(), labels=(), box=None, polygon=None, *, bounds=(0.0, 0.0, 1.0, 1.0), steps=None):
    return ScenePrompt(0, at(*points), np.array(labels, np.int8), box, polygon, "auto", bounds, steps)


def test_prompt_is_picklable_and_keeps_its_values():
    prompt = Prompt("a", UTM, at((1, 2), (3, 4)), np.array([1, 0], np.int8), box_xyxy=(0, 0, 5, 5), attributes={"x": 1})
    again = pickle.loads(pickle.dumps(prompt))  # noqa: S301 - made two lines up
    assert (again.id, again.crs, again.box_xyxy, again.attributes) == ("a", UTM, (0, 0, 5, 5), {"x": 1})
    np.testing.assert_array_equal(again.points_xy, prompt.points_xy)
    np.testing.assert_array_equal(again.labels, prompt.labels)


@pytest.mark.parametrize(
    ("error", "text", "given_parts"),
    [
        (EmptyPrompt, "at least one including point, a box or a mask", {}),
        (EmptyPrompt, "at least one including point, a box or a mask", {"points_xy": at((1, 1)), "labels": 0 * ONE}),
        (PromptError, "not finite", {"points_xy": at((1, np.nan)), "labels": ONE}),
        (PromptError, "not finite", {"points_xy": at((-np.inf, 1)), "labels": ONE}),
        (PromptError, "unknown label: layer, object 3: found 2", {"points_xy": at((1, 1)), "labels": 2 * ONE}),
        (PromptError, "'huge'", {"points_xy": at((1, 1)), "labels": ONE, "granularity": "huge"}),
        (EmptyPrompt, "no area", {"box_xyxy": (1, 0, 1, 5)}),
        (EmptyPrompt, "no area", {"box_xyxy": (0, 5, 1, 4)}),
        (PromptError, "not finite", {"box_xyxy": (0, 0, np.nan, 5)}),
        (PromptError, "LineString", {"mask": shapely.LineString([(0, 0), (1, 1)])}),
        (EmptyPrompt, "Self-intersection", {"mask": shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])}),
        (EmptyPrompt, "no area", {"mask": shapely.Polygon()}),
    ],
)
def test_prompt_refuses_what_selects_nothing(error, text, given_parts):
    with pytest.raises(error) as caught:
        Prompt(3, UTM, **given_parts, source="layer, object 3")
    assert type(caught.value) is error
    assert "layer, object 3" in str(caught.value)
    assert text in str(caught.value)


def test_prompt_refuses_points_without_labels():
    with pytest.raises(PromptError, match="2 labels"):
        Prompt(1, UTM, at((1, 1)), np.ones(2, np.int8))


@pytest.mark.parametrize("steps", [[0], [1, 0], [-1, 0], [0, 1, 2]])
def test_prompt_refuses_steps_that_do_not_go_with_its_points(steps):
    with pytest.raises(ValueError, match="2 points"):
        Prompt(1, UTM, at((1, 1), (2, 2)), np.ones(2, np.int8), steps=Steps(np.array(steps)))


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
    pixels = in_window(prompts, Window(4, 5, 30, 20))
    assert len(pixels) == 3
    np.testing.assert_array_equal(pixels.points[0], [(6.5, 15.25), (-4, -5)])
    np.testing.assert_array_equal(pixels.labels[0], [1, 0])
    assert pixels.points[1].shape == (0, 2)
    expected = [[np.nan] * 4, [0, 0, 12.5, 12.5], [-3, -3, -1, -1]]
    np.testing.assert_array_equal(pixels.boxes_xyxy, expected)
    assert pixels.masks == (None, None, None)
    np.testing.assert_array_equal(prompts[0].points_xy[0], (10.5, 20.25))


def test_pixel_prompts_of_nothing_are_empty():
    pixels = in_window([], Window(0, 0, 5, 5))
    assert len(pixels) == 0
    assert pixels.boxes_xyxy.shape == (0, 4)


def test_pixel_prompts_refuse_columns_of_different_length():
    with pytest.raises(ValueError, match="differ in length"):
        PixelPrompts((at((1, 1)),), (ONE,), np.zeros((2, 4)), (None,))


def test_pixel_prompts_go_on_from_logits_instead_of_a_polygon():
    prompts = [scene_prompt(polygon=shapely.box(1, 1, 3, 3)), scene_prompt([(2, 2)], [1])]
    logits = np.zeros((4, 4), np.float32)
    window = Window(0, 0, 9, 9)
    assert in_window(prompts, window).logits == in_window(prompts, window, [None, None]).logits == ()
    other = in_window(prompts, window, [None, logits])
    assert other.masks[0].sum() == 4
    assert (other.logits[0], other.logits[1] is logits) == (None, True)
    assert in_window(prompts, window, [logits, None]).masks == (None, None)
    for wrong in ((logits,), (logits, None)):
        with pytest.raises(ValueError, match="logits"):
            PixelPrompts(other.points, other.labels, other.boxes_xyxy, other.masks, wrong)


def shown(prompt):
    """What a prompt consists of: points, labels, box, mask area, bounds, steps."""
    polygon = None if prompt.polygon is None else prompt.polygon.area
    steps = None if prompt.steps is None else (prompt.steps.points.tolist(), *prompt.steps[1:])
    points, labels = prompt.points_xy.tolist(), prompt.labels.tolist()
    return points, labels, prompt.box_xyxy, polygon, prompt.bounds_xyxy, steps


def test_the_history_of_a_prompt_adds_what_each_step_gave():
    prompt = scene_prompt(
        [(5, 5), (6, 6), (30, 2), (7, 7)],
        [1, 1, 0, 1],
        (1.0, 2.0, 8.0, 9.0),
        shapely.box(-10, 4, 10, 20),
        bounds=(0.0, 2.0, 30.0, 20.0),
        steps=Steps(np.array([0, 0, 1, 4]), box=2, polygon=3),
    )
    *earlier, last = prompt.history()
    assert last is prompt
    two, three = [[5, 5], [6, 6]], [[5, 5], [6, 6], [30, 2]]
    assert [shown(given) for given in earlier] == [
        (two, [1, 1], None, None, (5, 5, 6, 6), ([0, 0], 0, 0)),
        (three, [1, 1, 0], None, None, (5, 2, 30, 6), ([0, 0, 1], 0, 0)),
        (three, [1, 1, 0], (1, 2, 8, 9), None, (1, 2, 30, 9), ([0, 0, 1], 2, 0)),
        (three, [1, 1, 0], (1, 2, 8, 9), 320, (0, 2, 30, 20), ([0, 0, 1], 2, 3)),
    ]
    assert [given.ends_with_polygon for given in prompt.history()] == [False, False, False, True, False]


def test_history_begins_with_something_that_includes():
    prompt = scene_prompt([(5, 5), (6, 6)], [0, 1], box=(0.0, 0.0, 9.0, 9.0), steps=Steps(np.array([0, 1]), box=2))
    assert [given.labels.tolist() for given in prompt.history()] == [[0, 1], [0, 1]]
    assert [given.box_xyxy for given in prompt.history()] == [None, (0, 0, 9, 9)]


def test_what_was_given_at_once_has_no_history():
    prompt = scene_prompt([(5, 5)], [1], polygon=shapely.box(0, 0, 1, 1))
    assert prompt.history() == [prompt]
    assert prompt.ends_with_polygon


@pytest.mark.parametrize(
    ("numbers", "steps"),
    [
        (([3, 3, 9], None, None), ([0, 0, 1], 0, 0)),
        (([], 5.0, 2.0), ([], 1, 0)),
        (([1.0, 4.0], 1.0, 7.0), ([0, 1], 0, 2)),
        (([2, 2], 2, None), None),
        (([], None, 4), None),
    ],
)
def test_steps_are_numbered_by_their_order_and_none_if_there_is_one_only(numbers, steps):
    points, box, polygon = numbers
    ranked = Steps.ranked(np.array(points), box, polygon)
    assert (ranked and (ranked.points.tolist(), *ranked[1:])) == steps


def test_a_stated_granularity_is_kept():
    prompts = [
        Prompt(i, UTM, at((1, 1)), ONE, granularity=level) for i, level in enumerate(("auto", "part", "group", "auto"))
    ]
    assert [p.granularity for p in with_granularity(prompts, "whole")] == ["whole", "part", "group", "whole"]
    assert with_granularity(prompts, "auto") == prompts


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_points_inside_a_mask_lie_in_it_and_far_apart(seed, height, width):
    mask = np.random.default_rng(seed).random((height, width)) < 0.7
    mask[height // 2, width // 2] = True
    points = points_inside(mask)
    rows, cols = np.floor(points).astype(int).T[::-1]
    assert mask[rows, cols].all()
    assert (points % 1 == 0.5).all()
    assert 1 <= len(np.unique(points, axis=0)) == len(points) <= 3


def test_long_masks_get_more_points_than_round_ones():
    mask = np.zeros((60, 300), bool)
    mask[10:31, 5:26] = True
    assert points_inside(mask).tolist() == [[15.5, 20.5]]
    mask[10:31, 5:205] = True
    points = points_inside(mask)
    assert points[0].tolist() == [15.5, 20.5]
    assert points[1][0] > 190
    assert 85 < points[2][0] < 130
    assert (np.abs(points[:, 1] - 20.5) <= 5.5).all()


coordinates = st.floats(0, 40).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=8), st.integers(0, 20), st.integers(0, 20))
@example([(0, 0), (2, 0), (39.531, 37.531)], 1, 0)  # an edge through the centre of a pixel
def test_masks_of_windows_are_crops_of_one_mask(ring, col, row):
    prompt = scene_prompt(polygon=shapely.convex_hull(shapely.MultiPoint(ring)))
    whole, window = in_window([prompt], Window(0, 0, 45, 40)).masks[0], Window(col, row, 25, 20)
    mask = in_window([prompt], window).masks[0]
    assert mask.shape == window.shape_hw
    if mask.any() and whole[window.slices_rc].any():  # else it is too thin to cover a centre
        np.testing.assert_array_equal(mask, whole[window.slices_rc])


def test_masks_are_the_pixels_whose_centres_the_polygon_covers():
    polygon = shapely.Polygon([(3.3, 2.1), (38.2, 9.7), (20.4, 33.8)])
    mask = in_window([scene_prompt(polygon=polygon)], Window(5, 4, 30, 25)).masks[0]
    rows, cols = np.mgrid[4:29, 5:35] + 0.5
    np.testing.assert_array_equal(mask, shapely.contains_xy(polygon, cols, rows))


def test_a_polygon_smaller_than_a_pixel_still_marks_one():
    mask = in_window([scene_prompt(polygon=shapely.box(3.1, 4.1, 3.3, 4.3))], Window(0, 0, 9, 9)).masks[0]
    assert np.argwhere(mask).tolist() == [[4, 3]]


def test_a_polygon_mask_keeps_its_holes():
    ring = shapely.difference(shapely.box(0, 0, 9, 9), shapely.box(3, 3, 6, 6))
    mask = in_window([scene_prompt(polygon=ring)], Window(0, 0, 9, 9)).masks[0]
    assert mask.sum() == 81 - 9
    assert not mask[3:6, 3:6].any()


def test_a_polygon_smaller_than_the_grid_it_is_burnt_from_marks_its_pixel():
    mask = in_window([scene_prompt(polygon=shapely.box(3.1, 4.1, 3.1001, 4.1001))], Window(0, 0, 9, 9)).masks[0]
    assert np.argwhere(mask).tolist() == [[4, 3]]
