"""Observers of sessions, observers made of functions, and several observers at once."""

import numpy as np
import pytest
from scenes import write_scene

from geosam import Draft, Session, open_scene
from geosam.geometry.geobox import Window
from geosam.objects.embeddings.store import EmbeddingStore
from geosam.objects.observer import Callbacks, Observer, Observers
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter

WINDOW = Window(0, 0, 1, 1)


def recorder(calls, name=""):
    """An observer that writes down all its calls."""
    return Callbacks(
        lambda *values: calls.append((name, "progress", *values)),
        lambda *values: calls.append((name, "window", *values)),
        lambda *values: calls.append((name, "objects", *values)),
        lambda *values: calls.append((name, "warning", *values)),
    )


def tell(observer):
    observer.progress(1, 2)
    observer.window(WINDOW, "known")
    observer.objects([])
    observer.warning("careful")


TOLD = [("progress", 1, 2), ("window", WINDOW, "known"), ("objects", []), ("warning", "careful")]


def test_callbacks_call_what_they_have():
    calls = []
    tell(recorder(calls))
    assert [call[1:] for call in calls] == TOLD


@pytest.mark.parametrize("observer", [Observer(), Callbacks(), Observers()], ids=["base", "no functions", "nobody"])
def test_an_observer_that_needs_nothing_does_nothing(observer):
    tell(observer)


def test_several_observers_hear_the_same_one_after_the_other():
    calls = []
    tell(Observers(recorder(calls, "first"), Observer(), recorder(calls, "second")))
    assert calls == [(name, *told) for told in TOLD for name in ("first", "second")]


def test_an_error_of_an_observer_keeps_the_next_ones_from_hearing():
    def end(_done, _total):
        raise InterruptedError

    calls = []
    with pytest.raises(InterruptedError):
        Observers(Callbacks(end), recorder(calls)).progress(1, 2)
    assert calls == []


def test_the_warnings_of_an_answer_reach_the_observer_once(tmp_path):
    picture = np.full((3, 60, 80), 90, np.uint8)
    scene = open_scene(write_scene(tmp_path / "scene.tif", picture, photometric="rgb"))
    store = EmbeddingStore(tmp_path / "store", max_bytes=100)
    session = Session(scene, ThresholdSegmenter(), store=store)
    (x, y), calls = scene.geobox.to_map([(30.5, 20.5)])[0], []
    draft = Draft(scene.geobox.crs.to_wkt()).with_point(x, y, 1)
    answer = session.answer(draft, observer=recorder(calls))
    assert [call[2] for call in calls if call[1] == "warning"] == list(answer.warnings)
    assert len(answer.warnings) == 1
    assert "does not fit" in answer.warnings[0]
    assert [call[3] for call in calls if call[1] == "window"] == ["begun", "ended"]
