"""The algorithms in a real Processing framework: from Python, in models, from `qgis_process`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

from geosam_qgis.processing.provider import GeosamProvider
from geosam_qgis.processing.report import html_report

PLUGINS = Path(__file__).parents[1]
#: The wrapper of the same name is broken in Debian's QGIS 3.22.
QGIS_PROCESS = next(
    (path for path in ("/usr/bin/qgis_process.bin", "/usr/bin/qgis_process") if Path(path).exists()), ""
)


@pytest.fixture
def provider(qgis_app, qgis_processing):
    """Our provider, registered for one test."""
    registry = QgsApplication.processingRegistry()
    if registry.providerById("geosam") is not None:
        registry.removeProvider("geosam")
    provider = GeosamProvider()
    assert registry.addProvider(provider)
    yield provider
    registry.removeProvider("geosam")


@pytest.fixture
def run(provider, worker_command, qgis_new_project):
    """`run(algorithm, **parameters)`: the results; `run.log` has what was told."""
    import processing

    def go(algorithm, **parameters):
        feedback = QgsProcessingFeedback(False)
        try:
            return processing.run(f"geosam:{algorithm}", parameters, feedback=feedback)
        finally:
            go.log = feedback.textLog()

    return go


def command_line(*arguments):
    """What `geosam` prints as JSON."""
    done = subprocess.run(
        [os.environ["GEOSAM_WORKER"], *map(str, arguments), "--json"], capture_output=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def rows(path):
    """Geometry and attributes of a layer, sorted; a feature's number is not among them."""
    layer = path if isinstance(path, QgsVectorLayer) else QgsVectorLayer(str(path), "layer", "ogr")
    assert layer.isValid(), path
    names = [name for name in layer.fields().names() if name != "fid"]
    return sorted(
        (bytes(feature.geometry().asWkb()), [feature[name] for name in names]) for feature in layer.getFeatures()
    )


def prompt_layer(scene, crs, names, *fields):
    """A layer in memory with a point in each of some objects, in another CRS."""
    layer = QgsVectorLayer("&".join([f"Point?crs={crs}", *(f"field={field}" for field in fields)]), "clicks", "memory")
    moved = QgsCoordinateTransform(QgsCoordinateReferenceSystem(scene.authid), layer.crs(), QgsProject.instance())
    for name in names:
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(moved.transform(QgsPointXY(*scene.spot(name)))))
        if fields:
            feature.setAttribute(0, name)
        layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer)
    return layer


def outlines(scene, *names):
    """The known outlines of objects, as geometries."""
    return [QgsGeometry.fromPolygonXY([[QgsPointXY(*vertex) for vertex in scene.outline(name)]]) for name in names]


def same_shape(one, other):
    return one.symDifference(other).area() < 1e-6 * other.area()


def test_the_result_equals_that_of_the_command_line(run, scene_file, tmp_path):
    scene = scene_file()
    options = {"SIMPLIFY": 0.6, "MIN_AREA": 50, "LAYOUT": 1, "TILE_SIZE": 256, "OVERLAP": 64}
    found = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / "a b.gpkg"), **options)
    shaping = ["--simplify", "0.6", "--min-area", "50", "--layout", "planar", "--tile-size", "256", "--overlap", "64"]
    expected = command_line("segment", scene.path, "-o", tmp_path / "c.gpkg", "--model", "threshold", *shaping)
    assert found["OUTPUT"] == str(tmp_path / "a b.gpkg")
    assert found["COUNT"] == expected["count"] > 3
    assert rows(found["OUTPUT"]) == rows(tmp_path / "c.gpkg")
    assert QgsVectorLayer(found["OUTPUT"], "x", "ogr").crs().authid() == scene.authid
    assert f"{expected['count']} objects from {expected['tiles']} tiles" in run.log


