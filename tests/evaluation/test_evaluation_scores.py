import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from shapely.affinity import translate
from shapely.geometry import box

from geosam.evaluation.compare import evaluate
from geosam.vector.polygons import PolygonLayer

UTM = CRS.from_epsg(32633)


def layer(*polygons, classes=None):
    return PolygonLayer.of([translate(polygon, 450_000, 5_000_000) for polygon in polygons], UTM, classes)


@pytest.fixture
def scores():
    """Two roofs, of which one is found exactly; a pond found by 60 %; a tree in two; one thing more."""
    reference = [box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10), box(60, 0, 70, 10)]
    predicted = [box(0, 0, 10, 10), box(40, 0, 46, 10), box(60, 0, 64, 10), box(66, 0, 70, 10), box(90, 0, 99, 10)]
    return evaluate(layer(*predicted), layer(*reference, classes=["roof", "roof", "pond", "tree"]), tolerance_m=0.5)


def test_each_class_is_told_before_all_objects_and_all_before_the_measures(scores):
    lines = scores.lines()
    assert lines[:6] == [
        "pond: 1 of 1 found (mean IoU 0.60)",
        "roof: 1 of 2 found (mean IoU 1.00)",
        "tree: 0 of 1 found",
        "all:  2 of 4 found (mean IoU 0.80)",
        "Found means: one polygon has an IoU of at least 0.5 with the reference object.",
        "5 polygons: 2 are such an object, 2 are a part of one, 1 lie elsewhere.",
    ]
    measures = [line.strip().split("  ")[0] for line in lines[6:]]
    assert measures[:3] == ["precision", "recall", "F1"]
    assert measures[-1] == "boundary F within 0.5 m"
    assert f" {scores.precision:.3f} " in lines[6]


def test_printing_an_evaluation_shows_its_lines_and_fits_a_screen(scores):
    assert str(scores).splitlines() == scores.lines()
    assert max(map(len, scores.lines())) <= 90
    assert len(scores.lines()) <= 24


def test_without_classes_the_first_line_is_about_all_objects():
    square = box(0, 0, 10, 10)
    assert evaluate(layer(square), layer(square)).lines()[0] == "all: 1 of 1 found (mean IoU 1.00)"


def test_undefined_measures_are_shown_as_a_dash():
    lines = evaluate(layer(), layer()).lines()
    assert lines[0] == "all: 0 of 0 found"
    assert all(" -  " in line for line in lines[-8:])


def test_a_notebook_shows_the_lines_with_names_of_classes_escaped():
    square = box(0, 0, 10, 10)
    shown = evaluate(layer(square), layer(square, classes=["<b>roof</b>"]))._repr_html_()
    assert "&lt;b&gt;roof&lt;/b&gt;: 1 of 1 found" in shown
    assert "<b>" not in shown


def test_the_json_has_the_counts_that_the_words_are_made_of(scores):
    facts = json.loads(json.dumps(scores.to_json()))
    assert facts["parts"] == 2
    assert facts["classes"]["tree"] == {
        "reference": 1,
        "matched": 0,
        "recall": 0.0,
        "mean_iou": pytest.approx(0.4),
        "mean_iou_matched": None,
    }
    assert (facts["classes"]["roof"]["matched"], facts["classes"]["roof"]["mean_iou_matched"]) == (1, 1.0)
    assert "objects" not in facts


cells = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6))
boxes = st.lists(cells.map(lambda cell: box(cell[0], cell[1], cell[0] + cell[2], cell[1] + cell[3])), max_size=6)


@settings(max_examples=60, deadline=None)
@given(boxes, boxes, st.data())
def test_classes_add_up_to_all_objects_and_parts_lie_inside_one(predicted, reference, data):
    names = data.draw(st.lists(st.sampled_from("abc"), min_size=len(reference), max_size=len(reference)))
    scores = evaluate(layer(*predicted), layer(*reference, classes=names))
    assert sum(score.reference for score in scores.classes.values()) == scores.reference
    assert sum(score.matched for score in scores.classes.values()) == scores.matched
    total = sum(score.matched * (score.mean_iou_matched or 0) for score in scores.classes.values())
    assert total == pytest.approx(scores.matched * (scores.mean_iou_matched or 0))
    inside = sum(any(p.intersection(r).area >= 0.5 * p.area for r in reference) for p in predicted)
    assert inside - scores.matched <= scores.parts <= min(inside, scores.predicted - scores.matched)
