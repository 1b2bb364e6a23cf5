"""The algorithms in `qgis_process`, alone and in a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from qgis.core import (
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterRasterLayer,
    QgsVectorLayer,
)
from toolbox import command_line, rows

PLUGINS = Path(__file__).parents[1]


#: The wrapper of the same name is broken in Debian's QGIS 3.22.
QGIS_PROCESS = next(
    (path for path in ("/usr/bin/qgis_process.bin", "/usr/bin/qgis_process") if Path(path).exists()), ""
)


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