def test_bands_resolution_and_window_reach_the_worker(run, scene_file, tmp_path):
    scene = scene_file("mercator")
    xmin, ymax = scene.at(80, 60)
    xmax, ymin = scene.at(260, 380)
    found = run(
        "segment",
        INPUT=scene.path,
        MODEL="threshold",
        EXTENT=f"{xmin},{xmax},{ymin},{ymax} [EPSG:3857]",
        RESOLUTION=1.0,
        BANDS=[3, 2, 1],
        STRETCH="none",
        OUTPUT=str(tmp_path / "a.gpkg"),
    )
    options = ["--window", f"{xmin!r},{ymin!r},{xmax!r},{ymax!r}", "--resolution", "1", "--bands", "3,2,1"]
    command_line(
        "segment", scene.path, "-o", tmp_path / "c.gpkg", "--model", "threshold", "--stretch", "none", *options
    )
    assert rows(found["OUTPUT"]) == rows(tmp_path / "c.gpkg")


def test_a_cache_folder_keeps_what_was_seen(run, scene_file, tmp_path):
    found = run(
        "segment", INPUT=scene_file().path, MODEL="threshold", CACHE=str(tmp_path / "cache"), OUTPUT="memory:objects"
    )
    assert found["COUNT"] > 3
    assert list((tmp_path / "cache").rglob("*.safetensors"))


def test_an_extent_in_another_crs_is_transformed(run, scene_file):
    scene = scene_file()
    inside = QgsGeometry.fromPointXY(QgsPointXY(*scene.spot("roof"))).boundingBox()
    inside.grow(5)
    moved = QgsCoordinateTransform(
        QgsCoordinateReferenceSystem(scene.authid), QgsCoordinateReferenceSystem("EPSG:4326"), QgsProject.instance()
    ).transformBoundingBox(inside)
    extent = f"{moved.xMinimum()},{moved.xMaximum()},{moved.yMinimum()},{moved.yMaximum()} [EPSG:4326]"
    found = run("segment", INPUT=scene.path, MODEL="threshold", EXTENT=extent, OUTPUT="TEMPORARY_OUTPUT")
    (only,) = found["OUTPUT"].getFeatures()
    (roof,) = outlines(scene, "roof")
    assert only.geometry().intersects(QgsGeometry.fromPointXY(QgsPointXY(*scene.spot("roof"))))
    assert only.geometry().area() < roof.area()


def test_other_outputs_get_the_same_features(run, scene_file, tmp_path):
    scene = scene_file()
    expected = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / "file.gpkg"))
    for output in ("memory:", "TEMPORARY_OUTPUT", f"ogr:dbname='{tmp_path / 'db.gpkg'}' table=\"found\" (geom)"):
        found = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=output)["OUTPUT"]
        assert rows(found) == rows(expected["OUTPUT"]), output
    tab = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / "file.tab"))["OUTPUT"]
    assert len(rows(tab)) == expected["COUNT"]  # a format that geosam does not write


def test_the_formats_of_geosam_are_written_by_the_worker(run, scene_file, tmp_path):
    scene = scene_file()
    for suffix in (".geojson", ".fgb", ".shp"):
        found = run("segment", INPUT=scene.path, MODEL="threshold", OUTPUT=str(tmp_path / f"out{suffix}"))
        assert len(rows(found["OUTPUT"])) == found["COUNT"]


def test_an_output_that_is_to_be_loaded_is_announced(provider, worker_command, scene_file, tmp_path):
    import processing

    context, project = QgsProcessingContext(), QgsProject()
    output = QgsProcessingOutputLayerDefinition(str(tmp_path / "shown.gpkg"), project)
    parameters = {"INPUT": scene_file().path, "MODEL": "threshold", "OUTPUT": output}
    found = processing.run("geosam:segment", parameters, context=context, feedback=QgsProcessingFeedback(False))
    assert list(context.layersToLoadOnCompletion()) == [found["OUTPUT"]]


def test_prompts_from_a_memory_layer_in_another_crs(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, "EPSG:3857", ["roof", "pond", "field"], "name:string(20)")
    found = run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=layer, OUTPUT="memory:")["OUTPUT"]
    assert found.crs().authid() == scene.authid
    by_name = {feature["name"]: feature.geometry() for feature in found.getFeatures()}
    for name, outline in zip(("roof", "pond", "field"), outlines(scene, "roof", "pond", "field")):
        assert same_shape(by_name[name], outline), name


