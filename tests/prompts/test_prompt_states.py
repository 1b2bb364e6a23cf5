"""States of a prompt after each of its steps, and levels of detail that prompts share."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from geosam.prompts.prompt import GRANULARITIES, Prompt, ScenePrompt, Steps, with_granularity

UTM = CRS.from_epsg(32633)
CLICKS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 1)), min_size=1, max_size=6)


def placed(clicks, box=None, box_step=0):
    """A prompt in scene pixels whose points were given one after the other."""
    xy, labels = np.array([click[:2] for click in clicks], float), np.array([click[2] for click in clicks], np.int8)
    steps = Steps(np.arange(len(clicks)), box_step)
    corners = np.vstack([xy, *([np.reshape(box, (2, 2))] if box else [])])
    bounds = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return ScenePrompt(0, xy, labels, box, None, "auto", bounds, steps)


@given(CLICKS)
def test_the_states_begin_with_the_first_including_point_and_grow_by_one_point_each(clicks):
    included = [number for number, click in enumerate(clicks) if click[2]]
    states = placed(clicks).history()
    first = included[0] if included else len(clicks) - 1
    assert [len(state.labels) for state in states] == list(range(first + 1, len(clicks) + 1))
    for state in states:
        expected = shapely.MultiPoint([click[:2] for click in clicks[: len(state.labels)]]).bounds
        assert state.bounds_xyxy == expected


@given(CLICKS, st.integers(0, 5))
def test_a_box_is_in_every_state_from_its_step_on(clicks, step):
    step = min(step, len(clicks) - 1)
    states = placed(clicks, (10.0, 10.0, 20.0, 20.0), step).history()
    assert [state.box_xyxy is not None for state in states] == [len(state.labels) > step for state in states]


def test_a_prompt_without_steps_has_one_state():
    prompt = ScenePrompt(0, np.ones((2, 2)), np.ones(2, np.int8), None, None, "auto", (1, 1, 1, 1))
    assert prompt.history() == [prompt]


@given(st.lists(st.sampled_from(GRANULARITIES), max_size=5), st.sampled_from(GRANULARITIES))
def test_a_common_level_of_detail_is_for_prompts_without_one_of_their_own(own, common):
    prompts = [Prompt.point(1, 2, crs=UTM, id=number, granularity=level) for number, level in enumerate(own)]
    changed = with_granularity(prompts, common)
    assert [prompt.granularity for prompt in changed] == [common if level == "auto" else level for level in own]
    assert [(prompt.id, prompt.points_xy.tolist()) for prompt in changed] == [(n, [[1, 2]]) for n in range(len(own))]
