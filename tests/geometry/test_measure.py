import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Geod, Transformer

from geosam.geometry.geobox import GeoBox
from geosam.geometry.measure import (
    areas_perimeters,
    beyond_degrees,
    ground_sample_distance,
    metres_per_unit,
    reaches_wgs84,
)

GEOD = Geod(ellps="WGS84")
LOCAL = CRS.from_wkt('LOCAL_CS["local",UNIT["metre",1]]')
FEET = CRS.from_wkt('LOCAL_CS["local",UNIT["US survey foot",0.304800609601219]]')
EUROPA = CRS.from_wkt(
    'PROJCRS["Europa",BASEGEOGCRS["Europa",DATUM["Europa",ELLIPSOID["Europa",1560800,0]]],'
    'CONVERSION["x",METHOD["Equidistant Cylindrical"]],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]'
)
PLACES = {
    "utm": (32633, 500_300, 5_000_000, 1.0),
    "web_mercator": (3857, 9_519_391, 3_203_475, 1.0),
    "geographic": (4326, 32.59, -41.0, 1e-5),
    "british": (27700, 400_000, 300_000, 1.0),
    "feet": (2263, 1_000_000, 200_000, 3.0),
    "antarctic": (3031, 1_500_000, -900_000, 1.0),
    "utm_60_at_180": (32660, 834_000, 1_050_000, 1.0),
}


def house(x, y, unit):
    """An outline of 30 by 25 units with a hole."""
    shell = [(0, 0), (30, 0), (30, 20), (10, 25), (0, 20)]
    hole = [(5, 5), (10, 5), (10, 10)]
    place = np.array([x, y])
    return shapely.Polygon(place + np.array(shell) * unit, [place + np.array(hole) * unit])


def geodesic(polygon, crs):
    """(area, perimeter) by pyproj, holes subtracted and their edges added."""
    transformer = Transformer.from_crs(crs, 4326, always_xy=True)
    ring_areas, ring_lengths = [], []
    for ring in (polygon.exterior, *polygon.interiors):
        lon, lat = transformer.transform(*np.asarray(ring.coords).T)
        area, length = GEOD.polygon_area_perimeter(lon, lat)
        ring_areas.append(abs(area))
        ring_lengths.append(length)
    return ring_areas[0] - sum(ring_areas[1:]), sum(ring_lengths)


@pytest.mark.parametrize("place", PLACES)
def test_areas_and_perimeters_agree_with_geodesics(place):
    epsg, x, y, unit = PLACES[place]
    crs = CRS.from_epsg(epsg)
    polygon = house(x, y, unit)
    other = shapely.MultiPolygon([polygon, shapely.affinity.translate(polygon, 100 * unit, 0)])
    areas, perimeters = areas_perimeters(np.array([polygon, other]), crs)
    area, perimeter = geodesic(polygon, crs)
    assert areas[0] == pytest.approx(area, rel=2e-6)
    assert perimeters[0] == pytest.approx(perimeter, rel=1e-8)
    second = geodesic(other.geoms[1], crs)
    assert areas[1] == pytest.approx(area + second[0], rel=2e-6)
    assert perimeters[1] == pytest.approx(perimeter + second[1], rel=1e-8)


def test_areas_in_utm_are_the_planar_ones_divided_by_the_scale():
    polygon = house(500_000, 5_000_000, 0.1)
    area, perimeter = areas_perimeters(np.array([polygon]), CRS.from_epsg(32633))
    assert area[0] == pytest.approx(polygon.area / 0.9996**2, rel=1e-7)
    assert perimeter[0] == pytest.approx(polygon.length / 0.9996, rel=1e-8)


def test_web_mercator_is_not_measured_in_its_own_plane():
    polygon = shapely.box(9_519_391, 3_203_475, 9_519_491, 3_203_575)
    area, _ = areas_perimeters(np.array([polygon]), CRS.from_epsg(3857))
    assert polygon.area / area[0] == pytest.approx(1.28, abs=0.02)


@pytest.mark.fault("R21")
def test_the_whole_earth_in_degrees():
    area, perimeter = areas_perimeters(np.array([shapely.box(-180, -90, 180, 90)]), CRS.from_epsg(4326))
    assert area[0] == pytest.approx(5.10065621724e14, rel=1e-9)
    assert perimeter[0] == pytest.approx(2 * GEOD.line_length([0, 0], [-90, 90]), rel=1e-6)


@pytest.mark.fault("R22")
def test_a_polygon_over_the_antimeridian_is_as_large_as_one_elsewhere():
    here, there = (areas_perimeters(np.array([shapely.box(x, 9, x + 1, 10)]), CRS.from_epsg(4326)) for x in (179.5, 20))
    assert here[0] == pytest.approx(there[0], rel=1e-9)
    polygon = shapely.box(834_000 - 50_000, 1e6, 834_000 + 50_000, 1.1e6)
    dense = shapely.segmentize(polygon, 1000)
    area, _ = areas_perimeters(np.array([polygon]), CRS.from_epsg(32660))
    assert area[0] == pytest.approx(geodesic(dense, CRS.from_epsg(32660))[0], rel=1e-7)


