"""Prompts given in several steps: replay, one step of a session, and the window they are asked in.

The picture is five stripes of 16 px, 0 .. 4. :class:`RefiningSegmenter` answers a lone click with the stripe and its
neighbours, remembers them when it is given the logits of that answer, and forgets them when it is not.
"""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from known_answers import RefiningSegmenter
from prompt_files import UTM, X, Y, write_layer
from pyproj import CRS

from geosam.geometry import corners
from geosam.geometry.geobox import GeoBox, Window
from geosam.objects.growth import segment_prompted
from geosam.objects.steps import WindowView, refine
from geosam.objects.windows import WindowRule
from geosam.prompts.in_window import in_window
from geosam.prompts.layer import read_prompts
from geosam.prompts.placement import to_scene
from geosam.prompts.prompt import ScenePrompt, Steps
from geosam.segmenters.segmenter import Segmenter
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

STRIPES = np.tile(np.repeat(np.arange(5) * 50, 16), (24, 1)).astype(np.uint8)
REGION = Window(0, 0, 80, 24)
RULE = WindowRule(REGION, 128, 16)


@dataclass(frozen=True)
class Recording(RefiningSegmenter):
    """Writes down what it is asked: (multimask, points of each prompt, which go on from logits, which have a mask)."""

    asked: list = field(default_factory=list)

    def decode(self, embedding, prompts, *, multimask, keep):
        counts = [len(labels) for labels in prompts.labels]
        former = [logits is not None for logits in prompts.logits]
        self.asked.append((multimask, counts, former, [mask is not None for mask in prompts.masks]))
        return super().decode(embedding, prompts, multimask=multimask, keep=keep)


@dataclass(frozen=True)
class Pictured:
    """Embeds windows of a grey picture."""

    segmenter: ThresholdSegmenter
    picture: np.ndarray = field(default_factory=lambda: STRIPES)

    def __call__(self, window):
        grey = self.picture[window.slices_rc]
        return self.segmenter.embed(np.stack([grey] * 3)[None], np.ones((1, *grey.shape), bool))[0]


def clicks(*stripes, labels=None, steps=None, box=None, polygon=None, level="auto", index=0):
    """A prompt of one click in each of the stripes; `steps` as for :class:`Steps`."""
    xy = np.array([[16 * stripe + 8.5, 12.5] for stripe in stripes]).reshape(-1, 2)
    labels = np.array([1] * len(stripes) if labels is None else labels, np.int8)
    steps = steps and Steps(np.array(steps[0], np.int64), *steps[1:])
    return ScenePrompt(index, xy, labels, box, polygon, level, (0.0, 0.0, 80.0, 24.0), steps)


def stripes_in(mask):
    """The stripes that a mask (24, 80) consists of; each has to be there wholly or not at all."""
    shares = mask.reshape(24, 5, 16).mean(axis=(0, 2))
    assert set(shares.tolist()) <= {0, 1}
    return set(np.flatnonzero(shares).tolist())


def replayed(prompts, segmenter=None):
    """The stripes of each prompt's object, by its index."""
    found = segment_prompted(Pictured(segmenter or RefiningSegmenter()), prompts, REGION, RULE)
    return {item.prompt_index: stripes_in(corners.mask_of(item.corners, REGION)) for item in found}


BOX_AT_2 = (33.0, 3.0, 46.0, 20.0)
AREA_AT_3 = shapely.box(50, 3, 62, 20)


@pytest.mark.parametrize(
    ("prompt", "stripes"),
    [
        (clicks(1), {0, 1, 2}),
        (clicks(1, 4), {1, 4}),
        (clicks(1, 4, steps=([0, 0],)), {1, 4}),
        (clicks(1, 4, steps=([0, 1],)), {0, 1, 2, 4}),
        (clicks(4, 1, steps=([0, 1],)), {1, 3, 4}),
        (clicks(1, 4, 0, labels=[1, 1, 0], steps=([0, 1, 2],)), {1, 2, 4}),
        (clicks(1, 4, 0, labels=[1, 1, 0], steps=([0, 0, 1],)), {1, 4}),
        (clicks(0, 1, labels=[0, 1], steps=([0, 1],)), {1}),
        (clicks(1, 4, steps=([0, 1],), level="part"), {1, 4}),
        (clicks(1, 4, steps=([0, 1],), level="whole"), {0, 1, 2, 4}),
        (clicks(1, 4, level="whole"), {0, 1, 2, 3, 4}),
        (clicks(1, 4, steps=([0, 1],), level="group"), {0, 1, 2, 3, 4}),
        (clicks(0, polygon=AREA_AT_3, labels=[0], steps=([1],)), {3}),
        (clicks(4, box=BOX_AT_2), {4}),
        (clicks(4, box=BOX_AT_2, steps=([1],)), {2, 4}),
        (clicks(4, box=BOX_AT_2, steps=([0], 1)), {3, 4}),
    ],
)
def test_prompts_are_asked_in_the_steps_they_were_given_in(prompt, stripes):
    assert replayed([prompt]) == {0: stripes}


