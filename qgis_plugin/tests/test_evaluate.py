"""`geosam:evaluate`: numbers and reports."""

import json
from pathlib import Path

import pytest
from qgis.core import (
    QgsFeature,
    QgsVectorLayer,
)
from toolbox import outlines, prompt_layer

from geosam_qgis.processing.report import html_report


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