@pytest.mark.fault("R23")
@pytest.mark.parametrize("epsg", [3413, 3031])
def test_a_polygon_around_a_pole(epsg):
    polygon = shapely.Polygon(shapely.box(-1e6, -8e5, 1e6, 1e6).exterior, [shapely.box(2e4, 2e4, 3e5, 3e5).exterior])
    dense = shapely.segmentize(polygon, 500)
    area, perimeter = areas_perimeters(np.array([polygon]), CRS.from_epsg(epsg))
    expected = geodesic(dense, CRS.from_epsg(epsg))
    assert area[0] == pytest.approx(expected[0], rel=1e-6)
    assert perimeter[0] == pytest.approx(expected[1], rel=1e-6)


@pytest.mark.fault("R24")
@pytest.mark.parametrize(("crs", "unit"), [(LOCAL, 1.0), (FEET, 0.304800609601219), (EUROPA, 1.0)])
def test_without_a_way_to_wgs84_measures_are_planar_in_metres(crs, unit):
    polygon = house(0, 0, 1.0)
    area, perimeter = areas_perimeters(np.array([polygon]), crs)
    assert not reaches_wgs84(crs)
    assert metres_per_unit(crs) == pytest.approx(unit)
    assert area[0] == pytest.approx(polygon.area * unit**2)
    assert perimeter[0] == pytest.approx(polygon.length * unit)
    assert ground_sample_distance(GeoBox(10, 10, Affine(2, 0, 0, 0, -3, 0), crs)) == pytest.approx((2 * unit, 3 * unit))


def test_polygons_beyond_the_domain_of_their_crs_are_measured_in_the_plane():
    outside, inside = shapely.box(1e9, 1e9, 1e9 + 10, 1e9 + 10), house(500_000, 5_000_000, 1.0)
    utm = CRS.from_epsg(32633)
    areas, perimeters = areas_perimeters(np.array([outside, inside]), utm)
    assert (areas[0], perimeters[0]) == (100, 40)
    assert areas[1] == pytest.approx(geodesic(inside, utm)[0], rel=2e-6)
    for origin in (1e9, 1e300):
        assert ground_sample_distance(GeoBox(10, 10, Affine(2, 0, origin, 0, -3, origin), utm)) == (2, 3)
    near_nothing = Affine(1e-12, 0, 5e5, 0, -1e-12, 5e6)  # neighbours have the same coordinates
    assert ground_sample_distance(GeoBox(10, 10, near_nothing, utm)) == (1e-12, 1e-12)


def test_no_polygons_have_no_measures():
    areas, perimeters = areas_perimeters(np.array([], object), CRS.from_epsg(32633))
    assert areas.shape == perimeters.shape == (0,)


@pytest.mark.parametrize("angle", [0, 17, 90])
@pytest.mark.parametrize("place", PLACES)
def test_ground_sample_distance_is_the_geodesic_length_of_a_pixel(place, angle):
    epsg, x, y, unit = PLACES[place]
    crs = CRS.from_epsg(epsg)
    transform = Affine.translation(x, y) @ Affine.rotation(angle) @ Affine.scale(2 * unit, -3 * unit)
    found = ground_sample_distance(GeoBox(100, 60, transform, crs))
    transformer = Transformer.from_crs(crs, 4326, always_xy=True)
    for step, length in zip([(0.5, 0), (0, 0.5)], found, strict=True):
        ends = [transform @ (50 + sign * step[0], 30 + sign * step[1]) for sign in (-1, 1)]
        lon, lat = transformer.transform(*np.array(ends).T)
        assert length == pytest.approx(GEOD.line_length(lon, lat), rel=1e-6)


def test_crs_that_reach_wgs84():
    assert all(reaches_wgs84(CRS.from_epsg(epsg)) for epsg, *_ in PLACES.values())


GRADS = CRS.from_epsg(4807)  # NTF (Paris), whose turn has 400 grads


@pytest.mark.parametrize(("crs", "turn"), [(CRS.from_epsg(4326), 360), (GRADS, 400)], ids=["degrees", "grads"])
def test_coordinates_beyond_a_turn_or_a_pole_are_no_longitude_and_latitude(crs, turn):
    xy = np.array([(0, 0), (turn / 2 + 1, 0), (turn, turn / 4), (turn + 1, 0), (0, turn / 4 + 1), (5e5, 5e6)])
    assert beyond_degrees(crs, xy).tolist() == [False, False, False, True, True, True]


def test_coordinates_of_a_projected_crs_may_be_as_large_as_they_like():
    assert beyond_degrees(CRS.from_epsg(32633), np.array([(5e5, 5e6), (1e9, -1e9)])).tolist() == [False, False]


@pytest.mark.parametrize("turned", [0, 90, 180])
def test_the_order_of_vertices_does_not_matter(turned):
    polygon = house(500_300, 5_000_000, 1.0)
    shell = np.roll(np.asarray(polygon.exterior.coords)[:-1], turned // 45, axis=0)
    other = shapely.Polygon(shell[::-1], [ring.coords for ring in polygon.interiors])
    utm = CRS.from_epsg(32633)
    expected, measured = areas_perimeters(np.array([polygon]), utm), areas_perimeters(np.array([other]), utm)
    assert measured[0] == pytest.approx(expected[0])
    assert measured[1] == pytest.approx(expected[1])


def test_a_degree_counts_as_its_length_on_the_equator():
    assert metres_per_unit(CRS.from_epsg(4326)) == pytest.approx(GEOD.line_length([0, 1], [0, 0]))