def test_a_polygon_takes_the_place_of_earlier_answers_and_later_ones_that_of_the_polygon():
    segmenter = Recording()
    drawn_second = clicks(1, 4, polygon=AREA_AT_3, steps=([0, 2], 0, 1))
    assert replayed([drawn_second], segmenter) == {0: {1, 4}}
    assert segmenter.asked == [
        (True, [1], [], [False]),
        (False, [1], [], [True]),
        (False, [2], [True], [False]),
    ]
    assert replayed([clicks(1, polygon=AREA_AT_3, steps=([1],))]) == {0: {1, 3}}
    assert replayed([clicks(1, polygon=AREA_AT_3)]) == {0: {1}}


def test_a_step_is_asked_for_all_objects_of_a_window_at_once():
    segmenter = Recording()
    prompts = [
        clicks(0, index=0),
        clicks(1, 4, steps=([0, 1],), index=1),
        clicks(1, 2, index=2),
        clicks(2, 3, 4, steps=([0, 1, 2],), index=3),
        clicks(box=BOX_AT_2, index=4),
    ]
    found = replayed(prompts, segmenter)
    assert found == {0: {0, 1}, 1: {0, 1, 2, 4}, 2: {1, 2}, 3: {1, 2, 3, 4}, 4: {2}}
    assert segmenter.asked == [
        (True, [1, 1, 1], [], [False] * 3),
        (False, [2, 0], [], [False] * 2),
        (False, [2, 2], [True] * 2, [False] * 2),
        (False, [3], [True], [False]),
    ]


def test_many_prompts_of_a_window_are_asked_in_batches_and_answered_alike():
    segmenter = Recording()
    prompts = [clicks(i % 5, (i + 2) % 5, steps=([0, 1],), index=i) for i in range(100)]
    together = replayed(prompts, segmenter)
    assert max(len(counts) for _, counts, _, _ in segmenter.asked) == 64
    assert together == {i: replayed([clicks(i % 5, (i + 2) % 5, steps=([0, 1],))])[0] for i in range(100)}


def test_a_session_that_goes_on_from_its_last_answer_shows_what_replay_gives():
    view = WindowView(RefiningSegmenter(), Pictured(RefiningSegmenter())(REGION), REGION)
    whole = clicks(1, 4, 0, labels=[1, 1, 0], steps=([0, 1, 2],))
    answer, seen = None, []
    for given_so_far in whole.history():
        (answer,) = refine(view, [given_so_far], [answer])
        assert len(answer) == 1
        seen.append(stripes_in(answer.full(0)))
    assert seen == [{0, 1, 2}, {0, 1, 2, 4}, {1, 2, 4}]
    assert replayed([whole]) == {0: seen[-1]}


def test_after_an_answer_of_nothing_a_prompt_is_asked_anew():
    view = WindowView(RefiningSegmenter(), Pictured(RefiningSegmenter())(REGION), REGION)
    prompt = clicks(1, 1, 3, labels=[1, 0, 1], steps=([0, 1, 2],))
    answer, seen = None, []
    for given_so_far in prompt.history()[1:]:
        (answer,) = refine(view, [given_so_far], [answer])
        seen.append(answer and stripes_in(answer.full(0)))
    assert seen == [None, {3}]


@pytest.mark.fault("P33")
def test_the_order_of_rows_in_a_layer_does_not_change_a_replay(tmp_path):
    grid = GeoBox(80, 24, Affine(0.5, 0, X, 0, -0.5, Y), CRS(UTM))
    xy = grid.to_map([(16 * stripe + 8.5, 12.5) for stripe in (1, 4, 0, 4)])
    rows = list(zip(shapely.points(xy), [7, 7, 7, 8], [3, 10, 11, 0], [1, 1, 0, 1], strict=True))
    for number, order in enumerate(itertools.permutations(rows)):
        points, ids, steps, labels = map(list, zip(*order, strict=True))
        path = write_layer(tmp_path / f"{number}.gpkg", points, object_id=ids, step=steps, label=labels)
        prompts, _ = read_prompts(path)
        placed, _ = to_scene(prompts, grid)
        found = {prompts[index].id: stripes for index, stripes in replayed(placed).items()}
        assert found == {7: {1, 2, 4}, 8: {3, 4}}


