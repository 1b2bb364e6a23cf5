"""The worker's answers to clicks, with the exact segmenter: what the library finds."""

import numpy as np
import pyogrio
import pytest
import shapely
from scenes import picture, write_scene
from workers import MODEL, ask, comparable, draft, place, point, shape

from geosam.apps.worker import protocol
from geosam.prompts.draft import Draft
from geosam.prompts.from_draft import prompt_of
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


def test_an_answer_is_the_object_that_a_run_over_the_same_prompt_writes(shared_worker, scene_path, scene, tmp_path):
    asked = draft(point(*place(scene, 40, 30)), point(*place(scene, 200, 150), 0), point(*place(scene, 250, 200)))
    answer = shared_worker.ask(
        "segment", scene=scene["scene"], model=MODEL, draft=asked, simplify_m=2, fill_holes_m2=20
    )
    out = tmp_path / "out.gpkg"
    options = RunOptions(simplify_m=2, fill_holes_m2=20)
    segment_prompts(open_scene(scene_path), ThresholdSegmenter(), [prompt_of(Draft.from_json(asked))], out, options)
    meta, _, (wkb,), columns = pyogrio.raw.read(out)
    row = dict(zip(meta["fields"], (values[0] for values in columns), strict=True))
    found = answer["object"]
    assert (answer["ready"], answer["complete"]) == (True, True)
    assert comparable([shape(found)]) == comparable([shapely.from_wkb(wkb)])
    assert {name: found[name] for name in found if name != "wkb"} == {
        name: row[name] for name in found if name != "wkb"
    }
    assert np.array(answer["window"]).shape == (4, 2)


def test_a_look_at_known_windows_only_is_not_ready_before_there_is_one(shared_worker, tmp_path):
    path = write_scene(tmp_path / "new.tif", picture(200, 200, seed=8), photometric="rgb")
    scene = shared_worker.ask("open", path=str(path))
    spot = point(*place(scene, 100, 100))
    blind = ask(shared_worker, scene, spot, look="known")
    assert (blind["ready"], blind["complete"], blind["object"]) == (False, False, None)
    before = len(shared_worker.of("looking"))
    seen = ask(shared_worker, scene, spot, look="window")
    assert seen["ready"]
    notes = shared_worker.of("looking")[before:]
    assert [note["state"] for note in notes] == ["begun", "ended"]
    assert notes[0]["scene"] == scene["scene"]
    assert notes[0]["window"] == seen["window"]
    assert ask(shared_worker, scene, spot, look="known") == seen
    shared_worker.ask("close", scene=scene["scene"])


def test_a_view_is_looked_at_ahead_and_then_known(shared_worker, scene):
    params = {"scene": scene["scene"], "model": MODEL, "bounds": scene["bounds"], "crs": "EPSG:32633"}
    first = shared_worker.ask("prefetch", stream="view", **params)
    assert first["windows"] > 0
    assert shared_worker.ask("prefetch", stream="view", **params) == {"windows": first["windows"], "made": 0}
    assert ask(shared_worker, scene, point(*place(scene, 150, 120)), look="known")["ready"]


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"draft": draft(point(0, 0))}, "PromptOutsideScene"),
        ({"draft": draft()}, "EmptyPrompt"),
        ({"draft": draft(point(5e5, 5e6, 0))}, "EmptyPrompt"),
        ({"draft": draft(point(15, 45), crs="nonsense")}, "PromptError"),
        ({"draft": draft(point(15, 45), crs="EPSG:999999")}, "PromptError"),
        ({"scene": "scene-99"}, "UsageError"),
        ({"model": {"name": "nonsense"}}, "UnknownModel"),
        ({"model": {"name": "threshold", "device": "cuda"}}, "DeviceUnavailable"),
        ({"model": {"name": "threshold", "precision": "fp16"}}, "UsageError"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_class_of_the_error(params, kind, shared_worker, scene):
    asked = {"scene": scene["scene"], "model": MODEL, "draft": draft(point(*place(scene, 9, 9))), **params}
    error = shared_worker.refused("segment", **asked)
    assert (error["code"], error["data"]["type"]) == (protocol.REFUSED, kind), error


def test_a_click_that_is_not_wanted_any_more_stops_at_the_next_window(worker, tmp_path):
    path = write_scene(
        tmp_path / "even.tif", np.full((3, 4000, 4000), 90, np.uint8), photometric="rgb", compress="deflate"
    )
    scene = worker.ask("open", path=str(path))
    asked = {
        "scene": scene["scene"],
        "model": MODEL,
        "draft": draft(point(*place(scene, 2000, 2000))),
        "stream": "hover",
    }
    older = worker.send("segment", **asked)
    worker.wait_for(lambda: worker.of("looking"))
    newer = worker.send("segment", **asked, look="window")
    assert worker.reply(older).error["code"] == protocol.SUPERSEDED
    assert worker.reply(newer).result["complete"] is False
    assert len(worker.of("looking")) < 2 * 25  # the object goes on through 25 windows
