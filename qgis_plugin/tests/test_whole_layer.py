"""Whole layers in the background: streamed, finished, cancelled, removed."""

import os
import signal
import sys
import time

import pytest
from layers import Interface, raster
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsGeometry,
    QgsProject,
    QgsRectangle,
    QgsTask,
    QgsVectorLayer,
)

from geosam_qgis.jobs.layer_run import LayerJob
from geosam_qgis.jobs.streamed_layer import MAX_SHOWN, StreamedLayer
from geosam_qgis.jobs.whole_layer import WholeLayer

#: So many tiles that there is time to do something meanwhile.
SLOWLY = {"tile_size": 128, "overlap": 32, "overwrite": True}


DEAF_WORKER = """
import json, os, sys, time
first = json.loads(sys.stdin.readline())
answer = {"protocol": 1, "geosam": "0", "pid": os.getpid(), "models": []}
print(json.dumps({"jsonrpc": "2.0", "id": first["id"], "result": answer}), flush=True)
while True:
    time.sleep(1)
"""


@pytest.fixture
def iface(map_canvas, qgis_new_project):
    return Interface(map_canvas)


@pytest.fixture
def whole(iface, worker_command, wait):
    """A WholeLayer whose runs are over when the test ends; `outcomes` has their ends."""
    whole = WholeLayer(iface)
    whole.outcomes = []
    whole.ended.connect(whole.outcomes.append)
    yield whole
    whole.unload()
    wait(lambda: not QgsApplication.taskManager().countActiveTasks())


def vector_layers():
    return [layer for layer in QgsProject.instance().mapLayers().values() if isinstance(layer, QgsVectorLayer)]


@pytest.fixture
def streaming(wait):
    """`streaming(run)`: wait until the run has found an object, before its end."""

    def go(run):
        ended = []
        run.ended.connect(ended.append)
        wait(lambda: ended or (run.stream is not None and run.stream.count > 0), 120)
        assert not [outcome.text for outcome in ended if outcome.state != "done"]

    return go


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def pids_of(run):
    """Return a list that gets the id of the process after its start."""
    pids = []
    run._client.started.connect(lambda answer: pids.append(answer["pid"]))
    return pids


def test_the_result_replaces_what_was_streamed(whole, scene_file, tmp_path, streaming, wait):
    layer = raster(scene_file("long"))
    run = whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    streaming(run)
    streamed = run.stream.layer
    assert streamed.crs().authid() == "EPSG:32633"
    assert [known.name() for known in vector_layers()] == ["ortho (being segmented)"]
    seen = []
    wait(lambda: seen.append(streamed.featureCount()) or seen[-1] or whole.outcomes)
    wait(lambda: whole.outcomes)
    (outcome,) = whole.outcomes
    assert outcome.state == "done"
    assert [known.source().split("|")[0] for known in vector_layers()] == [str(tmp_path / "found.gpkg")]
    assert outcome.layer.featureCount() == outcome.summary["count"] == 6
    assert whole._iface.bar.texts == [outcome.text]
    assert "6 objects" in outcome.text
    assert not whole.is_running


def test_what_is_streamed_is_what_is_written(whole, scene_file, tmp_path, wait, monkeypatch):
    taken = []
    add = StreamedLayer.add
    monkeypatch.setattr(StreamedLayer, "add", lambda self, objects: taken.extend(objects) or add(self, objects))
    layer = raster(scene_file())
    whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    wait(lambda: whole.outcomes)
    import base64

    streamed = []
    for one in taken:
        geometry = QgsGeometry()
        geometry.fromWkb(base64.b64decode(one["wkb"]))
        geometry.convertToMultiType()
        streamed.append(geometry.asWkt(3))
    assert sorted(streamed) == sorted(feature.geometry().asWkt(3) for feature in whole.outcomes[0].layer.getFeatures())


