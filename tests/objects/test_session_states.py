"""Anything happens to a session, in any order: its answers stay a function of the file, the model and the draft."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from known_answers import RefiningSegmenter
from scenes import SCENES, picture
from session_cases import clicks, session_of, state_of

from geosam import Draft, EmbeddingMemory, open_scene
from geosam.errors import EmptyPrompt, UnreadableScene
from geosam.prompts.draft import History
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

MODELS = (ThresholdSegmenter(), RefiningSegmenter())
PLACES = st.tuples(st.integers(0, 89), st.integers(0, 69))


class Sessions(RuleBasedStateMachine):
    """One user with one file, whose content may change, and one memory for all sessions."""

    @initialize(room=st.sampled_from([1, 30_000, 10**9]))
    def begin(self, room):
        self.folder = Path(tempfile.mkdtemp())
        self.path = SCENES["rotated"](self.folder)
        self.memory = EmbeddingMemory(room)
        self.model = MODELS[0]
        self.open_again()

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule()
    def open_again(self):
        """The session and the draft are new; the memory is not."""
        self.scene = open_scene(self.path)
        self.stale = False
        self.history = History(Draft(self.scene.geobox.crs.to_wkt()))
        self.change_model(self.model)

    @rule(model=st.sampled_from(MODELS))
    def change_model(self, model):
        self.model = model
        self.session = session_of(self.scene, model, memory=self.memory)

    @rule(seed=st.integers(0, 3))
    def replace_the_file(self, seed):
        (self.folder / "new").mkdir(exist_ok=True)
        SCENES["rotated"](self.folder / "new", picture(seed=seed)).replace(self.path)
        self.stale = True

    @rule(place=PLACES, label=st.sampled_from([1, 1, 0]))
    def click(self, place, label):
        (step,) = clicks(self.scene, (*place, label)).steps
        self.history.change(self.history.draft.with_point(*step.rings[0][0], label))

    @rule()
    def next_granularity(self):
        self.history.change(self.history.draft.with_next_granularity())

    @rule()
    def undo(self):
        self.history.undo()

    @rule()
    def redo(self):
        self.history.redo()

    @rule()
    def clear_the_memory(self):
        self.memory.clear()

    @precondition(lambda self: not self.stale)
    @rule(count=st.integers(1, 5))
    def prefetch(self, count):
        steps = self.session.prefetch(self.scene.geobox.bounds, self.scene.geobox.crs)
        for _ in zip(range(count), steps, strict=False):
            pass

    @precondition(lambda self: not self.stale)
    @rule(place=PLACES)
    def hover(self, place):
        answer = self.session.answer(clicks(self.scene, place), "known")
        if answer.complete:
            assert state_of(answer) == state_of(self.session.answer(clicks(self.scene, place)))

    @precondition(lambda self: hasattr(self, "session"))
    @invariant()
    def the_answer_is_that_of_a_session_that_knows_nothing(self):
        draft = self.history.draft
        if self.stale:
            with pytest.raises(UnreadableScene):
                self.session.answer(draft)
        elif not draft.selects:
            with pytest.raises(EmptyPrompt):
                self.session.answer(draft)
        else:
            fresh = session_of(open_scene(self.path), self.model).answer(draft)
            assert state_of(self.session.answer(draft)) == state_of(fresh)


@pytest.mark.fault("Q14")
class TestAnswersAreAPureFunction(Sessions.TestCase):
    """Runs of the state machine."""

    settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
