"""Whatever happens in whatever order, an answer depends on the raster's version, the model and the draft alone."""

import base64
import shutil
from functools import cache

import pytest
import shapely
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from scenes import picture, write_scene
from workers import Worker, draft, point

from geosam.objects.session import Session
from geosam.prompts.draft import Draft
from geosam.scene import open_scene
from geosam.segmenters.registry import load_segmenter

MODELS = ("threshold", "regions")
SPOTS = [(500_000 + x + 0.25, 5_000_000 - y - 0.25, label) for x, y, label in ((9, 9, 1), (30, 20, 1), (44, 33, 0))]


class AnyOrder(RuleBasedStateMachine):
    """A user, a file that others rewrite, and a worker that may die."""

    folder = None
    worker = None

    def __init__(self):
        super().__init__()
        self.version = 0
        self.scene = None
        self.opened = None
        self.clicks = []
        self.path = self.folder / "scene.tif"
        shutil.copy(self.folder / "0.tif", self.path)

    @rule(version=st.integers(0, 1))
    def replace_the_file(self, version):
        self.version = version
        self.path.unlink()
        shutil.copy(self.folder / f"{version}.tif", self.path)
        self.opened = None if self.opened is None else "stale"

    @rule()
    def open_the_raster(self):
        self.scene = self.worker.ask("open", path=str(self.path))["scene"]
        self.opened = "current"

    @rule(spot=st.sampled_from(SPOTS))
    def click(self, spot):
        self.clicks.append(spot)

    @rule()
    def undo(self):
        self.clicks = self.clicks[:-1]

    @precondition(lambda self: self.opened and any(label for *_, label in self.clicks))
    @rule(model=st.sampled_from(MODELS), look=st.sampled_from(["known", "window", "whole"]))
    def ask(self, model, look):
        asked = draft(*(point(*spot) for spot in self.clicks))
        request = {"scene": self.scene, "model": {"name": model}, "draft": asked, "look": look}
        if self.opened == "stale":
            assert self.worker.refused("segment", **request)["data"]["type"] == "UnreadableScene"
            return
        answer = self.worker.ask("segment", **request)
        assert answer["ready"] or look == "known"
        if answer["complete"]:
            assert described(answer["object"]) == expected(self.folder, self.version, model, tuple(self.clicks))

    @precondition(lambda self: self.opened)
    @rule()
    def close_the_raster(self):
        assert self.worker.ask("close", scene=self.scene) == {}
        self.opened = self.scene = None

    @rule()
    def kill_the_worker(self):
        self.worker.stop()
        type(self).worker = Worker()
        self.worker.greet()
        self.opened = self.scene = None


def described(found):
    if found is None:
        return None
    shape = shapely.from_wkb(base64.b64decode(found["wkb"]))
    return shape.normalize().wkb, {name: value for name, value in found.items() if name != "wkb"}


@cache
def expected(folder, version, model, clicks):
    """The answer of a session that has seen nothing else."""
    session = Session(open_scene(folder / f"{version}.tif"), load_segmenter(model))
    found = session.answer(Draft.from_json(draft(*(point(*spot) for spot in clicks)))).found
    return None if found is None else (found.polygon.normalize().wkb, dict(found.columns))


@pytest.fixture
def machine(tmp_path):
    """The machine with a folder and a worker."""
    for version in range(2):
        write_scene(tmp_path / f"{version}.tif", picture(120, 100, seed=version), photometric="rgb")
    worker = Worker()
    worker.greet()
    AnyOrder.folder, AnyOrder.worker = tmp_path, worker
    yield AnyOrder
    AnyOrder.worker.stop()


@pytest.mark.fault("Q14")
@pytest.mark.slow
def test_an_answer_depends_on_the_raster_the_model_and_the_draft_alone(machine):
    run_state_machine_as_test(machine, settings=settings(max_examples=8, stateful_step_count=25, deadline=None))