def test_the_result_takes_the_place_in_the_tree(whole, scene_file, tmp_path, streaming, wait):
    layer = raster(scene_file("long"))
    run = whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    streaming(run)
    root = QgsProject.instance().layerTreeRoot()
    node = root.findLayer(run.stream.layer.id())
    group = root.insertGroup(0, "mine")
    group.addChildNode(node.clone())
    node.parent().removeChildNode(node)
    wait(lambda: whole.outcomes)
    assert [child.name() for child in group.children()] == ["found"]


def test_the_task_shows_progress_and_completes(whole, scene_file, tmp_path, wait):
    manager, seen = QgsApplication.taskManager(), []
    manager.progressChanged.connect(lambda _id, percent: seen.append(percent))
    statuses = []
    manager.statusChanged.connect(lambda _id, status: statuses.append(status))
    layer = raster(scene_file("long"))
    whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    (task,) = manager.activeTasks()
    assert "ortho" in task.description()
    wait(lambda: whole.outcomes and not manager.countActiveTasks())
    assert 0 < min(seen) < 50
    assert max(seen) == 100
    assert seen == sorted(seen)
    assert statuses[-1] == QgsTask.TaskStatus.Complete


def test_cancelling_the_task_keeps_its_objects_and_the_same_job_continues(whole, scene_file, tmp_path, streaming, wait):
    layer = raster(scene_file("long"))
    job = LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY)
    run = whole.start(job)
    streaming(run)
    (task,) = QgsApplication.taskManager().activeTasks()
    task.cancel()
    wait(lambda: whole.outcomes)
    (outcome,) = whole.outcomes
    if outcome.state == "done":  # the last tile was faster
        return
    assert outcome.state == "cancelled"
    assert "continue from there" in whole._iface.bar.texts[0]
    assert not (tmp_path / "found.gpkg").exists()
    assert [known.name() for known in vector_layers()] == ["ortho (not finished)"]
    wait(lambda: outcome.layer.featureCount() == run.stream.count > 0)
    whole.start(job)
    wait(lambda: len(whole.outcomes) == 2)
    assert whole.outcomes[1].summary["resumed_tiles"] > 0
    assert whole.outcomes[1].summary["count"] == 6


@pytest.mark.fault("F08")
def test_a_worker_that_is_killed_is_a_message_and_objects_stay(whole, scene_file, tmp_path, streaming, wait):
    layer = raster(scene_file("long"))
    run = whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    pids = pids_of(run)
    streaming(run)
    os.kill(pids[0], signal.SIGKILL)
    wait(lambda: whole.outcomes)
    (outcome,) = whole.outcomes
    assert outcome.state == "failed"
    assert whole._iface.bar.texts == [outcome.text]
    assert "worker" in outcome.text
    wait(lambda: outcome.layer.featureCount() == run.stream.count > 0)
    assert whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY)) is not None
    wait(lambda: len(whole.outcomes) == 2)
    assert whole.outcomes[1].state == "done"


@pytest.mark.fault("F12")
def test_a_worker_that_does_not_listen_is_ended(whole, scene_file, tmp_path, wait, monkeypatch):
    layer = raster(scene_file())
    program = tmp_path / "deaf"
    program.write_text(f"#!{sys.executable}\n{DEAF_WORKER}")
    program.chmod(0o755)
    monkeypatch.setenv("GEOSAM_WORKER", str(program))
    monkeypatch.setattr("geosam_qgis.jobs.layer_run.PATIENCE_MS", 300)
    run = whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold"))
    pids = pids_of(run)
    wait(lambda: pids)
    run.cancel()
    wait(lambda: whole.outcomes)
    assert whole.outcomes[0].state == "cancelled"
    wait(lambda: is_gone(pids[0]))


def test_without_a_worker_there_is_a_message(whole, scene_file, tmp_path, wait, monkeypatch):
    layer = raster(scene_file())
    monkeypatch.setenv("GEOSAM_WORKER", str(tmp_path / "nowhere"))
    whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold"))
    wait(lambda: whole.outcomes)
    assert whole.outcomes[0].state == "failed"
    assert "No geosam worker was found" in whole.outcomes[0].text
    assert vector_layers() == []


