"""The worker's answer to a draft, read from the messages of the protocol."""

import base64

import pytest
from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry

from geosam_qgis.draft import Draft
from geosam_qgis.tool.answer import WorkerAnswer, window_polygon

WKT = "Polygon ((0 0, 0 10, 10 10, 10 0, 0 0),(2 2, 4 2, 4 4, 2 4, 2 2))"
DRAFT = Draft("EPSG:32633").with_point(1.0, 2.0, 1)


def messages(*, found=True, **result):
    """The answers to *open* and *segment*."""
    wkb = base64.b64encode(bytes(QgsGeometry.fromWkt(WKT).asWkb())).decode()
    facts = {"wkb": wkb, "score": 0.5, "area_m2": 96.0, "model": "threshold"}
    crs = QgsCoordinateReferenceSystem("EPSG:32633").toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)
    answer = {"object": facts if found else None, "window": None, "ready": True, "complete": True, **result}
    return {"crs": crs, "warnings": []}, answer


def test_the_polygon_is_that_in_the_message_holes_included(qgis_app):
    answer = WorkerAnswer.read(DRAFT, *messages())
    assert answer.geometry.isGeosEqual(QgsGeometry.fromWkt(WKT))
    assert answer.geometry.area() == 96
    assert answer.crs.authid() == "EPSG:32633"
    assert answer.draft is DRAFT


def test_the_facts_have_no_geometry(qgis_app):
    assert WorkerAnswer.read(DRAFT, *messages()).facts == {"score": 0.5, "area_m2": 96.0, "model": "threshold"}


def test_an_answer_without_an_object_has_neither_geometry_nor_facts(qgis_app):
    answer = WorkerAnswer.read(DRAFT, *messages(found=False, ready=False, complete=False))
    assert (answer.geometry, answer.facts) == (None, {})
    assert (answer.ready, answer.complete) == (False, False)


def test_warnings_of_the_raster_come_first_and_show_no_parameter(qgis_app):
    info, result = messages(warnings=["The model saw little."])
    info["warnings"] = ["The stretch is wide. Use `stretch='p2,p98'`."]
    assert WorkerAnswer.read(DRAFT, info, result).warnings == (
        "The stretch is wide. Use “Stretch” = p2,p98.",
        "The model saw little.",
    )


def test_a_window_may_be_rotated(qgis_app):
    corners = [[0.0, 0.0], [8.0, 6.0], [2.0, 14.0], [-6.0, 8.0]]
    assert window_polygon(corners).area() == pytest.approx(100)
    assert WorkerAnswer.read(DRAFT, *messages(window=corners)).window.isGeosEqual(window_polygon(corners))
    assert WorkerAnswer.read(DRAFT, *messages()).window is None


@pytest.mark.parametrize(
    "change", [{"object": {"score": 1}}, {"object": {"wkb": "no base 64!"}}, {"window": [1]}, {"object": 7}]
)
def test_a_message_that_breaks_the_protocol_is_an_error(qgis_app, change):
    info, result = messages()
    with pytest.raises((KeyError, TypeError, ValueError)):
        WorkerAnswer.read(DRAFT, info, {**result, **change})
