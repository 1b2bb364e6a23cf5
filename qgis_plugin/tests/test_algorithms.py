"""Properties of all algorithms: help, errors in one sentence, threads, cancellation."""

import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from toolbox import rows


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (
            {"TILE_SIZE": 256, "OVERLAP": 256},
            "Overlap of tiles: found 256 pixels, expected less than the tile size \\(256\\)",
        ),
        ({"BANDS": [1, 2]}, "Bands: found 2, expected one or three."),
        ({"INPUT": "/nowhere.tif"}, "nowhere.tif"),
        ({"MODEL": "no_such"}, "no_such"),
        ({"STRETCH": "9,1"}, "“Stretch”"),
        ({"OUTPUT": "/nowhere/at/all.gpkg"}, "folder does not exist"),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_sentence(run, scene_file, parameters, sentence):
    what = {"INPUT": scene_file().path, "MODEL": "threshold", "OUTPUT": "memory:", **parameters}
    with pytest.raises(QgsProcessingException, match=sentence):
        run("segment", **what)


def test_a_service_and_a_layer_without_crs_are_refused_by_name(run, scene_file):
    scene = scene_file()
    service = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/%7Bz%7D/%7Bx%7D/%7By%7D.png", "tiles", "wms")
    with pytest.raises(QgsProcessingException, match="tiles comes from a service, not from a file"):
        run("segment", INPUT=service, MODEL="threshold", OUTPUT="memory:")
    clicks = QgsVectorLayer("Point", "clicks", "memory")
    clicks.setCrs(QgsCoordinateReferenceSystem())
    with pytest.raises(QgsProcessingException, match="clicks has no CRS"):
        run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=clicks, OUTPUT="memory:")


def test_a_file_that_the_project_shows_is_not_replaced(run, scene_file, tmp_path):
    what = {"INPUT": scene_file().path, "MODEL": "threshold", "OUTPUT": str(tmp_path / "shown.gpkg")}
    run("segment", **what)
    run("segment", **what)
    QgsProject.instance().addMapLayer(QgsVectorLayer(what["OUTPUT"], "my roofs", "ogr"))
    with pytest.raises(QgsProcessingException, match="my roofs"):
        run("segment", **what)


def test_without_a_worker_the_algorithms_say_how_to_get_one(provider, monkeypatch, tmp_path):
    monkeypatch.setenv("GEOSAM_WORKER", str(tmp_path / "nowhere"))
    for algorithm in provider.algorithms():
        fine, sentence = algorithm.canExecute()
        assert not fine
        assert "uv tool install" in sentence


def test_algorithms_explain_themselves(provider):
    assert sorted(algorithm.id() for algorithm in provider.algorithms()) == [
        "geosam:evaluate",
        "geosam:segment",
        "geosam:segmentprompts",
    ]
    for algorithm in provider.algorithms():
        assert algorithm.shortHelpString()
        assert algorithm.group()
        assert not algorithm.icon().isNull()
        assert algorithm.tags()
        assert not algorithm.flags() & algorithm.Flag.FlagNoThreading
        for parameter in algorithm.parameterDefinitions():
            assert parameter.description(), parameter.name()


def runner(provider, parameters, feedback, ended):
    """An algorithm as the toolbox runs it: in the thread of a task."""
    context = QgsProcessingContext()
    task = QgsProcessingAlgRunnerTask(provider.algorithm("segment"), parameters, context, feedback)
    task.executed.connect(lambda fine, results: ended.append((fine, dict(results))))
    QgsApplication.taskManager().addTask(task)
    return task, context


def test_an_algorithm_runs_in_the_background(provider, worker_command, scene_file, tmp_path, wait):
    ended, feedback = [], QgsProcessingFeedback(False)
    parameters = {"INPUT": scene_file().path, "MODEL": "threshold", "OUTPUT": str(tmp_path / "out.gpkg")}
    kept = runner(provider, parameters, feedback, ended)
    wait(lambda: ended)
    assert kept
    assert ended[0][0], feedback.textLog()
    assert len(rows(ended[0][1]["OUTPUT"])) == ended[0][1]["COUNT"]


def test_cancelling_leaves_no_output_and_the_same_call_resumes(provider, scene_file, tmp_path, wait, run):
    scene, ended, feedback = scene_file("long"), [], QgsProcessingFeedback(False)
    parameters = {"INPUT": scene.path, "MODEL": "threshold", "OUTPUT": str(tmp_path / "out.gpkg")}
    parameters.update(TILE_SIZE=128, OVERLAP=32)
    feedback.progressChanged.connect(lambda percent: percent > 5 and feedback.cancel())
    kept = runner(provider, parameters, feedback, ended)
    wait(lambda: ended)
    assert kept
    assert not ended[0][0]
    assert "Cancelled." in feedback.textLog()
    assert not (tmp_path / "out.gpkg").exists()
    found = run("segment", **parameters)
    expected = run("segment", **{**parameters, "OUTPUT": str(tmp_path / "whole.gpkg")})
    assert rows(found["OUTPUT"]) == rows(expected["OUTPUT"])