def test_a_refusal_is_the_message(whole, iface, scene_file, tmp_path, wait):
    whole.start(LayerJob(raster(scene_file()), str(tmp_path / "no" / "found.gpkg"), "threshold"))
    wait(lambda: whole.outcomes)
    assert "folder does not exist" in iface.bar.texts[0]


def test_the_streamed_layer_may_be_removed(whole, scene_file, tmp_path, streaming, wait):
    layer = raster(scene_file("long"))
    run = whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    streaming(run)
    QgsProject.instance().removeMapLayer(run.stream.layer.id())
    assert run.stream.layer is None
    wait(lambda: whole.outcomes)
    assert [known.name() for known in vector_layers()] == ["found"]


def test_a_project_that_is_closed_gets_its_file_and_the_next_project_nothing(
    whole, scene_file, tmp_path, streaming, wait
):
    layer = raster(scene_file("long"))
    run = whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    streaming(run)
    QgsProject.instance().clear()
    wait(lambda: whole.outcomes)
    assert whole.outcomes[0].state == "done"
    assert whole.outcomes[0].layer is None
    assert vector_layers() == []
    assert (tmp_path / "found.gpkg").exists()


def test_unloading_ends_the_worker_and_the_task(iface, scene_file, tmp_path, streaming, wait):
    whole = WholeLayer(iface)
    layer = raster(scene_file("long"))
    run = whole.start(LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY))
    pids = pids_of(run)
    streaming(run)
    whole.unload()
    wait(lambda: not QgsApplication.taskManager().countActiveTasks())

    wait(lambda: is_gone(pids[0]))
    assert iface.bar.texts == []


def test_a_second_run_is_refused_during_a_run(whole, iface, scene_file, tmp_path, wait):
    layer = raster(scene_file("long"))
    assert whole.start(LayerJob(layer, str(tmp_path / "a.gpkg"), "threshold", running=SLOWLY)) is not None
    assert whole.start(LayerJob(layer, str(tmp_path / "b.gpkg"), "threshold", running=SLOWLY)) is None
    assert whole.show_dialog(layer) is None
    assert ["Another layer is being segmented" in text for text in iface.bar.texts] == [True, True]
    wait(lambda: whole.outcomes)
    assert not (tmp_path / "b.gpkg").exists()


def test_a_file_that_is_shown_is_not_replaced(whole, iface, scene_file, tmp_path, wait):
    layer = raster(scene_file())
    job = LayerJob(layer, str(tmp_path / "found.gpkg"), "threshold", running=SLOWLY)
    whole.start(job)
    wait(lambda: whole.outcomes)
    assert whole.start(job) is None
    assert "The layer found shows this file" in iface.bar.texts[-1]


def test_the_interface_is_never_held_up_while_many_objects_arrive(iface, wait, qgis_app):
    import base64

    square = base64.b64encode(bytes(QgsGeometry.fromRect(QgsRectangle(0, 0, 1, 1)).asWkb())).decode()
    one = {"wkb": square, "score": 1.0, "area_m2": 1.0, "touches_edge": False, "truncated": False}
    stream = StreamedLayer("many", QgsCoordinateReferenceSystem("EPSG:32633"))
    stream.add([one] * 30_000)
    longest = 0.0
    while stream.layer.featureCount() < 30_000:
        begun = time.thread_time()  # other processes may take their time
        qgis_app.processEvents()
        longest = max(longest, time.thread_time() - begun)
    assert longest < 0.05
    stream.add([one] * MAX_SHOWN)
    assert stream.count == 30_000 + MAX_SHOWN
    stream.remove()
    assert stream.layer is None


def test_the_dialog_starts_a_run(whole, scene_file, tmp_path, wait):
    window = whole.show_dialog(raster(scene_file()), "whole")
    window.model.setCurrentText("threshold")
    window.min_area.setValue(2000)
    window.output.setFilePath(str(tmp_path / "found.gpkg"))
    window.buttons.accepted.emit()
    wait(lambda: whole.outcomes)
    assert whole.outcomes[0].state == "done"
    assert 0 < whole.outcomes[0].summary["count"] < 5
    assert whole.outcomes[0].summary["too_small"] > 0
