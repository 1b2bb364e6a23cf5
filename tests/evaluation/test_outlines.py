import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from shapely.geometry import LineString, MultiPoint, Point, Polygon, box

from geosam.evaluation.outlines import arcs, near_share, to_ground

UTM = CRS.from_epsg(32633)


def unmoved(xy):
    return xy


@pytest.mark.parametrize("vertices", [2, 3, 32, 33, 34, 64, 65, 1000])
def test_arcs_are_short_and_make_up_the_line(vertices):
    xy = np.cumsum(np.random.default_rng(vertices).normal(size=(vertices, 2)), axis=0)
    line = LineString(xy)
    found = arcs(np.array([line]), unmoved)
    assert shapely.get_num_coordinates(found).max() <= 33
    assert len(found) == -(-(vertices - 1) // 32)
    assert np.array_equal(np.concatenate([shapely.get_coordinates(a)[:-1] for a in found] + [xy[-1:]]), xy)


def test_arcs_of_mixed_geometries_keep_what_has_length():
    ring = box(0, 0, 4, 4).difference(box(1, 1, 2, 2)).boundary
    mixed = shapely.GeometryCollection([Point(9, 9), LineString([(0, 0), (3, 4)])])
    found = arcs(np.array([ring, mixed, MultiPoint([(1, 1), (2, 2)]), Polygon().boundary]), unmoved)
    assert shapely.length(found).sum() == pytest.approx(16 + 4 + 5)
    assert len(arcs(np.array([], object), unmoved)) == 0


@pytest.mark.parametrize("crs", [4326, 3857, 32633, 3035], ids=str)
def test_ground_metres_are_metres_on_the_ground(crs):
    lonlat = np.array([[15.0, 60.0], [15.3, 60.0], [15.3, 60.2], [15.0, 60.2]])
    move = Transformer.from_crs(4326, crs, always_xy=True)
    xy = np.stack(move.transform(*lonlat.T), axis=1)
    metres = to_ground(CRS.from_epsg(crs), np.array([Polygon(xy)]))(xy)
    expected = Geod(ellps="WGS84").line_lengths(*lonlat.T)
    assert np.hypot(*np.diff(metres, axis=0).T) == pytest.approx(expected, rel=1e-4)


def test_local_coordinates_are_scaled_by_their_unit():
    feet = CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
    assert to_ground(feet, np.array([box(0, 0, 1, 1)]))(np.array([[10.0, 20.0]])).tolist() == [[3.048, 6.096]]
    assert to_ground(UTM, np.array([], object))(np.array([[1.0, 2.0]])).tolist() == [[1, 2]]


def test_near_share_of_nothing_and_to_nothing():
    line = arcs(np.array([LineString([(0, 0), (10, 0)])]), unmoved)
    assert near_share(line[:0], line, 1.0) is None
    assert near_share(line, line[:0], 1.0) == 0
    assert near_share(line, line, 0.01) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 30),
    st.integers(0, 5).map(lambda whole: whole + 0.37),
    st.integers(0, 10).map(lambda tenths: tenths / 10),
)
def test_near_share_equals_a_buffer(gap, tolerance, slope):
    line = LineString([(0, 0), (40, 0), (40, 25)])
    other = LineString([(10, gap), (35, gap + 20 * slope)])
    near = line.intersection(other.buffer(tolerance, quad_segs=64)).length
    found = near_share(arcs(np.array([line]), unmoved), arcs(np.array([other]), unmoved), tolerance)
    assert abs(found * line.length - near) <= 4 * tolerance / 2 + 1e-3 * tolerance


def test_many_pieces_are_measured_in_several_batches():
    line = LineString([(0, 0), (600_000, 0)])
    half = LineString([(0, 0.5), (300_000, 0.5)])
    assert near_share(np.array([line]), np.array([half]), 1.0) == pytest.approx(0.5, abs=1e-5)