def test_prompts_give_what_the_command_line_gives(run, scene_file, tmp_path):
    from qgis.core import QgsVectorFileWriter

    scene = scene_file()
    layer = prompt_layer(scene, "EPSG:4326", ["roof", "field"], "name:string(20)")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    QgsVectorFileWriter.writeAsVectorFormatV3(
        layer, str(tmp_path / "clicks.gpkg"), QgsProject.instance().transformContext(), options
    )
    found = run(
        "segmentprompts",
        INPUT=scene.path,
        MODEL="threshold",
        PROMPTS=str(tmp_path / "clicks.gpkg"),
        OUTPUT=str(tmp_path / "a.gpkg"),
    )
    command_line(
        "segment", scene.path, "--prompts", tmp_path / "clicks.gpkg", "-o", tmp_path / "c.gpkg", "--model", "threshold"
    )
    assert rows(found["OUTPUT"]) == rows(tmp_path / "c.gpkg")


def test_only_selected_prompts_are_used_and_keep_their_numbers(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, "EPSG:4326", ["roof", "pond", "field"])
    layer.selectByIds([3])
    selected = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    found = run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=selected, OUTPUT="memory:")["OUTPUT"]
    (only,) = found.getFeatures()
    assert same_shape(only.geometry(), outlines(scene, "field")[0])
    assert only["prompt_id"] == "3"


def test_prompts_that_are_not_saved_yet_are_used(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, scene.authid, ["roof"])
    layer.startEditing()
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*scene.spot("pond"))))
    layer.addFeature(feature)
    found = run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=layer, OUTPUT="memory:")
    assert found["COUNT"] == 2
    layer.rollBack()


@pytest.mark.parametrize("stands_for", [0, 1], ids=["box", "mask"])
def test_polygons_as_prompts_even_curved_and_with_heights(run, scene_file, stands_for):
    scene = scene_file()
    layer = QgsVectorLayer(f"CurvePolygonZ?crs={scene.authid}", "sketch", "memory")
    (roof,) = outlines(scene, "roof")
    x, y = scene.spot("roof")
    feature = QgsFeature(layer.fields())
    feature.setGeometry(
        QgsGeometry.fromWkt(
            f"CurvePolygonZ(CircularStringZ({x - 10} {y} 5, {x} {y + 10} 5, {x + 10} {y} 5, "
            f"{x} {y - 10} 5, {x - 10} {y} 5))"
        )
    )
    layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer)
    found = run(
        "segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=layer, POLYGONS=stands_for, OUTPUT="memory:"
    )["OUTPUT"]
    (only,) = found.getFeatures()
    assert same_shape(only.geometry(), roof)


def test_a_prompt_outside_is_an_error_or_left_out(run, scene_file):
    scene = scene_file()
    layer = prompt_layer(scene, scene.authid, ["roof"])
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*scene.at(-500, -500))))
    layer.dataProvider().addFeature(feature)
    what = {"INPUT": scene.path, "MODEL": "threshold", "PROMPTS": layer, "OUTPUT": "memory:"}
    with pytest.raises(QgsProcessingException, match="outside"):
        run("segmentprompts", **what)
    assert run("segmentprompts", SKIP_OUTSIDE=True, **what)["COUNT"] == 1


