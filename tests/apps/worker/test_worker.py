"""The worker's process with the exact segmenter: what it answers is what the library finds."""

import base64
import shutil
import time

import numpy as np
import psutil
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import picture, write_scene
from workers import MODEL, Worker, draft, point

from geosam.apps.worker import protocol
from geosam.prompts.draft import Draft
from geosam.prompts.from_draft import prompt_of
from geosam.run.options import RunOptions
from geosam.run.pipeline import segment_prompts, segment_scene
from geosam.scene import open_scene
from geosam.segmenters.threshold.segmenter import ThresholdSegmenter


@pytest.fixture(scope="module")
def scene(shared_worker, scene_path):
    return shared_worker.ask("open", path=str(scene_path))


def place(scene, col, row):
    """Map coordinates of a pixel's centre."""
    a, b, c, d, e, f = scene["transform"]
    return a * (col + 0.5) + b * (row + 0.5) + c, d * (col + 0.5) + e * (row + 0.5) + f


def ask(worker, scene, *steps, **params):
    return worker.ask("segment", scene=scene["scene"], model=MODEL, draft=draft(*steps), **params)


def shape(found):
    return shapely.from_wkb(base64.b64decode(found["wkb"]))


def comparable(shapes):
    """WKB of shapes as a GeoPackage has them, wherever their rings begin, in a stated order."""
    return sorted(shapely.multipolygons(shapely.get_parts(one)).normalize().wkb for one in shapes)


def test_a_raster_is_described_as_the_library_opens_it(shared_worker, scene_path, scene):
    opened = open_scene(scene_path)
    assert (scene["width"], scene["height"], scene["authority"]) == (300, 240, "EPSG:32633")
    assert scene["transform"] == list(opened.geobox.transform[:6])
    assert scene["bounds"] == list(opened.geobox.bounds)
    assert scene["gsd_m"] == list(opened.gsd_xy)
    assert scene["crs"] == opened.geobox.crs.to_wkt()
    assert shared_worker.ask("open", path=str(scene_path))["scene"] == scene["scene"]
    other = shared_worker.ask("open", path=str(scene_path), options={"stretch": "none"})
    assert other["scene"] != scene["scene"]
    shared_worker.ask("close", scene=other["scene"])


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


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    "path",
    [
        "missing.tif",
        "/vsicurl/http://127.0.0.1/a.tif",
        "/vsizip/a.zip",
        "WMS:http://127.0.0.1",
        "/etc/hostname",
        "/dev/zero",
    ],
)
def test_what_is_no_raster_file_is_not_opened(path, shared_worker):
    error = shared_worker.refused("open", path=path)
    assert (error["code"], error["data"]["exit_code"]) == (protocol.REFUSED, 3), error


@pytest.mark.fault("F20")
def test_a_raster_that_was_not_opened_or_was_closed_is_not_read(shared_worker, scene_path):
    scene = shared_worker.ask("open", path=str(scene_path), options={"bands": [1, 2, 3]})
    shared_worker.ask("close", scene=scene["scene"])
    for name in (scene["scene"], str(scene_path)):
        error = shared_worker.refused("segment", scene=name, model=MODEL, draft=draft(point(*place(scene, 9, 9))))
        assert "no scene is open under this name" in error["message"]
    assert shared_worker.ask("close", scene="never opened") == {}


@pytest.mark.fault("Q14")
def test_a_file_that_was_replaced_is_another_scene(shared_worker, tmp_path):
    path = write_scene(tmp_path / "changing.tif", picture(100, 100, seed=1), photometric="rgb")
    old = shared_worker.ask("open", path=str(path))
    ask(shared_worker, old, point(*place(old, 50, 50)))
    shutil.copy(write_scene(tmp_path / "next.tif", picture(100, 100, seed=2), photometric="rgb"), path)
    error = shared_worker.refused("segment", scene=old["scene"], model=MODEL, draft=draft(point(*place(old, 50, 50))))
    assert error["data"]["type"] == "UnreadableScene"
    new = shared_worker.ask("open", path=str(path))
    assert new["scene"] != old["scene"]
    expected = ask(
        shared_worker, shared_worker.ask("open", path=str(tmp_path / "next.tif")), point(*place(new, 50, 50))
    )
    assert ask(shared_worker, new, point(*place(new, 50, 50)))["object"] == expected["object"]