@given(st.data())
def test_a_model_without_logits_gives_in_steps_what_it_gives_at_once(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    picture = rng.integers(0, 3, (12, 15)).repeat(3, 0).repeat(3, 1).astype(np.uint8)
    count = data.draw(st.integers(1, 5))
    points = rng.uniform((0, 0), (45, 36), (count, 2))
    labels = np.array([1, *rng.integers(0, 2, count - 1)], np.int8)
    box = (3.0, 4.0, 20.0, 30.0) if data.draw(st.booleans()) else None
    steps = Steps(np.sort(rng.integers(0, 4, count)), box=int(rng.integers(0, 4)))
    rule, bounds = WindowRule(Window(0, 0, 45, 36), 20, 8), (0.0, 0.0, 45.0, 36.0)
    outlines = []
    for given_steps in (None, steps):
        prompt = ScenePrompt(0, points, labels, box, None, "auto", bounds, given_steps)
        found = segment_prompted(Pictured(ThresholdSegmenter(), picture), [prompt], rule.first_window(bounds), rule)
        outlines.append([item.corners.tobytes() for item in found])
    assert outlines[0] == outlines[1]


def given_at(*places, steps=None):
    xy = np.array(places, np.float64)
    bounds = (*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist())
    steps = None if steps is None else Steps(np.array(steps))
    return ScenePrompt(0, xy, np.ones(len(xy), np.int8), None, None, "auto", bounds, steps)


WIDE = WindowRule(Window(0, 0, 9000, 5000))


def test_what_was_given_at_once_is_asked_around_its_middle():
    prompt = given_at((2000, 2000), (2600, 2000))
    window, steps = WIDE.follow(prompt)
    assert window == WIDE.first_window((2000, 2000, 2600, 2000))
    assert steps == [prompt]


def test_the_window_of_the_first_step_serves_while_it_holds_the_others():
    places = [(2000, 2000), (2300, 2100), (2400, 1700)]
    window, steps = WIDE.follow(given_at(*places, steps=[0, 1, 2]))
    assert window == WIDE.first_window((2000, 2000, 2000, 2000)) != WIDE.first_window((2000, 1700, 2400, 2100))
    assert [len(given_so_far.labels) for given_so_far in steps] == [1, 2, 3]


def test_a_point_outside_the_window_moves_it_and_begins_anew():
    places = [(2000, 2000), (2100, 2000), (2900, 2000), (2950, 2000)]
    window, steps = WIDE.follow(given_at(*places, steps=[0, 1, 2, 3]))
    assert window == WIDE.first_window((2000, 2000, 2900, 2000))
    assert [len(given_so_far.labels) for given_so_far in steps] == [3, 4]


@pytest.mark.parametrize(("x", "moves"), [(1023.5, False), (1024, True)])
def test_a_point_on_the_right_edge_lies_in_the_next_window(x, moves):
    window, _ = WIDE.follow(given_at((400, 400), (x, 400), steps=[0, 1]))
    assert (window.col_off > 0) == moves


def test_the_last_window_holds_what_reaches_the_edge_of_the_scene():
    box = (8000.0, 4000.0, 9000.0, 5000.0)
    click_then_box = Steps(np.zeros(1, np.int64), box=1)
    xy = np.array([[8600.0, 4600.0]])
    window, steps = WIDE.follow(ScenePrompt(0, xy, np.ones(1, np.int8), box, None, "auto", box, click_then_box))
    assert window == WIDE.first_window((8600, 4600, 8600, 4600)) != WIDE.first_window(box)
    assert len(steps) == 2


@pytest.mark.parametrize(("x", "stripes"), [(124.5, [5, 6, 7]), (132.5, [6, 8])])
def test_answers_of_another_window_are_forgotten(x, stripes):
    picture = np.tile(np.repeat(np.arange(12) * 20, 16), (24, 1)).astype(np.uint8)
    region = Window(0, 0, 192, 24)
    rule = WindowRule(region, 64, 16)
    prompt = given_at((100.5, 12.5), (x, 12.5), steps=[0, 1])
    window, _ = rule.follow(prompt)
    (found,) = segment_prompted(Pictured(RefiningSegmenter(), picture), [prompt], window, rule)
    shares = corners.mask_of(found.corners, region).reshape(24, 12, 16).mean(axis=(0, 2))
    assert np.flatnonzero(shares).tolist() == stripes


def test_the_segmenter_of_these_tests_keeps_the_protocol():
    segmenter = RefiningSegmenter()
    assert isinstance(segmenter, Segmenter)
    assert pickle.loads(pickle.dumps(segmenter)) == segmenter  # noqa: S301 - our own bytes
    embedding = Pictured(segmenter)(REGION)
    assert embedding.fingerprint == segmenter.spec.fingerprint != ThresholdSegmenter().spec.fingerprint
    nothing = segmenter.decode(embedding, in_window([], REGION), multimask=True, keep=None)
    assert (len(nothing), nothing.logits) == (0, None)