def test_evaluate_gives_numbers_and_reports(run, scene_file, tmp_path):
    scene = scene_file()
    layer = prompt_layer(scene, scene.authid, ["roof", "pond"])
    predicted = run("segmentprompts", INPUT=scene.path, MODEL="threshold", PROMPTS=layer, OUTPUT="memory:")["OUTPUT"]
    reference = QgsVectorLayer(f"Polygon?crs={scene.authid}", "reference", "memory")
    for outline in outlines(scene, "roof", "pond", "field"):
        feature = QgsFeature()
        feature.setGeometry(outline)
        reference.dataProvider().addFeature(feature)
    found = run(
        "evaluate",
        PREDICTED=predicted,
        REFERENCE=reference,
        OUTPUT_HTML=str(tmp_path / "r.html"),
        OUTPUT_JSON=str(tmp_path / "r.json"),
    )
    assert (found["PREDICTED_COUNT"], found["REFERENCE_COUNT"], found["MATCHED"]) == (2, 3, 2)
    assert found["PRECISION"] == 1
    assert found["RECALL"] == pytest.approx(2 / 3)
    assert found["MEAN_IOU_MATCHED"] == pytest.approx(1, abs=1e-6)
    assert json.loads(Path(found["OUTPUT_JSON"]).read_text())["f1"] == pytest.approx(0.8)
    assert "<td>0.8</td>" in Path(found["OUTPUT_HTML"]).read_text()


def test_evaluate_within_an_area_judges_nothing_else(run, scene_file):
    scene = scene_file()
    layers = {}
    for name, objects in {"PREDICTED": ["roof"], "REFERENCE": ["roof", "field"], "WITHIN": ["roof"]}.items():
        layers[name] = QgsVectorLayer(f"Polygon?crs={scene.authid}", name, "memory")
        for outline in outlines(scene, *objects):
            feature = QgsFeature()
            feature.setGeometry(outline)
            layers[name].dataProvider().addFeature(feature)
    assert run("evaluate", **layers)["RECALL"] == 1


def test_a_report_shows_what_is_undefined_and_escapes_names():
    score = {"reference": 2, "recall": 0.5, "mean_iou": 0.25}
    found = {
        **dict.fromkeys(("predicted", "reference", "matched"), 0),
        **dict.fromkeys(("precision", "recall", "f1", "mean_iou_matched", "mean_iou_reference")),
        "iou": 0.5,
        "segmentation": {"over": None, "under": None, "error": None},
        "boundary": {"precision": None, "recall": None, "f1": None, "tolerance_m": 0.25},
        "predicted_area_m2": 0.0,
        "reference_area_m2": 123456.7,
        "classes": {"<b>": score},
        "notes": ["a & b"],
    }
    page = html_report(found)
    assert "<td>Precision</td><td>-</td>" in page
    assert "<td>&lt;b&gt;</td><td>2</td><td>0.5</td><td>0.25</td>" in page
    assert "<p>a &amp; b</p>" in page
    assert "<td>123457</td>" in page