@pytest.mark.fault("L08")
def test_more_scenes_than_are_held_open_are_all_answered(shared_worker, tmp_path):
    process = psutil.Process(shared_worker.process.pid)
    scenes = []
    for number in range(24):
        path = write_scene(tmp_path / f"{number}.tif", picture(64, 64, seed=number), photometric="rgb")
        scenes.append(shared_worker.ask("open", path=str(path)))
    first = [ask(shared_worker, scene, point(*place(scene, 30, 30))) for scene in scenes]
    assert sum(name.path.startswith(str(tmp_path)) for name in process.open_files()) <= 16
    assert [ask(shared_worker, scene, point(*place(scene, 30, 30))) for scene in scenes] == first
    for scene in scenes:
        shared_worker.ask("close", scene=scene["scene"])
    assert not any(name.path.startswith(str(tmp_path)) for name in process.open_files())


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
    assert shared_worker.refused("run", **request)["data"] == {"type": "OutputExists", "exit_code": 6}


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


def test_the_state_is_told(shared_worker, scene):
    ask(shared_worker, scene, point(*place(scene, 40, 30)))
    found = shared_worker.ask("status")
    assert found["pid"] == shared_worker.process.pid
    assert found["scenes"] >= 1
    assert found["models"] == 1
    assert found["windows"] >= 1
    assert found["window_bytes"] > 0
    assert found["memory_bytes"] > 2**20
    assert found["versions"]["gdal"].count(".") == 2
    assert found["versions"]["torch"]


def test_a_model_is_loaded_ahead_of_the_first_click():
    client = Worker()
    client.greet(model=MODEL)
    client.wait_for(lambda: len(client.of("loading")) == 2)
    assert client.of("loading") == [
        {"client": "", "model": "threshold", "state": state} for state in ("begun", "ended")
    ]
    assert client.ask("status")["models"] == 1
    client.stop()


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


@pytest.mark.fault("L07")
def test_sixteen_clients_share_one_embedding_and_none_waits_three_times_as_long(worker, scene_path):
    scene = worker.ask("open", path=str(scene_path))
    sent, waited = {}, {}

    def click(client):
        asked = draft(point(*place(scene, 20 + 10 * client, 100)))
        key = worker.send("segment", scene=scene["scene"], model=MODEL, client=f"client {client}", draft=asked)
        sent[key] = client, time.monotonic()

    for client in range(16):
        click(client)
        waited[client] = []
    while min(map(len, waited.values())) < 20:
        seen = len(worker.replies)
        worker.wait_for(lambda seen=seen: len(worker.replies) > seen)
        client, began = sent.pop(worker.replies[-1].id)
        waited[client].append(time.monotonic() - began)
        click(client)
    assert [note["state"] for note in worker.of("looking")] == ["begun", "ended"]
    means = [np.mean(latencies) for latencies in waited.values()]
    assert max(means) <= 3 * min(means)
    for key in sent:
        worker.reply(key)


@pytest.mark.fault("L06", "L09")
def test_a_thousand_clicks_are_all_answered_in_order_and_nothing_grows(worker, scene_path):
    scene = worker.ask("open", path=str(scene_path))
    process = psutil.Process(worker.process.pid)
    rng = np.random.default_rng(3)
    spots = [place(scene, *rng.integers(0, (300, 240))) for _ in range(250)]
    sizes, states = [], []
    first = None
    for _ in range(5):
        numbers = [
            worker.send("segment", scene=scene["scene"], model=MODEL, draft=draft(point(*spot))) for spot in spots[:200]
        ]
        for number in numbers:
            assert worker.reply(number).error is None
        replies = [reply for reply in worker.replies if reply.id in set(numbers)]
        assert [reply.id for reply in replies] == numbers
        answers = [reply.result for reply in replies]
        first = first or answers
        assert answers == first
        sizes.append(process.memory_info().rss)
        states.append((process.num_fds(), process.num_threads()))
    assert max(sizes[2:]) - sizes[1] < 8 * 2**20
    assert len(set(states[1:])) == 1


params = st.dictionaries(
    st.sampled_from(
        ["path", "scene", "model", "draft", "look", "simplify_m", "bounds", "crs", "objects", "options", "id"]
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.just(MODEL)
    | st.just(draft(point(5e5, 5e6)))
    | st.just("scene-1")
    | st.sampled_from(["/dev/null", "a\0b", "nonsense", [0, 0, 1, 1], [draft(point(0, 0))]]),
)
methods = st.sampled_from(
    ["open", "close", "segment", "prefetch", "run", "evaluate", "save_prompts", "status", "cancel", "x"]
)


@pytest.mark.fault("F14")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(methods, params), max_size=10), st.binary(max_size=200))
def test_whatever_is_sent_the_worker_answers_and_lives(shared_worker, asked, noise):
    numbers = [shared_worker.send(method, **given_) for method, given_ in asked]
    shared_worker.write(noise.replace(b"\n", b"") + b"\n")
    for number in numbers:
        reply = shared_worker.reply(number)
        assert reply.error is None or reply.error["code"] != protocol.INTERNAL_ERROR, reply
    assert shared_worker.ask("status")["pid"] == shared_worker.process.pid
