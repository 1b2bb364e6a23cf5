"""Polygons in longitude and latitude, with PROJ's geodesics as the oracle."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from geosam.vector.wgs84 import WGS84, ToWgs84, UnreachableError

GEOD = Geod(ellps="WGS84")
UTM33 = CRS(32633)
POLAR = CRS(3413)


def decimals_of(polygon):
    """Most decimals that any coordinate needs."""
    texts = [repr(value) for value in shapely.get_coordinates(polygon).ravel().tolist()]
    return max(len(text.partition(".")[2]) for text in texts)


def geodesic_area(polygon):
    return abs(GEOD.geometry_area_perimeter(shapely.orient_polygons(polygon))[0])


@given(
    st.tuples(st.floats(300_000, 700_000), st.floats(1_000_000, 7_000_000)),
    st.floats(1, 5000),
    st.sampled_from([0.05, 0.3, 1.0, 10.0]),
)
def test_a_square_keeps_its_area_and_place_to_a_tenth_of_a_pixel(corner, side, pixel):
    x, y = corner
    square = shapely.box(x, y, x + side, y + side)
    (placed,) = ToWgs84(UTM33, pixel)(np.array([square]))
    assert placed.is_valid
    assert shapely.is_ccw(placed.exterior)
    exact = shapely.transform(square.segmentize(side / 50), to_lonlat(UTM33), interleaved=False)
    slack = pixel * side * 0.4 + 1e-9 * side**2
    assert geodesic_area(placed) == pytest.approx(geodesic_area(exact), abs=slack)
    back = shapely.transform(placed, Transformer.from_crs(WGS84, UTM33, always_xy=True).transform, interleaved=False)
    assert shapely.hausdorff_distance(shapely.boundary(back), shapely.boundary(square)) < 0.1 * pixel + 1e-6


def to_lonlat(crs):
    return Transformer.from_crs(crs, WGS84, always_xy=True).transform


@pytest.mark.parametrize(("pixel", "decimals"), [(100.0, 6), (10.0, 7), (1.0, 8), (0.1, 9), (0.01, 10)])
def test_a_coordinate_has_the_decimals_that_a_hundredth_of_a_pixel_needs(pixel, decimals):
    square = shapely.box(500_000, 5_000_000, 500_000 + 40 * pixel, 5_000_000 + 40 * pixel)
    (placed,) = ToWgs84(UTM33, pixel)(np.array([square]))
    assert decimals_of(placed) <= decimals
    unit_m = 10.0**-decimals * 111_320
    assert unit_m <= 0.01 * pixel < 100 * unit_m


def test_short_edges_stay_as_they_are_and_long_ones_are_divided_where_they_bend():
    small = shapely.box(400_000, 5_000_000, 400_005, 5_000_005)
    long = shapely.box(300_000, 5_000_000, 700_000, 5_000_010)
    short, divided = ToWgs84(UTM33, 1.0)(np.array([small, long]))
    assert shapely.get_num_coordinates(short) == 5
    assert shapely.get_num_coordinates(divided) > 100


def test_holes_and_parts_stay_holes_and_parts():
    ring = shapely.box(500_000, 5_000_000, 500_100, 5_000_100) - shapely.box(500_020, 5_000_020, 500_040, 5_000_040)
    two = shapely.MultiPolygon([ring, shapely.box(500_200, 5_000_000, 500_210, 5_000_010)])
    one, several = ToWgs84(UTM33, 0.5)(np.array([ring, two]))
    assert one.geom_type == "Polygon"
    assert len(one.interiors) == 1
    assert not shapely.is_ccw(one.interiors[0])
    assert [len(part.interiors) for part in several.geoms] == [1, 0]


def test_a_ring_around_the_pole_covers_the_pole():
    radius = 500_000.0
    circle = shapely.orient_polygons(shapely.Point(0, 0).buffer(radius, quad_segs=64))
    (cap,) = ToWgs84(POLAR, 100.0)(np.array([circle]))
    assert cap.is_valid
    assert shapely.total_bounds(cap)[[0, 2, 3]].tolist() == [-180, 180, 90]
    for lon in range(-179, 180, 30):
        assert cap.covers(shapely.Point(lon, 89.9))
        assert not cap.covers(shapely.Point(lon, 80))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_squares_near_the_pole_and_the_antimeridian_stay_in_range_and_keep_their_points(x, y):
    square = shapely.box(x, y, x + 50_000, y + 50_000)
    (placed,) = ToWgs84(POLAR, 100.0)(np.array([square]))
    assert placed.is_valid
    west, south, east, north = shapely.total_bounds(placed)
    assert -180 <= west <= east <= 180
    assert south <= north <= 90
    inside = np.random.default_rng(0).uniform((x + 500, y + 500), (x + 49_500, y + 49_500), (50, 2))
    lon, lat = to_lonlat(POLAR)(*inside.T)
    assert shapely.covers(placed, shapely.points(lon, lat)).all()


def test_coordinates_beyond_the_projection_are_refused():
    with pytest.raises(UnreachableError):
        ToWgs84(CRS(32633), 1.0)(np.array([shapely.box(1e12, 0, 1e12 + 1, 1)]))