def test_tiles_that_cannot_be_read_are_a_warning_or_an_error(run, scene_file, tmp_path):
    damaged = tmp_path / "damaged.tif"
    whole = Path(scene_file("mercator").path).read_bytes()
    damaged.write_bytes(whole[: len(whole) * 2 // 3])
    what = {"INPUT": str(damaged), "MODEL": "threshold", "TILE_SIZE": 128, "OVERLAP": 32, "OUTPUT": "memory:"}
    assert run("segment", ALLOW_PARTIAL=True, **what)["COUNT"] > 0
    assert "tiles failed and are missing" in run.log
    with pytest.raises(QgsProcessingException, match="The file is damaged or incomplete"):
        run("segment", **what)


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
        ({"STRETCH": "9,1"}, "stretch"),
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


def model_of_segment_and_buffer():
    model = QgsProcessingModelAlgorithm("chain", "tests", "chain")
    raster = QgsProcessingParameterRasterLayer("raster", "Raster")
    model.addModelParameter(raster, QgsProcessingModelParameter("raster"))
    static, source = QgsProcessingModelChildParameterSource.fromStaticValue, QgsProcessingModelChildParameterSource
    first = QgsProcessingModelChildAlgorithm("geosam:segment")
    first.setChildId("segment")
    first.addParameterSources("INPUT", [source.fromModelParameter("raster")])
    first.addParameterSources("MODEL", [static("threshold")])
    model.addChildAlgorithm(first)
    second = QgsProcessingModelChildAlgorithm("native:buffer")
    second.setChildId("buffer")
    second.addParameterSources("INPUT", [source.fromChildOutput("segment", "OUTPUT")])
    second.addParameterSources("DISTANCE", [static(2.0)])
    output = QgsProcessingModelOutput("grown", "grown")
    output.setChildId("buffer")
    output.setChildOutputName("OUTPUT")
    second.setModelOutputs({"grown": output})
    model.addChildAlgorithm(second)
    model.addModelParameter(QgsProcessingParameterFeatureSink("buffer:grown", "Grown"), QgsProcessingModelParameter())
    return model


# From the command line


@pytest.fixture
def qgis_process(tmp_path, worker_command):
    """`qgis_process(*arguments, **environment)`: a finished process, with our plugin in a profile of its own."""
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile"),
        "QGIS_PLUGINPATH": str(PLUGINS),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def go(*arguments, **more):
        return subprocess.run(
            [QGIS_PROCESS, *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**environment, **more},
            check=False,
            timeout=120,
        )

    assert "geosam_qgis" in go("plugins", "enable", "geosam_qgis").stdout
    return go


def test_qgis_process_gives_what_the_command_line_gives(qgis_process, scene_file, tmp_path):
    scene = scene_file()
    output = tmp_path / "aus gabe.gpkg"
    done = qgis_process(
        "--json", "run", "geosam:segment", "--", f"INPUT={scene.path}", "MODEL=threshold", f"OUTPUT={output}"
    )
    assert done.returncode == 0, done.stderr
    command_line("segment", scene.path, "-o", tmp_path / "c.gpkg", "--model", "threshold")
    assert json.loads(done.stdout)["results"]["OUTPUT"] == str(output)
    assert rows(output) == rows(tmp_path / "c.gpkg")


def test_qgis_process_without_a_worker_ends_with_1_and_a_sentence(qgis_process, scene_file, tmp_path):
    done = qgis_process(
        "run",
        "geosam:segment",
        "--",
        f"INPUT={scene_file().path}",
        f"OUTPUT={tmp_path / 'out.gpkg'}",
        GEOSAM_WORKER=str(tmp_path / "nowhere"),
    )
    assert done.returncode == 1
    assert "was not found" in done.stdout + done.stderr


def test_qgis_process_reports_a_refusal_with_1_and_the_words_of_the_worker(qgis_process, scene_file, tmp_path):
    done = qgis_process(
        "run", "geosam:segment", "--", f"INPUT={scene_file().path}", "MODEL=none", f"OUTPUT={tmp_path / 'out.gpkg'}"
    )
    assert done.returncode == 1
    assert "none" in done.stdout + done.stderr
    assert not (tmp_path / "out.gpkg").exists()


def test_a_model_chains_segmentation_into_a_buffer(provider, qgis_process, scene_file, tmp_path):
    scene = scene_file()
    file = tmp_path / "chain.model3"
    model = model_of_segment_and_buffer()
    model.updateDestinationParameters()
    assert model.toFile(str(file))
    output = tmp_path / "grown.gpkg"
    sink = next(d.name() for d in model.parameterDefinitions() if d.isDestination())
    done = qgis_process("run", file, "--", f"raster={scene.path}", f"{sink}={output}")
    assert done.returncode == 0, done.stdout + done.stderr
    command_line("segment", scene.path, "-o", tmp_path / "c.gpkg", "--model", "threshold")
    area = sum(feature.geometry().area() for feature in QgsVectorLayer(str(output), "x", "ogr").getFeatures())
    plain = sum(
        feature.geometry().area() for feature in QgsVectorLayer(str(tmp_path / "c.gpkg"), "x", "ogr").getFeatures()
    )
    assert len(rows(output)) == len(rows(tmp_path / "c.gpkg"))
    assert area > plain > 0


def test_nothing_of_the_interface_is_imported(worker_command):
    code = (
        "import sys, qgis.core; before = set(sys.modules); import geosam_qgis.processing.provider; "
        "sys.exit(', '.join({'qgis.gui', 'qgis.PyQt.QtWidgets'} & set(sys.modules) - before))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PLUGINS)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False, timeout=60)
    assert done.stderr.strip() == b""
