"""CRSs as text, and geometries, points and drafts in another CRS; PROJ of the library is the oracle."""

import json
import subprocess

import pytest
from conftest import library_python
from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsPointXY

from geosam_qgis.draft import Draft
from geosam_qgis.jobs.projections import (
    ProjectionError,
    crs_of,
    scene_crs,
    transformed,
    transformed_draft,
    transformed_point,
)
from geosam_qgis.jobs.sources import crs_text

WGS84, UTM, MERCATOR = (QgsCoordinateReferenceSystem(f"EPSG:{code}") for code in (4326, 32633, 3857))
UNKNOWN = QgsCoordinateReferenceSystem()
CUSTOM = "+proj=laea +lat_0=48.5 +lon_0=14.2 +ellps=GRS80 +units=m"
PLACES = [(15.0, 48.7), (12.1, 47.3), (17.9, 55.2), (14.2, 0.5)]

ORACLE = """
import json, sys
from pyproj import Transformer
source, target, points = json.load(sys.stdin)
move = Transformer.from_crs(source, target, always_xy=True).transform
print(json.dumps([move(*point) for point in points]))
"""


def of_the_library(source, target, points):
    """Points in another CRS, as the library transforms them."""
    request = json.dumps([source, target, points]).encode()
    done = subprocess.run([library_python(), "-c", ORACLE], input=request, capture_output=True, check=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("target", ["EPSG:32633", "EPSG:3857", "EPSG:3035"])
def test_points_go_where_the_library_puts_them(qgis_app, target):
    crs = QgsCoordinateReferenceSystem(target)
    for place, expected in zip(PLACES, of_the_library("EPSG:4326", target, PLACES)):
        point = transformed_point(QgsPointXY(*place), WGS84, crs)
        assert (point.x(), point.y()) == pytest.approx(expected, abs=0.001)


def test_a_point_comes_back_to_its_place(qgis_app):
    for place in PLACES:
        there = transformed_point(QgsPointXY(*place), WGS84, UTM)
        back = transformed_point(there, UTM, WGS84)
        assert (back.x(), back.y()) == pytest.approx(place, abs=1e-9)


def test_a_geometry_is_copied_and_every_vertex_is_transformed(qgis_app):
    line = QgsGeometry.fromPolylineXY([QgsPointXY(*place) for place in PLACES])
    there = transformed(line, WGS84, MERCATOR)
    assert line.asWkt(3) == QgsGeometry.fromPolylineXY([QgsPointXY(*place) for place in PLACES]).asWkt(3)
    for vertex, place in zip(there.asPolyline(), PLACES):
        expected = transformed_point(QgsPointXY(*place), WGS84, MERCATOR)
        assert (vertex.x(), vertex.y()) == pytest.approx((expected.x(), expected.y()))


@pytest.mark.parametrize(("source", "target"), [(WGS84, UNKNOWN), (UNKNOWN, UTM), (UTM, UTM)])
def test_without_two_different_crss_nothing_moves(qgis_app, source, target):
    point = QgsPointXY(3, 4)
    assert transformed_point(point, source, target) == point
    assert transformed(QgsGeometry.fromPointXY(point), source, target).asPoint() == point


def test_a_place_that_does_not_exist_in_the_other_crs_is_an_error_with_both_names(qgis_app):
    pole = QgsPointXY(15.0, 95.0)
    for attempt in (
        lambda: transformed_point(pole, WGS84, UTM),
        lambda: transformed(QgsGeometry.fromPointXY(pole), WGS84, UTM),
        lambda: transformed_draft(Draft("EPSG:4326").with_point(15.0, 95.0, 1), UTM),
    ):
        with pytest.raises(ProjectionError, match=r"EPSG:4326.*none in EPSG:32633"):
            attempt()


def test_a_draft_keeps_its_steps_labels_and_level_of_detail(qgis_app):
    draft = (
        Draft("EPSG:4326")
        .with_point(15.0, 48.7, 1)
        .with_point(15.1, 48.7, 0)
        .with_box([(15, 48), (16, 48), (16, 49), (15, 49)])
    )
    there = transformed_draft(draft.with_next_granularity(), UTM)
    assert there.crs == "EPSG:32633"
    assert there.granularity == draft.with_next_granularity().granularity
    assert [(step.kind, step.label) for step in there.steps] == [("point", 1), ("point", 0), ("box", 1)]
    flat = [vertex for step in draft.steps for ring in step.rings for vertex in ring]
    moved = [vertex for step in there.steps for ring in step.rings for vertex in ring]
    for vertex, expected in zip(moved, of_the_library("EPSG:4326", "EPSG:32633", flat)):
        assert vertex == pytest.approx(expected, abs=0.001)
    assert transformed_draft(draft, WGS84) is draft


def test_a_crs_survives_as_text(qgis_app):
    custom = QgsCoordinateReferenceSystem.fromProj(CUSTOM)
    for crs in (WGS84, UTM, MERCATOR, custom):
        assert crs_of(crs_text(crs)) == crs
    assert crs_text(UTM) == "EPSG:32633"
    assert crs_text(custom).startswith(("PROJCRS", "BOUNDCRS"))


def test_the_crs_of_a_scene_is_that_in_the_answer_of_the_worker(qgis_app):
    assert scene_crs({"crs": UTM.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)}) == UTM
