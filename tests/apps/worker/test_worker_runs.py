"""The worker's runs over whole rasters: files as the library writes them."""

import time

import pyogrio
import pytest
import shapely
from scenes import picture, write_scene
from workers import MODEL, ask, comparable, draft, place, point, shape

from geosam.apps.worker import protocol
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_scene
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


def test_prompts_that_are_saved_give_the_same_objects_again(shared_worker, scene_path, scene, tmp_path):
    drafts = [draft(point(*place(scene, col, row))) for col, row in ((20, 20), (150, 120), (280, 220))]
    answers = [shared_worker.ask("segment", scene=scene["scene"], model=MODEL, draft=asked) for asked in drafts]
    objects = [{"id": f"roof {n}", "draft": asked, "attributes": {"floors": n}} for n, asked in enumerate(drafts)]
    layer, out = tmp_path / "prompts.gpkg", tmp_path / "again.gpkg"
    assert shared_worker.ask("save_prompts", path=str(layer), objects=objects) == {"path": str(layer), "count": 3}
    assert shared_worker.refused("save_prompts", path=str(layer), objects=objects)["data"]["type"] == "OutputExists"
    shared_worker.ask("run", path=str(scene_path), model=MODEL, out=str(out), prompts=str(layer))
    meta, _, wkbs, columns = pyogrio.raw.read(out)
    rows = dict(zip(meta["fields"], columns, strict=True))
    assert sorted(rows["prompt_id"]) == ["roof 0", "roof 1", "roof 2"]
    for name, floors, wkb in zip(rows["prompt_id"], rows["floors"], wkbs, strict=True):
        assert comparable([shape(answers[floors]["object"])]) == comparable([shapely.from_wkb(wkb)]), name


def test_a_run_writes_what_the_library_writes_and_tells_what_it_finds(shared_worker, scene_path, tmp_path):
    ours, theirs = tmp_path / "worker.gpkg", tmp_path / "library.gpkg"
    running = {"tile_size": 128, "overlap": 32, "min_area_m2": 20, "simplify_m": 1}
    request = {"path": str(scene_path), "model": MODEL, "out": str(ours), "running": running, "send_objects": True}
    number = shared_worker.send("run", **request)
    summary = shared_worker.reply(number).result
    expected = segment_scene(open_scene(scene_path), ThresholdSegmenter(), theirs, RunOptions(**running)).to_json()
    assert summary == {**expected, "output": str(ours), "seconds": summary["seconds"], "exit_code": 0}
    (_, _, mine, _), (_, _, other, _) = pyogrio.raw.read(ours), pyogrio.raw.read(theirs)
    assert mine.tolist() == other.tolist()
    told = [found for note in shared_worker.of("objects") if note["id"] == number for found in note["objects"]]
    kept = [shape(found) for found in told if found["area_m2"] >= 20]
    assert len(kept) == summary["count"] < len(told)
    assert comparable(kept) == comparable(shapely.from_wkb(other))
    assert {note["total"] for note in shared_worker.of("progress") if note["id"] == number} == {summary["tiles"]}
    data = shared_worker.refused("run", **request)["data"]
    assert (data["type"], data["exit_code"]) == ("OutputExists", 6)


def test_a_run_keeps_embeddings_in_a_folder_and_uses_them(shared_worker, scene_path, tmp_path):
    request = {"path": str(scene_path), "model": MODEL, "cache": str(tmp_path / "cache")}
    first = shared_worker.ask("run", out=str(tmp_path / "first.gpkg"), **request)
    kept = sorted((tmp_path / "cache").rglob("*.safetensors"))
    assert len(kept) == first["tiles"]
    again = shared_worker.ask("run", out=str(tmp_path / "again.gpkg"), **request)
    assert again["count"] == first["count"]
    assert sorted((tmp_path / "cache").rglob("*.safetensors")) == kept
    taken = shared_worker.refused("run", out=str(tmp_path / "other.gpkg"), **{**request, "cache": str(scene_path)})
    assert taken["data"]["type"] == "UsageError"


def test_a_part_is_run_in_processes_as_well(shared_worker, scene, scene_path, tmp_path):
    xmin, ymin, xmax, ymax = scene["bounds"]
    window = [xmin, ymin, (xmin + xmax) / 2, ymax]
    out = tmp_path / "part.geojson"
    running = {"tile_size": 96, "overlap": 32, "workers": 2}
    summary = shared_worker.ask("run", path=str(scene_path), model=MODEL, out=str(out), window=window, running=running)
    opened = open_scene(scene_path, window=tuple(window))
    options = RunOptions(tile_size=96, overlap=32)
    assert summary["count"] == segment_scene(opened, ThresholdSegmenter(), tmp_path / "a.geojson", options).count


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A scene and options that keep a run busy for long."""
    path = write_scene(tmp_path_factory.mktemp("long") / "large.tif", picture(600, 500), photometric="rgb")
    return {"path": str(path), "model": MODEL, "running": {"tile_size": 48, "overlap": 24}}


@pytest.mark.serial
def test_a_cancelled_run_stops_within_a_second_and_goes_on_there_next_time(shared_worker, long_run, tmp_path):
    request = {**long_run, "out": str(tmp_path / "out.gpkg")}
    number = shared_worker.send("run", **request)
    second = shared_worker.send("run", **{**request, "out": str(tmp_path / "other.gpkg")})
    shared_worker.wait_for(
        lambda: any(note["id"] == number and note["done"] > 50 for note in shared_worker.of("progress"))
    )
    shared_worker.tell("cancel", id=second)  # it waits for the first one
    assert shared_worker.reply(second).error["code"] == protocol.CANCELLED
    began = time.monotonic()
    shared_worker.tell("cancel", id=number)
    assert shared_worker.reply(number).error["code"] == protocol.CANCELLED
    assert time.monotonic() - began < 5  # a second where the machine does nothing else
    assert not (tmp_path / "out.gpkg").exists()
    assert shared_worker.ask("run", **request)["resumed_tiles"] > 50
    assert [path.name for path in tmp_path.iterdir()] == ["out.gpkg"]


def test_clicks_are_answered_beside_a_run(shared_worker, scene, long_run, tmp_path):
    number = shared_worker.send("run", **long_run, out=str(tmp_path / "out.gpkg"))
    for _ in range(20):
        assert ask(shared_worker, scene, point(*place(scene, 40, 30)))["ready"]
    assert not any(reply.id == number for reply in shared_worker.replies)
    shared_worker.tell("cancel", id=number)
    assert shared_worker.reply(number).error["code"] == protocol.CANCELLED


def test_layers_are_compared_as_the_library_does(shared_worker, scene_path, tmp_path):
    out = tmp_path / "out.gpkg"
    shared_worker.ask("run", path=str(scene_path), model=MODEL, out=str(out))
    found = shared_worker.ask("evaluate", predicted=str(out), reference=str(out), options={"iou": 0.7})
    assert (found["f1"], found["iou"], found["warnings"]) == (1.0, 0.7, [])
    error = shared_worker.refused("evaluate", predicted=str(out), reference=str(scene_path))
    assert error["data"]["exit_code"] == 4
