"""Sessions and their caches: shared memories, stores, files that change, answers that are kept."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from known_answers import RefiningSegmenter
from scenes import SCENES, picture
from session_cases import (
    Counting,
    CountingRefining,
    clicks,
    scene_of,
    session_of,
    state_of,
)

from geosam import (
    EmbeddingMemory,
    EmbeddingStore,
    open_scene,
)
from geosam.errors import UnreadableScene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


@pytest.mark.parametrize("model", [Counting, CountingRefining], ids=["threshold", "refining"])
def test_each_further_click_costs_one_question_and_none_if_it_was_asked_before(model, tmp_path):
    counting = model()
    session = session_of(scene_of(tmp_path, picture(30, 30)), counting)
    places = list(itertools.product((4.5, 12.5, 20.5), (6.5, 13.5, 25.5)))
    seen = []
    for count in range(1, len(places) + 1):
        counting.decoded.clear()
        draft = clicks(session.scene, *((x, y, int(number != 3)) for number, (x, y) in enumerate(places[:count])))
        seen.append((draft, state_of(session.answer(draft))))
        assert counting.decoded == [1]
    counting.decoded.clear()
    for draft, state in reversed(seen):  # undo
        assert state_of(session.answer(draft)) == state
    assert counting.decoded == []
    for draft, state in seen:
        assert state_of(session_of(session.scene, model()).answer(draft)) == state


def test_what_is_remembered_of_answers_is_bounded_and_can_be_forgotten(tmp_path):
    counting = Counting()
    session = session_of(scene_of(tmp_path, picture(30, 30)), counting)
    session._answers.max_bytes = 20_000
    for x, y in itertools.product(range(0, 30, 2), range(0, 30, 2)):
        session.answer(clicks(session.scene, (x, y)))
        assert session._answers._bytes <= 20_000
    assert len(counting.decoded) == 225
    session.answer(clicks(session.scene, (28, 28)))
    assert len(counting.decoded) == 225
    session.clear()
    session.answer(clicks(session.scene, (28, 28)))
    assert len(counting.decoded) == 226


@pytest.mark.fault("L07")
def test_sixteen_threads_with_one_draft_look_once_and_agree(wide):
    model, memory, all_here = Counting(), EmbeddingMemory(), threading.Barrier(16)
    sessions = [session_of(wide, model, memory=memory) for _ in range(4)]
    draft = clicks(wide, (105.5, 45.5))

    def ask(number):
        all_here.wait(60)
        return state_of(sessions[number % 4].answer(draft))

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1
    assert len(model.embedded) == 1


@pytest.mark.fault("L08")
def test_sessions_of_other_files_models_or_options_share_a_memory_but_no_embedding(tmp_path):
    memory, states = EmbeddingMemory(), set()
    (tmp_path / "other").mkdir()
    one, other = SCENES["north_up"](tmp_path), SCENES["north_up"](tmp_path / "other", picture(seed=6))
    threshold, refining = ThresholdSegmenter(), RefiningSegmenter()
    opened = [(one, threshold, {}), (other, threshold, {}), (one, refining, {}), (one, threshold, {"stretch": "0,99"})]
    for number, (path, model, options) in enumerate(opened, 1):
        session = session_of(open_scene(path, **options), model, memory=memory)
        draft = clicks(session.scene, (45.5, 35.5))
        states.add(state_of(session.answer(draft, "window")))
        assert len(memory) == number
        again = session_of(open_scene(path, **options), model, memory=memory)
        assert again.answer(draft, "known").ready
    assert len(memory) == 4


def test_a_memory_of_one_window_gives_the_same_answers(wide):
    draft = clicks(wide, (100.5, 25.5), (105.5, 45.5))
    roomy, narrow = session_of(wide), session_of(wide, memory=EmbeddingMemory(1))
    assert state_of(narrow.answer(draft)) == state_of(roomy.answer(draft))
    assert len(narrow.memory) == 1


def test_a_store_is_used_and_filled(wide, tmp_path):
    store, first, second = EmbeddingStore(tmp_path / "store"), Counting(), Counting()
    draft = clicks(wide, (100.5, 25.5))
    state = state_of(session_of(wide, first, store=store).answer(draft))
    assert first.embedded
    assert state_of(session_of(wide, second, store=store).answer(draft)) == state
    assert second.embedded == []


def test_a_file_that_was_changed_is_refused_until_it_is_opened_again(tmp_path):
    memory = EmbeddingMemory()
    path = SCENES["north_up"](tmp_path)
    session = session_of(open_scene(path), memory=memory)
    draft = clicks(session.scene, (45.5, 35.5))
    old = state_of(session.answer(draft))
    (tmp_path / "new").mkdir()
    SCENES["north_up"](tmp_path / "new", picture(seed=6)).replace(path)
    for look in ("known", "window", "whole"):
        with pytest.raises(UnreadableScene, match="changed while reading"):
            session.answer(draft, look)
    with pytest.raises(UnreadableScene, match="changed while reading"):
        next(session.prefetch(session.scene.geobox.bounds, session.scene.geobox.crs))
    again = session_of(open_scene(path), memory=memory)
    assert not again.answer(draft, "known").ready
    assert state_of(again.answer(draft)) == state_of(session_of(open_scene(path)).answer(draft)) != old
    path.unlink()
    with pytest.raises(UnreadableScene):
        again.answer(draft)


@dataclass(frozen=True)
class Meddling(ThresholdSegmenter):
    """Overwrites the file while it looks."""

    path: object = None

    def embed(self, rgb, valid):
        data = bytearray(self.path.read_bytes())
        data[-1] ^= 255
        self.path.write_bytes(data)
        return super().embed(rgb, valid)


def test_nothing_of_a_file_that_changes_while_it_is_looked_at_is_kept(tmp_path):
    path = SCENES["north_up"](tmp_path)
    session = session_of(open_scene(path), Meddling(path=path))
    with pytest.raises(UnreadableScene, match="changed while reading"):
        session.answer(clicks(session.scene, (45.5, 35.5)))
    assert len(session.memory) == 0
