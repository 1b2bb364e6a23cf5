"""Polygons of pixel sets, against GDAL's polygonizer, scipy's labels, and shapely."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import CRS
from rasterio.features import rasterize, shapes
from scipy import ndimage

from geosam.geometry import corners
from geosam.geometry.geobox import GeoBox
from geosam.geometry.polygons import fill_holes, place, polygonize, simplify_alone

UTM = CRS.from_epsg(32633)
MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(np.any)
GRIDS = {
    "north_up": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    "rotated": Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5),
    "sheared": Affine(0.5, 0.1, 500_000, 0.02, -0.5, 5_000_000),
    "not_square": Affine(2, 0, 500_000, 0, -0.3, 5_000_000),
}


def outline(mask, col=0, row=0):
    return polygonize([corners.corners_of(mask, col, row)])[0]


def by_gdal(mask):
    """The 4-connected parts of a mask as one geometry."""
    return shapely.union_all([shapely.geometry.shape(g) for g, _ in shapes(mask.astype(np.uint8), mask)])


def parts_of(mask):
    """The 4-connected parts of a mask as masks."""
    labels, count = ndimage.label(mask)
    return [labels == number for number in range(1, count + 1)]


def rings_of(polygon):
    return [np.asarray(ring.coords) for ring in shapely.get_rings(shapely.get_parts(polygon))]


@given(MASKS)
def test_a_pixel_set_of_any_number_of_parts_is_the_union_of_gdals_polygons(mask):
    polygon, expected = outline(mask), by_gdal(mask)
    assert polygon.is_valid
    assert polygon.equals(expected)
    assert len(shapely.get_parts(polygon)) == ndimage.label(mask)[1]


@given(MASKS)
def test_a_part_has_a_hole_for_each_4_connected_area_that_it_encloses(mask):
    holes = sum(map(shapely.get_num_interior_rings, shapely.get_parts(outline(mask))))
    assert holes == sum(ndimage.label(~np.pad(part, 1))[1] - 1 for part in parts_of(mask))


@given(MASKS)
def test_edges_turn_at_every_vertex_and_rings_start_at_their_first_vertex(mask):
    for xy in rings_of(outline(mask)):
        assert (xy[0] == xy[-1]).all()
        steps = np.diff(np.vstack([xy, xy[1]]), axis=0)
        horizontal = steps[:, 1] == 0
        assert ((steps != 0).sum(axis=1) == 1).all()
        assert (horizontal[1:] != horizontal[:-1]).all()
        assert tuple(xy[0][::-1]) == min(tuple(vertex[::-1]) for vertex in xy)


@given(MASKS)
def test_vertices_are_whole_pixels_and_perimeters_count_pixel_edges(mask):
    polygon = outline(mask)
    xy = shapely.get_coordinates(polygon)
    assert (xy == np.rint(xy)).all()
    framed = np.pad(mask, 1).astype(int)
    edges = sum(int(np.abs(np.diff(framed, axis=axis)).sum()) for axis in (0, 1))
    assert shapely.length(polygon) == edges
    assert shapely.area(polygon) == np.count_nonzero(mask)


@given(MASKS, st.integers(-50, 50), st.integers(-50, 50))
def test_a_moved_set_has_the_moved_polygon(mask, col, row):
    moved = shapely.transform(outline(mask), lambda xy: np.add(xy, (col, row)))
    assert shapely.to_wkb(outline(mask, col, row)) == shapely.to_wkb(moved)


@given(MASKS, st.integers(0, 12), st.randoms(use_true_random=False))
def test_equal_sets_have_equal_bytes_however_they_were_put_together(mask, row, random):
    pieces = [corners.corners_of(part, 0, y) for part, y in ((mask[:row], 0), (mask[row:], row)) if part.size]
    random.shuffle(pieces)
    assert shapely.to_wkb(polygonize([corners.add(pieces)])[0]) == shapely.to_wkb(outline(mask))


# On the map


@pytest.mark.parametrize("grid", GRIDS)
@given(mask=MASKS)
def test_a_placed_polygon_is_what_shapely_moves(grid, mask):
    t = GRIDS[grid]
    (placed,) = place(np.array([outline(mask)], object), GeoBox(12, 12, t, UTM))
    expected = shapely.affinity.affine_transform(outline(mask), [t.a, t.b, t.d, t.e, t.c, t.f])
    np.testing.assert_allclose(shapely.get_coordinates(placed), shapely.get_coordinates(expected), rtol=0, atol=1e-8)
    assert shapely.area(placed) == pytest.approx(np.count_nonzero(mask) * abs(t.determinant))


@pytest.mark.parametrize("grid", GRIDS)
@given(mask=MASKS)
def test_gdal_burns_a_placed_polygon_into_the_pixels_it_came_from(grid, mask):
    (placed,) = place(np.array([outline(mask)], object), GeoBox(*mask.shape[::-1], GRIDS[grid], UTM))
    assert (rasterize([placed], mask.shape, transform=GRIDS[grid]).astype(bool) == mask).all()


def test_no_polygons_have_no_place():
    assert len(place(np.empty(0, object), GeoBox(3, 3, GRIDS["rotated"], UTM))) == 0


# Simplified and filled


@given(MASKS)
def test_no_tolerance_and_no_area_leave_polygons_as_they_are(mask):
    polygons = np.array([outline(mask)], object)
    assert simplify_alone(polygons, 0.0)[0] is polygons[0]
    assert fill_holes(polygons, 0.0)[0] is polygons[0]


@given(MASKS, st.floats(0.5, 3))
def test_corners_that_go_span_triangles_below_the_tolerance(mask, tolerance):
    polygon = outline(mask)
    (simple,) = simplify_alone(np.array([polygon], object), tolerance)
    before, after = shapely.get_num_coordinates(polygon), shapely.get_num_coordinates(simple)
    assert after <= before
    assert shapely.symmetric_difference(polygon, simple).area <= (before - after) * tolerance**2 + 1e-9
    assert simple.is_valid


@given(MASKS)
def test_filling_every_hole_is_what_scipy_fills(mask):
    (filled,) = fill_holes(np.array([outline(mask)], object), 1e9)
    parts = shapely.union_all([shapely.Polygon(part.exterior) for part in shapely.get_parts(outline(mask))])
    assert filled.is_valid
    assert filled.equals(parts)
    solid = np.logical_or.reduce([ndimage.binary_fill_holes(part) for part in parts_of(mask)])
    assert shapely.area(filled) == np.count_nonzero(solid)
