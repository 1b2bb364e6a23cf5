"""The numbers of an evaluation as an HTML page."""

import re
from html.parser import HTMLParser

import pytest

from geosam_qgis.processing.report import html_report

SCORES = {
    "iou": 0.5,
    "predicted": 12,
    "reference": 10,
    "matched": 9,
    "precision": 0.75,
    "recall": 0.9,
    "f1": 0.8181818,
    "mean_iou_matched": 0.912345,
    "mean_iou_reference": 0.8,
    "segmentation": {"over": 0.1, "under": 0.2, "error": 0.3},
    "boundary": {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "tolerance_m": 0.3},
    "predicted_area_m2": 1234.56,
    "reference_area_m2": 999.4,
    "classes": {},
    "notes": [],
}


class Cells(HTMLParser):
    """The rows of all tables of a page."""

    def __init__(self, page):
        super().__init__()
        self.rows, self._inside = [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        self._inside = tag in ("td", "th")
        if self._inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.rows[-1][-1] += data


def test_every_number_of_the_worker_is_on_the_page():
    rows = dict(Cells(html_report(SCORES)).rows)
    assert rows["Predicted objects"] == "12"
    assert rows["Matched objects, at an IoU of 0.5"] == "9"
    assert rows["F1"] == "0.8182"
    assert rows["Mean IoU of matched objects"] == "0.9123"
    assert rows["Precision of outlines, within 0.3 m"] == "0.5"
    assert rows["Predicted area (square metres)"] == "1235"
    assert rows["Reference area (square metres)"] == "999.4"
    assert len(rows) == 15


def test_classes_have_a_table_of_their_own():
    classes = {
        "roof": {"matched": 6, "reference": 6, "recall": 1.0, "mean_iou": None, "novel": 7},
        "shed": {"reference": 4, "recall": 0.75, "mean_iou": 0.5},
    }
    rows = Cells(html_report({**SCORES, "classes": classes})).rows
    assert rows[-3:] == [
        ["Class", "Reference", "Recall", "Mean IoU"],
        ["roof", "6", "1", "-"],
        ["shed", "4", "0.75", "0.5"],
    ]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", 'a "b" & c', "d\u00e9p\u00f4t"])
def test_texts_of_the_data_are_escaped(text):
    score = {"reference": 1, "recall": 1.0, "mean_iou": 1.0}
    page = html_report({**SCORES, "classes": {text: score}, "notes": [text]})
    assert Cells(page).rows[-1][0] == text
    assert "<script>" not in page


def test_the_page_is_complete_and_loads_nothing():
    page = html_report(SCORES)
    assert page.startswith("<!DOCTYPE html>")
    assert '<meta charset="utf-8">' in page
    assert not re.search(r"(src|href)=", page)
